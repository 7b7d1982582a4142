"""Packages that Python compiles at every start."""

from __future__ import annotations

import compileall
import sys
from pathlib import Path

import pytest

from mminf.bytecode import compiles_each_time


def test_a_package_without_bytecode_that_python_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert compiles_each_time("heavy") is None, "Python writes it at the first import"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    advice = compiles_each_time("heavy")
    assert advice is not None
    assert advice.endswith(f"python -m compileall -q -j 0 {tmp_path}")
    assert compileall.compile_dir(tmp_path, quiet=2)
    assert compiles_each_time("heavy") is None


def test_packages_that_are_missing_or_not_python() -> None:
    assert compiles_each_time("no_such_package") is None
    assert compiles_each_time("math") is None
