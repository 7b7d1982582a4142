"""Describes bundled recipes and registered members, and copies recipes with their templates."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from mminf.content import builtin_recipes, content_folder, find_recipe
from mminf.errors import OutputError, UsageError, nearest, reason_of
from mminf.plugin import discover
from mminf.recipe.dataflow import input_fields
from mminf.recipe.lines import load_document
from mminf.recipe.loader import load_recipe
from mminf.recipe.model import Recipe, StepLike
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS, Registry

_KINDS: Mapping[str, tuple[str, Registry[Any]]] = {
    "step": ("steps", STEPS),
    "backend": ("engines", BACKENDS),
    "source": ("source", SOURCES),
    "sink": ("sinks", SINKS),
}
"""The key of recipes that has the members of a kind, and their registry."""


class EngineSummary(NamedTuple):
    """An engine of a recipe."""

    name: str
    backend: str
    model: str


class StepSummary(NamedTuple):
    """A step of a recipe. `engine` is None for a step without calls."""

    name: str
    type: str
    engine: str | None
    purpose: str


class SinkSummary(NamedTuple):
    """A dataset of a recipe. `dropped_by` is the step whose dropped records it has."""

    path: str
    type: str
    dropped_by: str | None


class RecipeSummary(TypedDict):
    """What a recipe is for, and what it needs.

    `source` is None if the input comes from `--input` only. `fields` are those that every record of the input needs.
    """

    name: str
    description: str
    source: str | None
    fields: list[str]
    engines: list[EngineSummary]
    steps: list[StepSummary]
    sinks: list[SinkSummary]
    profiles: list[str]
    recipe: Recipe


class Key(NamedTuple):
    """A key of a member's settings. `default` is None if the key is required."""

    name: str
    default: object | None
    required: bool
    description: str


class MemberSummary(TypedDict):
    """A step, backend, source or sink. `example` is a part of a bundled recipe, as YAML values; None if none has it."""

    kind: str
    name: str
    documentation: str
    shorthand: str | None
    keys: list[Key]
    example: Any
    recipe: str | None


def describe_recipe(name: str, *, profile: str | None = None) -> RecipeSummary:
    """Returns what a bundled recipe, or a recipe file, contains.

    Raises:
        RecipeError: if there is no such recipe, or it has problems.
    """
    path = find_recipe(name)
    recipe = _load(path, profile)
    data = load_document(path).data
    return RecipeSummary(
        name=recipe.name,
        description=str(data.get("description") or ""),
        source=recipe.source.type if recipe.source is not None else None,
        fields=input_fields(recipe.steps),
        engines=[EngineSummary(name, config.backend, config.model) for name, config in recipe.engines.items()],
        steps=[_summarise(step) for step in recipe.steps],
        sinks=[SinkSummary(str(sink.config.path), sink.type, sink.config.dropped_by) for sink in recipe.sinks],
        profiles=list(data.get("profiles") or {}),
        recipe=recipe,
    )


def _summarise(step: StepLike) -> StepSummary:
    return StepSummary(step.name, step.type, step.engine, first_line(STEPS.get(step.type)))


def _load(path: Path, profile: str | None = None) -> Recipe:
    return load_recipe(path, profile=profile, templates=[content_folder("templates")])


def copy_recipe(name: str, folder: Path, *, force: bool = False) -> list[Path]:
    """Copies a bundled recipe and the templates of all its profiles, so that they can be changed. Returns their paths.

    Args:
        force: also replace files that are there.

    Raises:
        RecipeError: if there is no such recipe.
        OutputError: if a file is there, or can't be written.
    """
    path = find_recipe(name)
    files = {folder / path.name: path}
    for profile in [None, *(load_document(path).data.get("profiles") or {})]:
        for template, found in _load(path, profile).templates.items():
            files[folder / "templates" / template] = found
    taken = [target for target in files if target.exists()]
    if taken and not force:
        raise OutputError(f"{taken[0]} exists; choose another folder, or use --force to replace it")
    for target, found in files.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(found.read_bytes())
        except OSError as error:
            raise OutputError(f"{target} can't be written: {reason_of(error)}") from error
    return list(files)


def describe_member(name: str, plugins: Iterable[str] = ()) -> list[MemberSummary]:
    """Returns the members of any kind with a name.

    Raises:
        UsageError: if there is none.
    """
    discover(plugins)
    members = {kind: list(registry) for kind, (_, registry) in _KINDS.items()}
    found = [_describe(kind, _KINDS[kind][1].get(name), name) for kind, names in members.items() if name in names]
    if not found:
        known = [item for names in members.values() for item in names]
        raise UsageError(f"no step, backend, source or sink {name!r}{nearest(name, known)}")
    return found


def _describe(kind: str, member: Any, name: str) -> MemberSummary:
    keys = [
        Key(
            key,
            None if field.is_required() else field.get_default(call_default_factory=True),
            field.is_required(),
            field.description or "",
        )
        for key, field in member.Config.model_fields.items()
        if key not in ("name", "backend")
    ]
    recipe, example = next(_uses(kind, name), (None, None))
    return MemberSummary(
        kind=kind,
        name=name,
        documentation=inspect.cleandoc(member.__doc__ or ""),
        shorthand=member.Config.shorthand,
        keys=keys,
        example=example,
        recipe=recipe,
    )


def _uses(kind: str, name: str) -> Iterator[tuple[str, Any]]:
    """Yields the parts of bundled recipes that use a member, with the names of the recipes."""
    section = _KINDS[kind][0]
    for recipe, path in builtin_recipes().items():
        part: Any = load_document(path).data.get(section) or {}
        if kind == "backend":
            yield from ((recipe, {engine: body}) for engine, body in part.items() if body.get("backend") == name)
            continue
        items = [part] if isinstance(part, Mapping) else part
        yield from ((recipe, item) for item in items if isinstance(item, Mapping) and name in item)


def first_line(item: object) -> str:
    """Returns the first line of an object's documentation."""
    return (item.__doc__ or "").strip().partition("\n")[0]


def list_members(plugins: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Returns the members that recipes can name, by kind, each with the first line of its documentation."""
    discover(plugins)
    registries = {"steps": STEPS, "backends": BACKENDS, "sources": SOURCES, "sinks": SINKS}
    return {kind: {name: first_line(registry.get(name)) for name in registry} for kind, registry in registries.items()}


def list_recipes() -> dict[str, str]:
    """Returns the bundled recipes, each with its description."""
    lines = {}
    for name, path in builtin_recipes().items():
        data = load_document(path).data or {}
        lines[name] = str(data.get("description", ""))
    return lines
