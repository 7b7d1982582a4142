"""Writes a first recipe for an input: what the input contains, which bundled recipes fit, and with which models."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mminf.backend.devices import may_have_gpu
from mminf.content import builtin_recipes, content_folder, find_recipe
from mminf.errors import OutputError, UsageError, nearest, reason_of
from mminf.input_summary import InputSummary
from mminf.plugin import discover
from mminf.recipe.dataflow import input_fields, undefined_reads
from mminf.recipe.lines import keep_in_section, load_document, replace_section
from mminf.recipe.loader import load_recipe
from mminf.recipe.model import Recipe
from mminf.starter_models import server_config, with_found_settings

FIRST = (
    "oasis",
    "caption_qa",
    "allava_session",
    "verifiable",
    "preference",
    "allava_vflan",
    "mammoth_vl",
    "mmevol",
    "verifiable_gold",
    "allava_text",
)
"""The order in which recipes are proposed; the others come after them."""
_SYNONYMS = {
    "instruction": ("question", "prompt", "query", "input", "user"),
    "description": ("caption", "text", "alt_text"),
    "solution": ("answer",),
}
"""Fields that recipes read, each with other names that columns of published datasets have."""
_ALIKE = 0.8
"""How alike two names must be for `difflib.get_close_matches`: `instrution` and `instruction` are alike."""
_SMALL = {True: "Qwen/Qwen2-VL-2B-Instruct", False: "Qwen/Qwen2.5-1.5B-Instruct"}
"""Models for a machine without a GPU: one that sees images, and one that does not."""
_CPU_PIXELS = 401408
_HOOKS = "hook"


class Where(StrEnum):
    """Where the models run."""

    GPU = "gpu"
    SERVER = "server"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Fitting:
    """A bundled recipe that an input fits. `hooks` says that it needs a model whose user turn can be left open."""

    name: str
    description: str
    hooks: bool


def finds_gpu() -> bool:
    """Returns whether this machine seems to have a GPU."""
    return may_have_gpu()


def fitting_recipes(found: InputSummary | None) -> list[Fitting]:
    """Returns the bundled recipes whose steps read nothing that the input lacks; first those that read most of it.

    Args:
        found: None: recipes that take no input.
    """
    discover()
    ranked = []
    for name, path in builtin_recipes().items():
        recipe = _load(path)
        if _fits(recipe, found):
            given = _given(recipe, found) | {"id"}
            used = sum(bool(undefined_reads(recipe.steps, given - {name})) for name in given)
            place = FIRST.index(name) if name in FIRST else len(FIRST)
            hooks = any(step.type == _HOOKS for step in recipe.steps)
            description = str(load_document(path).data.get("description") or "")
            ranked.append((-used, place, name, Fitting(name, description, hooks)))
    return [item for *_, item in sorted(ranked, key=lambda item: item[:3])]


def renamed_columns(found: InputSummary) -> dict[str, list[str]]:
    """Returns the recipes that would fit if a column had the name that recipes use, by `name=column`."""
    kind = next(iter(found.source))
    if kind in ("images", "text"):
        return {}
    known = {item.name for item in fitting_recipes(found)}
    read = {name for path in builtin_recipes().values() for name in input_fields(_load(path).steps)}
    fits = {}
    for name in sorted(read - {"images"} - found.fields):
        if (other := column_like(name, found.fields - {"images", "id"})) is None:
            continue
        fields = found.fields - {other} | {name}
        more = [item.name for item in fitting_recipes(replace(found, fields=fields)) if item.name not in known]
        if more:
            fits[f"{name}={other}"] = more
    return fits


def column_like(name: str, columns: Collection[str]) -> str | None:
    """Returns the column that a recipe's field may be meant by: a synonym, or a name that is spelt almost the same."""
    plain = {other.strip().casefold(): other for other in sorted(columns, reverse=True)}
    synonym = next((other for other in (name, *_SYNONYMS.get(name, ())) if other in plain), None)
    alike = [other for other in plain if other[:1] == name[:1]]
    close = synonym or next(iter(get_close_matches(name, alike, n=1, cutoff=_ALIKE)), None)
    return None if close is None else plain[close]


def missing_fields(name: str, found: InputSummary) -> list[str]:
    """Returns the fields that a bundled recipe needs and an input lacks."""
    recipe = _load(builtin_recipes()[name])
    return [item for item in input_fields(recipe.steps) if item not in _given(recipe, found) | {"id"}]


def _given(recipe: Recipe, found: InputSummary | None) -> frozenset[str]:
    """Returns the fields that the steps of a recipe would find."""
    if found is None:
        return frozenset()
    kind = next(iter(found.source))
    if recipe.source is None or not recipe.source.type == kind == "text":
        return found.fields
    return found.fields | {recipe.source.config.field}


def _fits(recipe: Recipe, found: InputSummary | None) -> bool:
    takes_none = recipe.source is not None and recipe.source.type == "blank"
    if found is None or takes_none:
        return takes_none and found is None
    return not undefined_reads(recipe.steps, _given(recipe, found) | {"id"})


def _load(path: Path) -> Recipe:
    return load_recipe(path, templates=[content_folder("templates")])


