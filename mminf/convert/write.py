"""Writes a converted configuration as a recipe with its templates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from mminf.content import find_recipe
from mminf.convert.config import convert_config, load_config
from mminf.convert.converted import Converted
from mminf.convert.functions import Code
from mminf.errors import OutputError
from mminf.plugin import discover
from mminf.recipe.lines import replace_section


def convert_file(
    config: Path, folder: Path, *, code: Path | None = None, steps: bool = False, force: bool = False
) -> tuple[Converted, Path]:
    """Converts a configuration of MM-INF, and writes the recipe and its templates into a folder.

    Args:
        config: the configuration, whose name the recipe gets.
        code: folder with its functions; prompt functions are imported and called.
        steps: convert each step, also if a bundled recipe does what the configuration does.
        force: replace files that are there.

    Returns:
        What was converted, and the path of the recipe.

    Raises:
        UsageError: if it is not such a configuration.
        OutputError: if a file is there or can't be written.
    """
    discover()
    found = convert_config(load_config(config), code=None if code is None else Code(code), steps=steps)
    source = _find_input(config, found.input_file)
    if source is None:
        found.decide.append(f"the input file {found.input_file!r} was not found; correct `source`")
    target = folder / f"{config.stem}.yaml"
    shown = found.input_file if source is None else os.path.relpath(source, folder.resolve())
    files = {target: _recipe_text(found, config, shown)}
    files |= {folder / "templates" / name: text for name, text in found.templates.items()}
    if not force and (there := [path for path in files if path.exists()]):
        raise OutputError(f"{there[0]} exists; choose another folder, or use --force to replace it")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {error.strerror or error}") from error
    return found, target


def _find_input(config: Path, input_file: str) -> Path | None:
    """Returns the file of rows: MM-INF looks for it in the folder in which it was started."""
    for folder in (Path.cwd(), config.parent, config.parent.parent):
        if (path := folder / input_file).is_file():
            return path.resolve()
    return None


def _recipe_text(found: Converted, config: Path, source: str) -> str:
    head = [f"Converted from {config.name} by `mminf convert`.", *(f"DECIDE {line}" for line in found.decide)]
    comment = "".join(f"# {line}\n" for text in head for line in text.splitlines())
    ((kind, settings),) = found.recipe["source"].items()
    settings = {**settings, "path": source}
    section = {"source": {kind: settings if len(settings) > 1 else source}}
    if found.known is None:
        note = {"note": found.recipe["note"]} if "note" in found.recipe else {}
        return f"{comment}\n{_dump({'name': config.stem, **note, **found.recipe, **section})}"
    text = find_recipe(found.known.recipe).read_text(encoding="utf-8")
    engines = found.recipe["engines"]
    text = replace_section(text, "engines", _dump({"engines": engines}))
    if "hooked" in engines:
        text = text.replace("  - hook:\n      engine: vlm\n", "  - hook:\n      engine: hooked\n", 1)
    return f"{comment}#\n{replace_section(text, 'source', _dump(section))}"


def _dump(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
