"""Writes docs/reference/ from the help of the command line, the configs of all members, and the docstrings of `mminf`.

python scripts/write_reference.py          # writes the pages
python scripts/write_reference.py --check  # exits with 1 if a page is stale
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import typer.main

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.recipe.config import RunConfig
from mminf.recipe.insert import InsertConfig
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS
from mminf.request import Sampling

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by scripts/write_reference.py; don't edit. -->\n"


def cli_page() -> str:
    """Returns the page of the command line."""
    group: Any = typer.main.get_command(app)
    parts = [NOTE, "# Command line\n"]
    for name, command in group.commands.items():
        context = command.context_class(
            command,
            info_name=f"mminf {name}",
            terminal_width=100,
            max_content_width=100,
            help_option_names=["-h", "--help"],
        )
        parts.append(f"## mminf {name}\n\n```text\n{command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


def recipe_page() -> str:
    """Returns the page of the keys of recipes."""
    api.list_members()
    parts = [NOTE, "# Recipe reference\n", "## Top level\n", table(RunConfig)]
    parts += ["`engines`, `source`, `steps`, `sinks`, `profiles`: see below and [recipes](../recipes.md).\n"]
    parts += ["## Sampling\n", table(Sampling)]
    parts += ["## Insertions of profiles\n", "An entry of a profile's `insert`.\n", table(InsertConfig)]
    for title, registry in (("Engines", BACKENDS), ("Sources", SOURCES), ("Steps", STEPS), ("Sinks", SINKS)):
        parts.append(f"## {title}\n")
        for name in registry:
            member = registry.get(name)
            line = (member.__doc__ or "").strip().partition("\n")[0]
            short = f" A bare value sets `{member.Config.shorthand}`." if member.Config.shorthand else ""
            parts.append(f"### {name}\n\n{line}{short}\n\n{table(member.Config)}")
    return "\n".join(parts)


def python_page() -> str:
    """Returns the page of the names of the package, from their docstrings."""
    parts = [NOTE, "# Python reference\n", f"{inspect.cleandoc(mminf.__doc__ or '').partition(chr(10))[0]}\n"]
    parts.append("Every function that takes `**options` passes them to `load`.\n")
    members = {name: getattr(mminf, name) for name in mminf.__all__}
    functions = {name: member for name, member in members.items() if inspect.isfunction(member)}
    errors = {name: member for name, member in members.items() if name.endswith("Error") or name == "UnusableAnswer"}
    for name, function in functions.items():
        parts.append(f"## mminf.{name}\n\n```python\n{_signature(name, function)}\n```\n")
        parts.append(f"```text\n{inspect.cleandoc(function.__doc__ or '')}\n```\n")
    parts.append("## Values\n")
    documented = {name: inspect.cleandoc(members[name].__doc__ or "") for name in ("RunResult", "RunProgress")}
    parts += [f"### mminf.{name}\n\n```text\n{text}\n```\n" for name, text in documented.items()]
    parts.append("`RunResult.dataset(name=None)`: " + _first_paragraph(mminf.RunResult.dataset) + "\n")
    parts += ["## Errors\n", "| error | is a | |", "|---|---|---|"]
    for name, error in errors.items():
        parts.append(f"| `{name}` | `{error.__mro__[1].__name__}` | {_first_paragraph(error)} |")
    return "\n".join(parts) + "\n"


def _signature(name: str, function: Any) -> str:
    prefix = "async def" if inspect.iscoroutinefunction(function) else "def"
    parameters = [
        re.sub(r": '([^']*)'", r": \1", str(item)) for item in inspect.signature(function).parameters.values()
    ]
    text = f"{prefix} {name}({', '.join(parameters)}) -> {inspect.signature(function).return_annotation}"
    if len(text) <= 100:
        return text
    first = next(
        (n for n, item in enumerate(inspect.signature(function).parameters.values()) if item.kind == item.KEYWORD_ONLY),
        None,
    )
    starred = any(item.kind == item.VAR_POSITIONAL for item in inspect.signature(function).parameters.values())
    if first is not None and not starred:
        parameters.insert(first, "*")
    lines = "".join(f"    {item},\n" for item in parameters)
    return f"{prefix} {name}(\n{lines}) -> {inspect.signature(function).return_annotation}"


def _first_paragraph(item: Any) -> str:
    return " ".join(inspect.cleandoc(item.__doc__ or "").partition("\n\n")[0].split())


def table(config: Any) -> str:
    """Returns the fields of a config as a table."""
    rows = ["| key | default | |", "|---|---|---|"]
    for name, field in config.model_fields.items():
        default = "required" if field.is_required() else f"`{show(field.get_default(call_default_factory=True))}`"
        rows.append(f"| `{name}` | {default} | {(field.description or '').replace('|', '/')} |")
    return "\n".join(rows) + "\n"


def show(value: Any) -> str:
    """Returns a default value as short text."""
    if isinstance(value, Sampling):
        inner = ", ".join(f"{key}: {item}" for key, item in value.model_dump(exclude_defaults=True).items())
        return f"{{{inner}}}"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value) or "''"


def main() -> int:
    """Writes or checks the pages. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in (("cli.md", cli_page()), ("recipe.md", recipe_page()), ("python.md", python_page())):
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"stale: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
