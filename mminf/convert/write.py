"""Writes a converted configuration as a recipe with its templates."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from mminf.content import find_recipe
from mminf.convert.config import convert_config, load_config
from mminf.convert.converted import Converted
from mminf.convert.functions import Code
from mminf.errors import OutputError, reason_of
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
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", config.stem)
    found = convert_config(load_config(config), name, code=None if code is None else Code(code), steps=steps)
    target = folder / f"{name}.yaml"
    if target.resolve() == config.resolve():
        raise OutputError(f"{target} is the configuration itself; choose another folder")
    files = {target: _recipe_text(found, config, _source(found, config, folder.resolve()))}
    files |= {folder / "templates" / name: text for name, text in found.templates.items()}
    if not force and (there := [path for path in files if path.exists()]):
        raise OutputError(f"{there[0]} exists; choose another folder, or use --force to replace it")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {reason_of(error)}") from error
    return found, target


def _source(found: Converted, config: Path, folder: Path) -> dict[str, str]:
    """Returns the path of the rows, and of the folder from which their images are found.

    MM-INF looks for both in the folder in which it was started.
    """
    for started in (Path.cwd(), config.parent, config.parent.parent):
        if (path := started / found.input_file).is_file():
            given = Path(found.input_file).is_absolute()
            paths = {"path": found.input_file if given else os.path.relpath(path.resolve(), folder)}
            if path.resolve().parent != started.resolve():
                paths["image_root"] = str(started) if given else os.path.relpath(started.resolve(), folder)
                found.told.append(
                    f"`image_root: {paths['image_root']}`: relative paths of images start in the folder in which "
                    "MM-INF is started; remove it if they start in the input file's folder"
                )
            return paths
    found.decide.append(f"the input file {found.input_file!r} was not found; correct `source`")
    return {"path": found.input_file}


def _recipe_text(found: Converted, config: Path, source: dict[str, str]) -> str:
    head = [f"Converted from {config.name} by `mminf convert`.", *(f"DECIDE {line}" for line in found.decide)]
    comment = "".join(f"# {line}\n" for text in head for line in text.splitlines())
    ((kind, settings),) = found.recipe["source"].items()
    section = {"source": {kind: {**settings, **source}}}
    if found.known is None:
        note = {"note": found.recipe["note"]} if "note" in found.recipe else {}
        return f"{comment}\n{_dump({'name': found.name, **note, **found.recipe, **section})}"
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
