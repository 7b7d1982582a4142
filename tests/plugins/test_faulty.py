"""Plugins with faults are named when they are loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import mminf
from mminf.errors import PluginError
from mminf.plugin.discovery import install_sources, load_plugin, plugin_sources
from mminf.registry import STEPS


def test_a_plugin_with_a_faulty_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(
        "from pydantic import field_validator\n"
        "from mminf.step import Context, Outcome, Record, Step, StepConfig, step\n"
        "class FaultyConfig(StepConfig):\n"
        "    @field_validator('typo')\n"
        "    @classmethod\n"
        "    def check(cls, value: str) -> str:\n"
        "        return value\n"
        "@step('faulty')\n"
        "class Faulty(Step[FaultyConfig]):\n"
        "    async def run(self, record: Record, ctx: Context) -> Outcome:\n"
        "        return {}\n"
    )
    with pytest.raises(PluginError, match=r"faulty.py: plugin can't be imported: PydanticUserError"):
        load_plugin("faulty.py", base=tmp_path)
    assert "faulty" not in STEPS


@pytest.mark.usefixtures("own_plugins")
def test_workers_get_a_plugin_file_as_it_was_loaded(tmp_path: Path) -> None:
    """The file of an earlier recipe in the same process may be removed, and one that is edited is not loaded again."""
    content = b"# coding: latin-1\nNAME = 'caf\xe9'\n"
    for name in ("edited.py", "removed.py"):
        (tmp_path / name).write_bytes(content)
        load_plugin(name, base=tmp_path)
    (tmp_path / "edited.py").write_text("NAME = 1 / 0\n")
    (tmp_path / "removed.py").unlink()
    sent = [source for source in plugin_sources().values() if source[0] in ("edited.py", "removed.py")]
    assert sorted(sent) == [("edited.py", content), ("removed.py", content)]
    install_sources({"mminf_plugin_at_a_worker": sent[0]})
    assert sys.modules.pop("mminf_plugin_at_a_worker").NAME == "café"


@pytest.mark.usefixtures("own_plugins")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return {'other': 1}", "wrote other, which it does not declare in `writes` (wrong.py:10)"),
        ("return None", "returned NoneType, not fields, a Drop or a list of fields (wrong.py:10)"),
        ("return [{'x': 1}]", "made children, but its class does not set `gate = True` (wrong.py:10)"),
        ("return {'x': float('nan')}", "(wrong.py:10)"),
        ("return {'x': 1}[3]", "KeyError: 3 (wrong.py:11)"),
    ],
)
def test_errors_of_a_plugin_have_its_file_and_line(body: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from mminf.step import Step, StepConfig, step\n\n\n"
        "class WrongConfig(StepConfig):\n    writes: str = 'x'\n\n\n"
        f"@step('wrong')\nclass Wrong(Step[WrongConfig]):\n    async def run(self, record, ctx):\n        {body}\n"
    )
    (tmp_path / "r.yaml").write_text(
        "plugins: wrong.py\nsource: {blank: 1}\nsteps: [wrong: {}]\nsinks: [jsonl: o.jsonl]\n"
    )
    mminf.run(tmp_path / "r.yaml", output=tmp_path / "out")
    (row,) = mminf.list(tmp_path / "out")
    assert row["state"] == "failed" and told in str(row["reason"])
