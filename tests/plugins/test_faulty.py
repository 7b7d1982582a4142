"""Plugins with faults are named when they are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf.errors import PluginError
from mminf.plugin.discovery import load_plugin
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
