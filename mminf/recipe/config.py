"""The keys that all steps, engines, sources and sinks have in common."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from mminf.config import Config, Names
from mminf.image import MAX_PIXELS
from mminf.marks import FIELDS
from mminf.output_names import check_dataset_path
from mminf.request import Sampling
from mminf.storage import Location


class Items(Config):
    """The list that a step runs over, item by item."""

    field: str = Field(description="Field with the list.")
    item: str = Field("item", description="Field name under which the step reads an item that is not an object.")
    failed: Literal["fail", "drop"] = Field(
        "fail", description="An item that fails: `fail` fails its record, `drop` removes the item from the list."
    )
    dropped: str | None = Field(None, description="Field for the items that were removed, each with its `reason`.")
    empty: Literal["drop", "keep"] = Field(
        "drop", description="A record whose items were all removed: drop or keep it."
    )


def _as_items(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


class StepConfig(Config):
    """The keys of every step."""

    name: str = Field("", description="Name of the step, unique in the recipe; its type by default.")
    when: str | None = Field(None, description="Expression; records for which it is false skip the step.")
    for_each: Annotated[Items | None, BeforeValidator(_as_items, json_schema_input_type=str | Items | None)] = Field(
        None, description="List field; the step runs for each item of the list, and writes into the item."
    )
    enabled: bool = Field(True, description="`false` leaves the step out; a profile or `--set` can enable it.")
    attempts: int = Field(3, ge=1, le=100, description="Maximum number of attempts before the record fails.")


class PriceConfig(Config):
    """Prices of an engine: per token, per hour and GPU, or both."""

    input: float = Field(0.0, ge=0, allow_inf_nan=False, description="Price per million prompt tokens.")
    output: float = Field(0.0, ge=0, allow_inf_nan=False, description="Price per million answer tokens.")
    gpu_hour: float = Field(0.0, ge=0, allow_inf_nan=False, description="Price per hour and GPU.")
    gpus: int | None = Field(
        None,
        ge=1,
        description="Number of GPUs of the model, for `gpu_hour`; by default the number that a local model takes. A "
        "server needs it.",
    )
    currency: str = Field(
        "", max_length=12, description="Currency of the prices, as it is printed; a recipe has one currency."
    )


class BudgetConfig(Config):
    """Limits for all runs into one output together. A run stops when one is reached, and resumes with a larger one."""

    calls: int | None = Field(None, ge=1, description="Maximum number of answered model calls.")
    tokens: int | None = Field(None, ge=1, description="Maximum number of tokens in prompts and answers.")
    money: float | None = Field(
        None, gt=0, description="Maximum cost of the tokens, computed from the `price` of each engine."
    )


class PublishedConfig(Config):
    """Figures that the paper of a method reports; `mminf report` shows them next to those of a run."""

    source: str = Field(description="Where the figures are from.")
    pass_rates: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="Share of the records that pass a step, by the step's name."
    )
    kept: float | None = Field(None, ge=0, le=1, description="Share of the records that are kept in the end.")


PartName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,20}$")]
"""Name of a part: a valid name of a split in `datasets`, and a part of a file name that is short enough."""


class SplitConfig(Config):
    """Parts of the datasets, such as train and validation. All rows of a source record are in the same part."""

    shares: dict[PartName, Annotated[float, Field(gt=0, le=1)]] = Field(
        min_length=1,
        description="Share of the source records of each part, such as {train: 0.95, validation: 0.05}. The shares "
        "sum to 1.",
    )
    stratify: str | None = Field(
        None, description="Field; the source records with each of its values are divided by the shares, too."
    )
    seed: int = Field(0, description="Seed of the split; other seeds put other records into each part.")

    @field_validator("shares")
    @classmethod
    def _complete(cls, shares: dict[str, float]) -> dict[str, float]:
        total = sum(Fraction(str(share)) for share in shares.values())
        if total != 1:
            raise ValueError(f"the shares sum to {float(total):g}, not to 1")
        return shares


class EngineConfig(Config):
    """The keys of every engine. A backend's config adds its own keys."""

    backend: str = Field(description="Backend that runs the model: `vllm`, `transformers`, `openai`, ...")
    model: str = Field(description="Model id, local path, or `builtin:demo`.")
    max_concurrency: int | None = Field(
        None, ge=1, description="Maximum number of calls in flight; unlimited by default."
    )
    price: PriceConfig | None = Field(
        None, description="Prices, for `mminf plan --probe` and `budget: {money: ...}`. They change no result."
    )
    reasoning: Literal["split", "keep", "off"] = Field(
        "split",
        description="The model's reasoning: `split` separates it from the answer, `keep` leaves it before the "
        "answer, in <think> tags, `off` asks the model not to reason.",
    )


