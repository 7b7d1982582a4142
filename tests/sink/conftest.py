"""Fixtures of tests that write datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .runs import RECIPE, SCRIPT, Make


@pytest.fixture
def make(write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path) -> Make:
    """Writes a recipe over five rows with one sink."""
    (tmp_path / "s.py").write_text(SCRIPT)
    rows(*({"id": f"r{n}", "q": f"q{n}"} for n in range(5)))

    def write(sink: str = "{jsonl: o.jsonl}", name: str = "r") -> Path:
        return write_recipe(RECIPE.format(sink=sink, name=name).replace("s.py", str(tmp_path / "s.py")))

    return write
