"""`insert`: steps that a profile inserts into the recipe, each group before or after a step that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError, model_validator

from mminf.config import Config
from mminf.errors import Problem, RecipeError, nearest
from mminf.recipe.lines import Document, Path_
from mminf.recipe.names import step_name, step_paths
from mminf.recipe.problems import find_problems


class InsertConfig(Config):
    """`{before: STEP, steps: [...]}` or `{after: STEP, steps: [...]}`."""

    before: str | None = Field(None, description="Name of a step; `steps` are inserted before it.")
    after: str | None = Field(None, description="Name of a step; `steps` are inserted after it.")
    steps: list[dict[str, Any]] = Field(min_length=1, description="The steps to insert, in order.")

    @model_validator(mode="after")
    def _one_place(self) -> InsertConfig:
        if self.before is not None and self.after is not None:
            raise ValueError("`before` and `after` exclude each other; give one of them")
        if self.before is None and self.after is None:
            raise ValueError("give `before` or `after`, with the name of a step")
        return self


def find_position(names: Sequence[str | None], anchor: str, *, after: bool, anchors: Mapping[str, str]) -> int:
    """Returns the index at which steps are inserted before or after a step.

    Steps that were inserted at the same place earlier stay in front of them.

    Args:
        names: names of the steps of one list; `anchor` is one of them.
        anchors: inserted step -> step before or after which it was inserted.
    """
    index = names.index(anchor)
    if after:
        index += 1
        while index < len(names) and _belongs_to(names[index], anchor, anchors):
            index += 1
    return index


def _belongs_to(name: str | None, anchor: str, anchors: Mapping[str, str]) -> bool:
    """Returns whether a step was inserted next to `anchor`, directly or next to another inserted step."""
    while name is not None and name != anchor:
        name = anchors.get(name)
    return name is not None


def insert_steps(document: Document, profile: str) -> None:
    """Inserts the steps of `profiles.<profile>.insert` into the recipe, in list order.

    Raises:
        RecipeError: with every problem of the list.
    """
    path: Path_ = ("profiles", profile, "insert")
    body = document.data["profiles"][profile] or {}
    if "insert" not in body:
        return
    if not isinstance(body["insert"], list) or not all(isinstance(entry, Mapping) for entry in body["insert"]):
        raise RecipeError(
            [Problem(document.locate(path), "insert must be a list of {before or after: STEP, steps: [...]}")]
        )
    if isinstance(body.get("steps"), list):
        message = f"profile {profile!r} replaces the list of steps; add the inserted steps to that list"
        raise RecipeError([Problem(document.locate(path), message)])
    problems: list[Problem] = []
    for number in range(len(body["insert"])):
        problems += _insert(document, profile, (*path, number))
    if problems:
        raise RecipeError(problems)


def _insert(document: Document, profile: str, path: Path_) -> list[Problem]:
    """Inserts the steps of one entry, or returns its problems."""
    try:
        config = InsertConfig.model_validate(document.get(path))
    except ValidationError as error:
        return list(find_problems(error, InsertConfig, document, path, label="insert"))
    key, anchor = ("before", config.before) if config.before is not None else ("after", config.after or "")
    raw = document.data.get("steps")
    paths = {name: place for place, name in step_paths(raw if isinstance(raw, list) else [])}
    if anchor not in paths:
        message = f"`{key}`: no step {anchor!r} in the recipe{nearest(anchor, paths)}"
        return [Problem(document.locate((*path, key)), message)]
    items: Path_ = (*path, "steps")
    if problems := _repeated_names(document, items, paths):
        return problems
    *folder, _ = paths[anchor]
    names = [step_name(step) for step in document.get(tuple(folder))]
    index = find_position(names, anchor, after=key == "after", anchors=document.anchors)
    document.insert((*folder, index), items, f" (profile {profile})")
    inserted = [name for step in config.steps if (name := step_name(step)) is not None]
    # A step of the same name may have been removed, and with it the position that it was an anchor of.
    kept = {name: other for name, other in document.anchors.items() if other not in inserted}
    document.anchors = {**kept, **dict.fromkeys(inserted, anchor)}
    return []


def _repeated_names(document: Document, items: Path_, known: Mapping[str, Path_]) -> list[Problem]:
    """Returns a problem for each inserted step whose name another step has."""
    problems = []
    names = set(known)
    for place, name in step_paths(document.get(items), items):
        if name in names:
            problems.append(
                Problem(document.locate(place), f"duplicate step name {name!r}; give this step another `name`")
            )
        names.add(name)
    return problems


def find_insertion(document: Document, name: str) -> str | None:
    """Returns the profile that inserts a step of that name, if any does."""
    profiles = document.data.get("profiles")
    for profile, body in profiles.items() if isinstance(profiles, Mapping) else ():
        entries = body.get("insert") if isinstance(body, Mapping) else None
        for entry in entries if isinstance(entries, list) else ():
            steps = entry.get("steps") if isinstance(entry, Mapping) else None
            if isinstance(steps, list) and any(found == name for _, found in step_paths(steps)):
                return str(profile)
    return None
