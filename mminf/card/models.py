"""The models of a run, and the licences that local copies of their model cards state."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mminf.card.hide import is_local_path, shorten_path
from mminf.content import content_folder
from mminf.page.figures import steps_of

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_HEADER = re.compile(r"\A\s*---\r?\n(.*?)\r?\n---\s*$", re.DOTALL | re.MULTILINE)
_BUILTIN = "builtin:"
_CARD = "README.md"
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a run.

    Attributes:
        name: its id, or the last part of its local path.
        link: its page; None if it has none.
        backends: what ran it.
        steps: the steps that call it.
        licence: as its model card states it; None if no model card is on this machine, or it states none.
        revision: the revision that the recipe names.
    """

    name: str
    link: str | None
    backends: tuple[str, ...]
    steps: tuple[str, ...]
    licence: str | None
    revision: str | None


def list_models(recipe: Mapping[str, Any]) -> list[Model]:
    """Returns the models that the steps of a recipe call, in the order of the recipe."""
    engines: Mapping[str, Mapping[str, Any]] = recipe.get("engines") or {}
    used: dict[tuple[str, str | None], dict[str, list[str]]] = {}
    for _, step in steps_of(recipe):
        for name in _engines_of(step):
            if (engine := engines.get(name)) is None or not engine.get("model"):
                continue
            found = used.setdefault((str(engine["model"]), engine.get("revision")), {"backends": [], "steps": []})
            found["backends"].append(str(engine.get("backend")))
            found["steps"].append(str(step["name"]))
    return [
        Model(
            shorten_path(model),
            page_of(model),
            tuple(dict.fromkeys(found["backends"])),
            tuple(dict.fromkeys(found["steps"])),
            find_licence(model),
            revision,
        )
        for (model, revision), found in used.items()
    ]


def _engines_of(step: Mapping[str, Any]) -> Iterator[str]:
    for key, value in step.items():
        if (key == "engine" or key.endswith("_engine")) and isinstance(value, str):
            yield value


def page_of(model: str) -> str | None:
    """Returns the page of a model on a hub, or None if its name is not an id on a hub."""
    known = _HUB_ID.fullmatch(model) and not is_local_path(model) and not Path(model).exists()
    return f"https://huggingface.co/{model}" if known else None


def find_licence(model: str) -> str | None:
    """Returns the licence that a model card on this machine states, or None. Nothing is downloaded."""
    for card in _cards(model):
        try:
            with card.open(encoding="utf-8", errors="replace") as file:
                if (licence := read_licence(file.read(_LONGEST))) is not None:
                    return licence
        except OSError:
            continue
    return None


def _cards(model: str) -> Iterator[Path]:
    """Yields the places at which a copy of a model card may be: the model's folder, and the caches of the hubs."""
    if model.startswith(_BUILTIN):
        yield content_folder("models") / model.removeprefix(_BUILTIN) / _CARD
        return
    yield Path(model).expanduser() / _CARD
    if not _HUB_ID.fullmatch(model):
        return
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model, _CARD)
    if isinstance(cached, str):
        yield Path(cached)
    cache = Path(os.environ.get("MODELSCOPE_CACHE") or Path.home() / ".cache" / "modelscope").expanduser()
    # ModelScope writes a dot in a name as three underscores in newer versions of its cache.
    for name in (model, model.replace(".", "___")):
        yield from (cache / folder / name / _CARD for folder in ("hub/models", "models", "hub"))


def read_licence(card: str) -> str | None:
    """Returns the licence that the header of a model card states, or None."""
    header = _HEADER.search(card)
    try:
        found = yaml.safe_load(header[1]) if header is not None else None
    except yaml.YAMLError:
        return None
    if not isinstance(found, Mapping):
        return None
    licence = found.get("license_name") if found.get("license") == "other" else found.get("license")
    names = licence if isinstance(licence, list) else [licence]
    return ", ".join(name for name in names if isinstance(name, str) and name.isprintable())[:80] or None
