"""Writes a first recipe for an input: what the input contains, which bundled recipes fit, and with which models."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mminf.backend.devices import may_have_gpu
from mminf.content import builtin_recipes, content_folder, find_recipe
from mminf.errors import EngineError, ImageError, OutputError, SourceError, UsageError, nearest
from mminf.image import ImagePolicy, decode_image, read_image
from mminf.plugin import discover
from mminf.recipe.dataflow import input_fields, undefined_reads
from mminf.recipe.lines import keep_in_section, load_document, replace_section
from mminf.recipe.loader import load_recipe
from mminf.recipe.model import Recipe
from mminf.record import Record
from mminf.registry import BACKENDS, SOURCES
from mminf.source.guess import guess_source
from mminf.storage import is_uri

READ = 50
"""Number of records of the input that are read, and of images that are opened."""
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
_SMALL = {True: "Qwen/Qwen2-VL-2B-Instruct", False: "Qwen/Qwen2.5-1.5B-Instruct"}
"""Models for a machine without a GPU: one that sees images, and one that does not."""
_HOOKS = "hook"
_ANSWERS = 10
"""Seconds in which a server should answer."""


class Where(StrEnum):
    """Where the models run."""

    GPU = "gpu"
    SERVER = "server"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class InputSummary:
    """What an input contains.

    Attributes:
        source: the recipe's `source`.
        records: number of records; None if it can't be counted without reading all of them.
        read: number of records that were read.
        with_images: number of these with images.
        fields: fields that all of these have, other than the id.
        partial: fields that some of these have, each with their number.
        bad: number of rows that can't be read, and the first reason.
        broken: number of their images on this machine that can't be opened, and the first reason.
    """

    source: Mapping[str, Any]
    records: int | None
    read: int
    with_images: int
    fields: frozenset[str]
    bad: tuple[int, str]
    broken: tuple[int, str]
    partial: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fitting:
    """A bundled recipe that an input fits. `hooks` says that it needs a model whose user turn can be left open."""

    name: str
    description: str
    hooks: bool


def finds_gpu() -> bool:
    """Returns whether this machine seems to have a GPU."""
    return may_have_gpu()


def inspect_input(given: str) -> InputSummary:
    """Reads the first records of an input.

    Raises:
        SourceError: if it does not exist, can't be read, or has no record.
    """
    discover()
    source = guess_source(given)
    ((kind, settings),) = source.items()
    made = SOURCES.get(kind)
    opened = made(made.Config.model_validate(settings), Path.cwd(), Path.cwd() / "images")
    opened.check()
    rows = list(itertools.islice(opened.read(), READ))
    records = [row for row in rows if isinstance(row, Record)]
    if not records:
        why = f": {rows[0].reason}" if rows else ""
        raise SourceError(f"{given} has no record that can be read{why}")
    fields, partial = _fields(records)
    bad = [row.reason for row in rows if not isinstance(row, Record)]
    broken = _broken_images(records, opened.policy())
    return InputSummary(
        source=source,
        records=len(rows) if len(rows) < READ else opened.count(),
        read=len(records),
        with_images=sum(bool(record.get("images")) for record in records),
        fields=fields - {"id"},
        bad=(len(bad), bad[0] if bad else ""),
        broken=(len(broken), broken[0] if broken else ""),
        partial=partial,
    )


def _broken_images(records: Sequence[Record], policy: ImagePolicy) -> list[str]:
    """Returns why the images of records can't be opened; images in stores and on the web are not fetched."""
    given = [record.get("images") for record in records]
    images = itertools.chain.from_iterable(item for item in given if isinstance(item, list))
    found = []
    for item in itertools.islice((item for item in images if isinstance(item, str) and not is_uri(item)), READ):
        try:
            decode_image(read_image(item, policy), item, policy.max_pixels)
        except ImageError as error:
            found.append(str(error))
    return found


def _fields(records: Sequence[Record]) -> tuple[frozenset[str], dict[str, int]]:
    """Returns the fields that all records have, and those that some have, with their number; empty ones are none."""
    filled = Counter(
        name for record in records for name, value in record.fields.items() if value not in (None, "", [], {})
    )
    everywhere = frozenset(name for name, number in filled.items() if number == len(records))
    return everywhere, {name: number for name, number in filled.items() if name not in everywhere}


def ask_server(url: str, model: str) -> str | None:
    """Returns why a server can't be used now, or None if it answers and serves the model.

    Raises:
        UsageError: if the address is not valid.
    """
    config = _server_config(url, model)
    try:
        asyncio.run(_meet(config))
    except TimeoutError:
        return f"{url} has not answered within {_ANSWERS} s"
    except EngineError as error:
        return str(error)
    return None


