"""Writes a converted configuration as a recipe with its templates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from mminf.content import find_recipe
from mminf.convert.config import Converted
from mminf.errors import OutputError
from mminf.starter import replace_section


def write_converted(found: Converted, config: Path, input_file: str, folder: Path, *, force: bool = False) -> Path:
    """Writes the recipe and its templates into a folder. Returns the recipe's path.

    Args:
        config: the configuration, whose name the recipe gets.
        input_file: as in the configuration.
        force: replace files that are there.

    Raises:
        OutputError: if a file is there or can't be written.
    """
    target = folder / f"{config.stem}.yaml"
    files = {target: _recipe_text(found, config, input_file, folder)}
    files |= {folder / "templates" / name: text for name, text in found.templates.items()}
    if not force and (there := [path for path in files if path.exists()]):
        raise OutputError(f"{there[0]} exists; choose another folder, or use --force to replace it")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {error.strerror or error}") from error
    return target


def find_input(config: Path, input_file: str) -> Path | None:
    """Returns the file of rows: MM-INF looks for it from its own folder, in which it was started."""
    for folder in (Path.cwd(), config.parent, config.parent.parent):
        if (path := folder / input_file).exists():
            return path.resolve()
    return None


def _recipe_text(found: Converted, config: Path, input_file: str, folder: Path) -> str:
    source = find_input(config, input_file)
    shown = input_file if source is None else os.path.relpath(source, folder.resolve())
    kind = "jsonl" if input_file.endswith((".jsonl", ".jsonl.gz")) else "json"
    head = [f"Converted from {config.name} by `mminf convert`.", *(f"DECIDE {line}" for line in found.decide)]
    comment = "".join(f"# {line}\n" for text in head for line in text.splitlines())
    if found.known is None:
        note = {"note": found.recipe["note"]} if "note" in found.recipe else {}
        recipe = {"name": config.stem, **note, **found.recipe, "source": {kind: shown}}
        return f"{comment}\n{_dump(recipe)}"
    text = find_recipe(found.known.recipe).read_text(encoding="utf-8")
    engines = found.recipe.get("engines")
    if engines:
        text = replace_section(text, "engines", _dump({"engines": engines}))
    if "hooked" in (engines or {}):
        text = text.replace("  - hook:\n      engine: vlm\n", "  - hook:\n      engine: hooked\n", 1)
    return f"{comment}#\n{replace_section(text, 'source', _dump({'source': {kind: shown}}))}"


def _dump(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