def write_starter(
    name: str,
    folder: Path,
    found: InputSummary | None,
    where: Where,
    *,
    url: str | None = None,
    model: str | None = None,
    text_model: str | None = None,
    force: bool = False,
) -> Path:
    """Writes a bundled recipe with the given input and models to a folder. Returns its path.

    Args:
        url: address of the server.
        model: model that sees images, on this machine or of the server, or the only model of a recipe without images;
            by default the recipe's.
        text_model: model of the steps that show no image; by default the recipe's, or `model` on a server.
        force: replace a recipe that is there.

    Raises:
        UsageError: if there is no such recipe, or a server needs a valid address and a model.
        OutputError: if a recipe is there.
    """
    if folder.is_file():
        raise UsageError(f"{folder} is a file, and the recipe needs a folder: mminf init my_data --input {folder}")
    if name not in builtin_recipes():
        raise UsageError(f"no bundled recipe {name!r}{nearest(name, builtin_recipes())}")
    if where is Where.SERVER and (url is None or model is None):
        raise UsageError("models on a server need its address and the model's name: --server URL --model NAME")
    if url is not None and model is not None:
        server_config(url, model)
    if where is not Where.SERVER:
        model, text_model = _local("--model", model), _local("--text-model", text_model)
    text = _adapt(find_recipe(name), found, Engines(where, url, model, text_model))
    target = folder / f"{name}.yaml"
    if target.exists() and not force:
        raise OutputError(f"{target} exists; choose another folder, or use --force to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_text(text.rstrip() + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target} can't be written: {reason_of(error)}") from error
    return target


def _local(option: str, model: str | None) -> str | None:
    """Returns the name of a model; the whole path of a folder, so that the recipe runs in any folder.

    Raises:
        UsageError: if it is a path, and there is no such folder.
    """
    if model is None or model.startswith("builtin:"):
        return model
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.absolute())
    if model.startswith(("/", "./", "../", "~")):
        raise UsageError(f"{option} {model}: no such folder")
    return model


def _own_pixels(model: str) -> int | None:
    """Returns the maximum number of pixels of a local model's images; None if it is not known."""
    try:
        given = json.loads((Path(model) / "preprocessor_config.json").read_bytes()).get("max_pixels")
    except (OSError, ValueError, AttributeError):
        return None
    return given if isinstance(given, int) and given > 0 else None


class Engines(NamedTuple):
    """Where the models of a starter run, and which they are; see `write_starter`."""

    where: Where
    url: str | None
    model: str | None
    text_model: str | None

    def adapt(self, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Returns the engines of a recipe with other places and models."""
        sees = {key: "vl" in str(body.get("model", "")).lower() or key == "vlm" for key, body in bodies.items()}
        made: dict[str, dict[str, Any]] = {}
        for key, body in bodies.items():
            first = sees[key] or not any(sees.values())
            text = self.text_model or (self.model if first else None)
            made[key] = self._engine(body, self.model if sees[key] else text, sees=sees[key])
        for key, engine in made.items():
            for other in made.values():  # the same model with other settings would be loaded twice
                if engine["model"] == other["model"] and len(other) > len(engine):
                    made[key] = dict(other)
        return made

    def _engine(self, body: Mapping[str, Any], model: str | None, *, sees: bool) -> dict[str, Any]:
        if body.get("backend") == "encoder":
            return dict(body)
        if self.where is Where.SERVER:
            shown = {"max_pixels": body["max_pixels"]} if sees and "max_pixels" in body else {}
            return {"backend": "openai", "base_url": self.url, "model": model or self.model, **shown}
        own = {} if model is None else {"model": model}
        made: dict[str, Any]
        if self.where is Where.CPU:
            made = {"backend": "transformers", "model": _SMALL[sees], "max_pixels": _CPU_PIXELS, **own}
        else:
            made = {**body, **own}
        if model is not None and "max_pixels" in made and (most := _own_pixels(model)) is not None:
            made["max_pixels"] = min(most, made["max_pixels"])  # larger images than it was trained with
        return made


def _adapt(path: Path, found: InputSummary | None, given: Engines) -> str:
    """Returns the text of a recipe with another input and other engines, without profiles that are of no use."""
    text, data = path.read_text(encoding="utf-8"), load_document(path).data
    where, engines = given.where, with_found_settings(given.adapt(data["engines"]))
    text = replace_section(text, "engines", yaml.safe_dump({"engines": engines}, sort_keys=False, width=110))
    if found is not None:
        ((kind, settings),) = found.source.items()
        before = (data.get("source") or {}).get(kind)
        merged = {kind: {**(before if isinstance(before, Mapping) else {}), **settings}}
        text = replace_section(text, "source", yaml.safe_dump({"source": merged}, sort_keys=False))
    text = keep_in_section(text, "profiles", {"demo", "asked"} if where is Where.SERVER else {"demo"})
    if where is Where.CPU:
        text = text.replace("\nengines:", f"\nlimit: {_LIMIT}  # a CPU needs minutes for each\n\nengines:", 1)
    text = _COMMAND.sub("", text, count=1)  # of the bundled recipe
    return f"# Written by `mminf init` from a bundled recipe; `mminf recipes {path.stem}` describes it.\n#\n{text}"


_LIMIT = 10
_COMMAND = re.compile(r"^#   mminf run \S.*\n(?:#\n)?", re.MULTILINE)


def next_commands(
    path: Path, name: str, where: Where, fits: Sequence[Fitting], *, open_turn: bool = True
) -> list[tuple[str, str]]:
    """Returns the commands that come next, each with what it does.

    Args:
        open_turn: whether the server, if there is one, leaves the user's turn open.
    """
    hooks = any(item.name == name and item.hooks for item in fits)
    closed = where is Where.SERVER and not open_turn
    profile = " --profile asked" if closed and hooks and name == "oasis" else ""
    output = path.parent / "out" / name
    probe = (f"mminf plan {path}{profile} --probe 30 -o {output}", "what the run will cost")
    demo = (f"mminf preview {path} --profile demo", "its rows from drawn scenes, without a model of yours")
    return [
        *([demo] if where is Where.CPU else []),
        (f"mminf preview {path}{profile} -o {output}", "three records through all steps"),
        *([] if where is Where.CPU else [probe]),
        (f"mminf run {path}{profile} -o {output}", "the dataset"),
        (f"mminf report {output}", "a page about it"),
    ]