def _server_config(url: str, model: str) -> Any:
    discover()
    try:
        return BACKENDS.get("openai").Config(backend="openai", base_url=url, model=model)
    except ValidationError as error:  # the message has no address, which may contain a password
        raise UsageError(f"--server: {error.errors()[0]['msg']}") from error


async def _meet(config: Any) -> None:
    from mminf.backend.client import Client  # imports aiohttp

    client = Client(config)
    try:
        await asyncio.wait_for(client.meet(), _ANSWERS)
    finally:
        await client.close()


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
    """Returns the recipes that would fit if a column had the name that recipes use, by the setting that renames it."""
    kind = next(iter(found.source))
    known = {item.name for item in fitting_recipes(found)}
    fits = {}
    for name, others in _SYNONYMS.items():
        other = next((item for item in others if item in found.fields), None)
        if other is None or name in found.fields:
            continue
        fields = found.fields - {other} | {name}
        more = [item.name for item in fitting_recipes(replace(found, fields=fields)) if item.name not in known]
        if more:
            fits[f"source.{kind}.columns={{{name}: {other}}}"] = more
    return fits


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
    force: bool = False,
) -> Path:
    """Writes a bundled recipe with the given input and models to a folder. Returns its path.

    Args:
        url: address of the server.
        model: model that sees images, on this machine or of the server; by default the recipe's.
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
        _server_config(url, model)
    text = _adapt(find_recipe(name), found, where, url, model)
    target = folder / f"{name}.yaml"
    if target.exists() and not force:
        raise OutputError(f"{target} exists; choose another folder, or use --force to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_text(text.rstrip() + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target} can't be written: {error.strerror or error}") from error
    return target


def _adapt(path: Path, found: InputSummary | None, where: Where, url: str | None, model: str | None) -> str:
    """Returns the text of a recipe with another input and other engines, without profiles that are of no use."""
    text, data = path.read_text(encoding="utf-8"), load_document(path).data
    engines = {key: _engine(key, body, where, url, model) for key, body in data["engines"].items()}
    text = replace_section(text, "engines", yaml.safe_dump({"engines": engines}, sort_keys=False, width=110))
    if found is not None:
        ((kind, settings),) = found.source.items()
        before = (data.get("source") or {}).get(kind)
        given = {kind: {**(before if isinstance(before, Mapping) else {}), **settings}}
        text = replace_section(text, "source", yaml.safe_dump({"source": given}, sort_keys=False))
    text = keep_in_section(text, "profiles", {"demo", "asked"} if where is Where.SERVER else {"demo"})
    if where is Where.CPU:
        text = text.replace("\nengines:", f"\nlimit: {_LIMIT}  # a CPU needs minutes for each\n\nengines:", 1)
    text = _COMMAND.sub("", text, count=1)  # of the bundled recipe
    return f"# Written by `mminf init` from a bundled recipe; `mminf recipes {path.stem}` describes it.\n#\n{text}"


_LIMIT = 10
_COMMAND = re.compile(r"^#   mminf run \S.*\n(?:#\n)?", re.MULTILINE)


def _engine(key: str, body: Mapping[str, Any], where: Where, url: str | None, model: str | None) -> dict[str, Any]:
    sees = "vl" in str(body.get("model", "")).lower() or key == "vlm"
    if body.get("backend") == "encoder":
        return dict(body)
    if where is Where.SERVER:
        return {"backend": "openai", "base_url": url, "model": model}
    if where is Where.CPU:
        return {"backend": "transformers", "model": (model if sees else None) or _SMALL[sees], "max_pixels": 401408}
    return {**body, **({"model": model} if model is not None and sees else {})}


def next_commands(path: Path, name: str, where: Where, fits: Sequence[Fitting]) -> list[tuple[str, str]]:
    """Returns the commands that come next, each with what it does."""
    hooks = any(item.name == name and item.hooks for item in fits)
    profile = " --profile asked" if where is Where.SERVER and hooks and name == "oasis" else ""
    output = path.parent / "out" / name
    probe = (f"mminf plan {path}{profile} --probe 30 -o {output}", "what the run will cost")
    demo = (f"mminf preview {path} --profile demo", "what the recipe makes, without a model of your own")
    return [
        *([demo] if where is Where.CPU else []),
        (f"mminf preview {path}{profile}", "three records through all steps"),
        *([] if where is Where.CPU else [probe]),
        (f"mminf run {path}{profile} -o {output}", "the dataset"),
        (f"mminf report {output}", "a page about it"),
    ]
