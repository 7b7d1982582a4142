"""The built-in model under torchrun: two ranks make the rows of one, also after one of them was killed."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mminf
from mminf import api

from ..conftest import subprocess_env
from ..executor.test_ranks import ranks_of

pytestmark = pytest.mark.model


def start(images: Path, output: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mminf.cli.main", "run", "oasis", "--profile", "demo", "--set", "window=2"]
    return subprocess.Popen(
        [*command, "--input", str(images), "--output", str(output)],
        env=subprocess_env(NPROC_PER_NODE="2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def answers(output: Path) -> int:
    found = 0
    for path in output.glob("parts/*/journal.sqlite"):
        # The file is there a moment before its tables are.
        with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(path) as journal:
            found += journal.execute("SELECT count(*) FROM memo").fetchone()[0]
    return found


def test_two_ranks_make_the_rows_of_one(images: Path, tmp_path: Path) -> None:
    whole = mminf.run("oasis", profile="demo", input=images, output=tmp_path / "whole")
    process = start(images, tmp_path / "cut")
    deadline = time.monotonic() + 240
    while (tmp_path / "cut" / "parts").is_dir() is False or answers(tmp_path / "cut") < whole.calls // 2:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ranks_of(process)[1].send_signal(signal.SIGKILL)
    text, _ = process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGKILL, text
    assert "rank 1 (process" in text
    again = start(images, tmp_path / "cut")
    text, _ = again.communicate(timeout=300)
    assert again.returncode == 0, text
    for name in ("oasis.jsonl", "captions.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert whole.counts.done > 0
    assert api.status(tmp_path / "cut")["done"] == whole.counts.done
