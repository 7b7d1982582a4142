"""Plugins with faults are named when they are loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

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
