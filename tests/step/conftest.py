"""Fixtures of tests that run steps."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf.journal import Journal

from ..conftest import read_rows
from .runs import SCRIPT, Run


@pytest.fixture
def go(write_recipe: Callable[[str], Path], rows: Callable[..., Path], calls_log: Path, tmp_path: Path) -> Run:
    """Runs steps over rows; returns the finished rows, the failures and the drops by id."""

    def run(
        steps: str, *items: dict[str, object], reply: str = 'return f"<{text}>"', **settings: Any
    ) -> dict[str, Any]:
        (tmp_path / "script.py").write_text(SCRIPT + "\ndef reply(request, text):\n" + textwrap.indent(reply, "    "))
        rows(*items)
        recipe = write_recipe(
            f"engines: {{a: {{backend: scripted, script: {tmp_path}/script.py}}}}\n"
            "source: {jsonl: rows.jsonl}\nsteps:\n"
            + textwrap.indent(textwrap.dedent(steps), "  ")
            + "\nsinks:\n  - jsonl: out.jsonl\n"
        )
        output = tmp_path / "out"
        mminf.run(recipe, output=output, overrides=settings)
        with Journal(output) as journal:
            ended = {row.id: row for row in journal.outcomes.rows(0, states=("failed", "dropped", "expanded"))}
        return {
            "rows": {row["id"]: row for row in read_rows(output / "out.jsonl")},
            "failed": {name: row.reason for name, row in ended.items() if row.state == "failed"},
            "dropped": {name: row for name, row in ended.items() if row.state == "dropped"},
        }

    return run