class SourceConfig(Config):
    """The keys of every source."""

    shorthand: ClassVar[str | None] = "path"
    path: Location = Field(description="File, folder, or a URI that fsspec reads (s3://, hf://, ...).")
    id: str = Field("id", description="Column with the row's stable id; rows without it get a digest of their content.")
    allow_paths: list[Location] = Field(
        default_factory=list, description="Additional folders or URIs that images may be read from."
    )
    allow_any_path: bool = Field(False, description="Allow rows to name any image file that this user can read.")
    allow_hosts: Names = Field(
        default_factory=list, description="Hosts, as `host` or `host:port`, that images may be fetched from."
    )
    image_root: Location | None = Field(
        None, description="Folder or URI at which relative image paths start; by default the input file's folder."
    )
    columns: dict[str, Names] = Field(
        default_factory=dict,
        description="Field -> column. `image` can have several columns, in order; without it, image columns are "
        "found by name and content.",
    )
    max_image_pixels: int = Field(
        MAX_PIXELS, ge=1, description="Maximum number of pixels; larger images fail before they are decoded."
    )
    marks: Location | None = Field(
        None,
        description="File with marks, as `mminf view` writes it; records get the fields `mark` (`good`, `bad` or null) "
        "and `note`.",
    )

    @property
    def added(self) -> frozenset[str]:
        """The fields that every record gets in addition to the columns of its row."""
        return FIELDS if self.marks is not None else frozenset()


def _check_dataset(value: Any) -> Any:
    return check_dataset_path(str(value)) if isinstance(value, str | Path) else value


class SinkConfig(Config):
    """The keys of every sink."""

    shorthand: ClassVar[str | None] = "path"
    path: Annotated[Path, BeforeValidator(_check_dataset, json_schema_input_type=Path)] = Field(
        description="File, relative to the output folder."
    )
    where: str | None = Field(None, description="Expression; only records for which it is true are written.")
    rows_per_file: int | None = Field(
        None,
        ge=1,
        description="Maximum rows per file; the path is then a folder with a `manifest.json` that lists its files.",
    )
    dropped_by: str | None = Field(
        None, description="Write the records that this step dropped, instead of the finished ones."
    )


class RunConfig(Config):
    """The keys of a recipe other than its engines, source, steps, sinks and profiles."""

    name: str = Field(description="The recipe's name.", pattern=r"^[A-Za-z0-9_.-]+$")
    description: str = Field("", description="One-line summary, shown by `mminf recipes`.")
    note: str = Field("", description="Printed before the run starts, for example a warning of a profile.")
    seed: int = Field(0, description="Seed of the run; the seeds of all calls are derived from it.")
    window: int | None = Field(
        None, ge=1, description="Maximum number of records in flight; by default as many as keep the engines busy."
    )
    limit: int | None = Field(None, ge=1, description="Process only the first N records of the source.")
    target: int | None = Field(
        None, ge=1, description="Stop after N records are accepted; the datasets contain the first N."
    )
    early_drop: bool = Field(
        True,
        description="Make no more calls for a record once a condition of a later `keep` is false; `false` computes all "
        "scores.",
    )
    max_loaded_engines: int | None = Field(
        None, ge=1, description="Maximum number of models loaded at a time; by default as many as fit into memory."
    )
    budget: BudgetConfig | None = Field(
        None, description="Limits on calls, tokens and cost; the run stops when one is reached."
    )
    max_same_failures: int | None = Field(
        20,
        ge=1,
        description="Stop the run if the first N records of a step all fail in the same way; null turns this off.",
    )
    published: PublishedConfig | None = Field(
        None, description="Pass rates that the paper of the method reports, for `mminf report`."
    )
    split: SplitConfig | None = Field(
        None, description="Divide each dataset into parts: `oasis.jsonl` becomes `oasis.train.jsonl` and so on."
    )
    plugins: Names = Field(default_factory=list, description="Plugins: files, relative to the recipe, or modules.")
    templates: list[Path] = Field(default_factory=list, description="Additional template folders.")


__all__ = [
    "Config",
    "EngineConfig",
    "Names",
    "RunConfig",
    "Sampling",
    "SinkConfig",
    "SourceConfig",
    "SplitConfig",
    "StepConfig",
]
