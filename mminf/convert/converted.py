"""What a configuration was converted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mminf.convert.known import Known
from mminf.registry import BACKENDS


@dataclass
class Converted:
    """A recipe, or the bundled recipe that takes its place.

    Attributes:
        name: of the recipe.
        input_file: as in the configuration.
        output: the folder of the results.
        recipe: sections of the recipe.
        templates: file name -> text, of prompts too long for the recipe.
        decide: what a person has to convert, and why.
        told: what changed.
        known: the bundled recipe that does what the configuration does; `recipe` then contains its engines and source.
    """

    name: str
    input_file: str
    output: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    decide: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    known: Known | None = None

    def tell_parallel(self) -> None:
        """Tells that a model is not spread over all GPUs."""
        self.told.append(
            "MM-INF spreads each model over all GPUs; here, `tensor_parallel_size` of an engine says over how many"
        )


def make_engine(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the engine of a step. Arguments that are not settings of mminf are passed to vLLM."""
    given = body.get("model_args") or {}
    known = _engine_keys()
    engine: dict[str, Any] = {"backend": "vllm", "model": str(body["model_id_or_path"])}
    engine |= {key: given[key] for key in given if key in known}
    if others := {key: given[key] for key in given if key not in known}:
        engine["options"] = {"engine_kwargs": others}
    return engine


def source_kind(input_file: str) -> str:
    """Returns the source that reads an input file of MM-INF, which is JSON or JSON Lines."""
    return "jsonl" if input_file.endswith((".jsonl", ".jsonl.gz")) else "json"


@cache
def _engine_keys() -> frozenset[str]:
    return frozenset(BACKENDS.get("vllm").Config.model_fields) - {"model", "backend"}
