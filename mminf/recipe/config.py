"""What every step, engine, source and sink of a recipe takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mminf.config import Config, Names
from mminf.image import MAX_PIXELS
from mminf.output_names import check_dataset_path
from mminf.request import Sampling
from mminf.storage import Location


class Items(Config):
    """The items that a step runs over."""

    field: str = Field(description="Field that holds the list.")
    item: str = Field("item", description="What an item is called that is no object; the step reads it by that name.")
    failed: Literal["fail", "drop"] = Field(
        "fail", description="What an item does whose answer can't be used: it fails its record, or leaves the list."
    )
    dropped: str | None = Field(None, description="Field for the items that left the list, each with its `reason`.")
    empty: Literal["drop", "keep"] = Field("drop", description="What a record does whose items have all left.")


def _as_items(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


class StepConfig(Config):
    """What every step takes."""

    name: str = Field("", description="What the step is called in reports; its type by default.")
    when: str | None = Field(None, description="Expression; records for which it is false pass by.")
    for_each: Annotated[Items | None, BeforeValidator(_as_items, json_schema_input_type=str | Items | None)] = Field(
        None, description="List field: the step runs for each of its items, and writes into them."
    )
    enabled: bool = Field(True, description="false leaves the step out, until a profile or `--set` says otherwise.")
    attempts: int = Field(3, ge=1, le=100, description="How often a step is tried before its record fails.")


class PriceConfig(Config):
    """Prices of an engine's tokens, in any currency."""

    input: float = Field(0.0, ge=0, description="Price of a million tokens of prompts.")
    output: float = Field(0.0, ge=0, description="Price of a million tokens of answers.")


class BudgetConfig(Config):
    """Limits for all runs into one output together. A run stops when one is reached, and resumes with a larger one."""

    calls: int | None = Field(None, ge=1, description="Maximum number of answered model calls.")
    tokens: int | None = Field(None, ge=1, description="Maximum number of tokens in prompts and answers.")
    money: float | None = Field(None, gt=0, description="Maximum cost, computed from the `price` of each engine.")


class EngineConfig(Config):
    """What every engine takes. A backend's config adds its own keys."""

    backend: str = Field(description="The kind of thing that serves the model.")
    model: str = Field(description="Model id, local path, or `builtin:demo`.")
    max_concurrency: int | None = Field(None, ge=1, description="At most so many calls in flight; None: unbounded.")
    price: PriceConfig | None = Field(None, description="Prices of its tokens, for `budget: {money: ...}`.")
    reasoning: Literal["split", "keep", "off"] = Field(
        "split",
        description="The model's reasoning: `split` separates it from the answer, `keep` leaves it before the "
        "answer, in <think> tags, `off` asks the model not to reason.",
    )


class SourceConfig(Config):
    """What every source takes."""

    shorthand: ClassVar[str | None] = "path"
    path: Location = Field(description="File, folder, or a URI that fsspec reads (s3://, hf://, ...).")
    id: str = Field("id", description="Column that holds a row's stable id; a digest of the row where it is absent.")
    allow_paths: list[Location] = Field(
        default_factory=list, description="Further folders, or URIs, that images may lie in."
    )
    allow_any_path: bool = Field(False, description="Let rows name any image file that this user can read.")
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
    max_image_pixels: int = Field(MAX_PIXELS, ge=1, description="Larger images fail before they are decoded.")


def _check_dataset(value: Any) -> Any:
    return check_dataset_path(str(value)) if isinstance(value, str | Path) else value


class SinkConfig(Config):
    """What every sink takes."""

    shorthand: ClassVar[str | None] = "path"
    path: Annotated[Path, BeforeValidator(_check_dataset, json_schema_input_type=Path)] = Field(
        description="File, below the output folder."
    )
    where: str | None = Field(None, description="Expression; only records for which it is true are written.")
    rows_per_file: int | None = Field(
        None, ge=1, description="So many rows a file: the path is a folder then, whose `manifest.json` lists them."
    )
    dropped_by: str | None = Field(None, description="Write the records that this step dropped, not the finished ones.")


class RunConfig(Config):
    """The keys of a recipe beside its engines, source, steps and sinks."""

    name: str = Field(description="The recipe's name.", pattern=r"^[A-Za-z0-9_.-]+$")
    description: str = Field("", description="One line for `mminf recipes`.")
    note: str = Field("", description="Printed before the run starts (a profile's caveat, say).")
    seed: int = Field(0, description="Seed of the run; every call's seed is derived from it.")
    window: int | None = Field(
        None, ge=1, description="At most so many records in flight; by default what keeps the engines full."
    )
    limit: int | None = Field(None, ge=1, description="Only the first so many records of the source.")
    target: int | None = Field(
        None, ge=1, description="Stop once so many records are accepted; the datasets hold the first so many."
    )
    early_drop: bool = Field(
        True,
        description="Ask no more about a record once a part of a later `keep` is false; false scores everything.",
    )
    max_loaded_engines: int | None = Field(
        None, ge=1, description="At most so many models in this process at a time; by default as many as memory holds."
    )
    budget: BudgetConfig | None = Field(
        None, description="Stop the run when these calls, tokens or this money are spent."
    )
    max_same_failures: int | None = Field(
        20,
        ge=1,
        description="Stop the run if the first N records of a step all fail in the same way; null turns this off.",
    )
    plugins: Names = Field(default_factory=list, description="Plugin files, relative to the recipe, or modules.")
    templates: list[Path] = Field(default_factory=list, description="Further template folders.")


__all__ = ["Config", "EngineConfig", "Names", "RunConfig", "Sampling", "SinkConfig", "SourceConfig", "StepConfig"]
