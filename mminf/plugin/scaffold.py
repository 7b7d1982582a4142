"""Writes the files of a new plugin."""

from __future__ import annotations

import re
from pathlib import Path

from mminf.errors import UsageError
from mminf.plugin.discovery import discover
from mminf.registry import STEPS

_PLUGIN = '''"""A custom step: `{name}`."""

from mminf.step import Context, Outcome, Record, Step, StepConfig, step


class {cls}Config(StepConfig):
    reads: str = "text"
    writes: str = "{name}"


@step("{name}")
class {cls}(Step[{cls}Config]):
    """Writes the upper-cased text of one field."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {{self.config.writes: record[self.config.reads].upper()}}
'''

_RECIPE = """# mminf run {name}.yaml --input rows.jsonl
name: {name}
plugins: {name}.py
source: {{jsonl: rows.jsonl}}
steps:
  - {name}: {{reads: text, writes: {name}}}
sinks:
  - jsonl: {name}.jsonl
"""


def write_plugin(name: str, folder: Path | None = None) -> tuple[Path, Path]:
    """Writes `<name>.py`, a plugin with one step, and `<name>.yaml`, a recipe that runs it.

    Raises:
        UsageError: if the name is not an identifier or is taken, or a file exists already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(f"{name!r} is not a valid name of a step; use lower-case letters, digits and underscores")
    discover()
    if name in STEPS:
        raise UsageError(f"step {name!r} exists already; choose another name")
    folder = folder or Path.cwd()
    cls = "".join(part.capitalize() for part in name.split("_"))
    plugin, recipe = folder / f"{name}.py", folder / f"{name}.yaml"
    for path, text in ((plugin, _PLUGIN), (recipe, _RECIPE)):
        if path.exists():
            raise UsageError(f"{path} exists already")
        path.write_text(text.format(name=name, cls=cls), encoding="utf-8")
    return plugin, recipe
