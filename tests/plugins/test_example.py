"""The worked example: a step in a package of its own, found by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..conftest import ROOT, read_rows


def test_a_step_of_a_package_of_its_own(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    # A copy: building leaves files beside the sources.
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", str(ROOT / "plugins" / "example"), str(source)], check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(tmp_path / "site"), str(source)], check=True, capture_output=True)
    rows({"id": "easy", "response": "The cat sat on the mat."}, {"id": "hard", "response": "Institutional heterogeneity."},
         {"id": "none", "response": "猫"})  # fmt: skip
    recipe = write_recipe(
        "source: {jsonl: rows.jsonl}\nsteps:\n  - reading_ease: {writes: ease}\n  - keep: ease >= 50\nsinks: [jsonl: out.jsonl]\n"
    )
    command = [sys.executable, "-m", "mminf.cli.main", "run", str(recipe), "--output", str(tmp_path / "out")]
    without = subprocess.run(command, capture_output=True, text=True)
    assert without.returncode == 2
    assert "reading_ease" in without.stderr
    found = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    )
    assert found.returncode == 0, found.stderr
    assert [(row["id"], row["ease"]) for row in read_rows(tmp_path / "out" / "out.jsonl")] == [("easy", 116.15)]
    assert "1 row done, 1 dropped, 1 failed" in found.stdout
