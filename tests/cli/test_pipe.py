"""The exit code if the reader of the output has closed the pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", [["steps"], ["help", "recipes"], ["schema"]])
def test_a_closed_pipe_has_its_own_code(arguments: list[str]) -> None:
    ends_with_the_pipe(arguments)


def test_a_preview_into_a_closed_pipe(tmp_path: Path) -> None:
    """rich ends a process with code 1 then."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "r.yaml").write_text("name: r\nsource: {jsonl: rows.jsonl}\nsteps:\n  - set: {b: '1'}\n")
    ends_with_the_pipe(["preview", str(tmp_path / "r.yaml")])


def ends_with_the_pipe(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "mminf.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 141, said
    assert said == b""
