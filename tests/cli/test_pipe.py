"""The exit code if the reader of the output has closed the pipe."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments", [["steps"], ["help", "recipes"], ["schema"]])
def test_a_closed_pipe_has_its_own_code(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "mminf.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 141, said
    assert said == b""
