"""Names of the steps of a recipe before it is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mminf.recipe.lines import Path_


def step_paths(raw: list[Any], folder: Path_ = ("steps",)) -> Iterator[tuple[Path_, str]]:
    """Yields the path and the name of each step, including the steps of a `repeat`."""
    for index, item in enumerate(raw):
        if (name := step_name(item)) is None:
            continue
        yield (*folder, index), name
        body = item.get("repeat")
        if isinstance(body, Mapping) and isinstance(body.get("steps"), list):
            yield from step_paths(body["steps"], (*folder, index, "repeat", "steps"))


def config_name(body: Mapping[str, Any], name: str) -> object:
    """Returns what a step's config gets as its name: `name`, or what the recipe has there if that is not a text."""
    given = body.get("name")
    return name if given is None or isinstance(given, str) else given


def step_name(item: Any) -> str | None:
    """Returns the name of a step of a recipe (by default its type), or None if it is not a step."""
    if not isinstance(item, Mapping) or len(item) != 1:
        return None
    kind, body = next(iter(item.items()))
    name = body.get("name") if isinstance(body, Mapping) else None
    return str(name or kind)
