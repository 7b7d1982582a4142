"""Reading a run that one may not write to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import JournalError
from mminf.journal import Journal

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not write")


@pytest.fixture
def recipe(write_recipe: Callable[[str], Path], rows: Callable[..., Path]) -> Path:
    rows(*({"id": str(n), "q": f"question {n}"} for n in range(40)))
    return write_recipe(
        """
engines: {s: {backend: scripted, answer: hi, latency: 0.05}}
source: {jsonl: rows.jsonl}
window: 4
steps: [generate: {engine: s, prompt: '{{ q }}'}]
sinks: [{jsonl: o.jsonl}]
"""
    )


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that everybody can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    yield tmp_path


def as_nobody(work: Callable[[], object]) -> object:
    """Runs something in a child that may not write to what root owns, and returns its JSON or its error."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = json.dumps(work())
        except BaseException as error:  # told to the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    os.waitpid(child, 0)
    assert said.startswith("{"), said
    return json.loads(said)


def readers(output: Path, recipe: Path, to: Path) -> dict[str, object]:
    status = api.status(output)
    shown = api.show(output, "3")["outcomes"][0]["state"] if status["done"] > 5 else None
    rows = [written.rows for written in api.export(mminf.load(recipe), output, to=to, force=True)]
    return {"done": status["done"], "state": status["state"], "shown": shown, "rows": rows}


def test_a_finished_run_can_be_read_by_who_may_not_write(recipe: Path, own_folder: Path, tmp_path: Path) -> None:
    output, to = own_folder / "out", own_folder / "to"
    api.run(recipe, output=output)
    to.mkdir()
    to.chmod(0o777)
    before = sorted(path.name for path in output.iterdir())
    found = as_nobody(lambda: readers(output, recipe, to))
    assert found == {"done": 40, "state": "finished", "shown": "done", "rows": [40]}
    assert sorted(path.name for path in output.iterdir()) == before
    assert (to / "o.jsonl").read_bytes() == (output / "o.jsonl").read_bytes()


def _done(output: Path) -> int:
    try:
        return int(api.status(output)["done"])
    except JournalError:  # it is only being made
        return 0


def test_a_run_under_way_or_killed_can_be_read_too(recipe: Path, own_folder: Path) -> None:
    output, to = own_folder / "out", own_folder / "to"
    to.mkdir()
    to.chmod(0o777)
    command = [sys.executable, "-m", "mminf.cli.main", "run", str(recipe), "--output", str(output), "-q"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while _done(output) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running = as_nobody(lambda: readers(output, recipe, to))
    assert (running["state"], running["shown"]) == ("running", "done")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (output / "journal.sqlite-wal").stat().st_size, "what was done stands in the log"
    (output / "journal.sqlite-shm").unlink()
    killed = as_nobody(lambda: readers(output, recipe, to))
    assert killed["state"] == "killed"
    assert killed["done"] >= running["done"] >= 8
    assert killed["rows"] == [killed["done"]]


def test_reading_changes_nothing(recipe: Path, tmp_path: Path) -> None:
    api.run(recipe, output=tmp_path / "out")
    copy = tmp_path / "copy.sqlite"
    shutil.copyfile(tmp_path / "out" / "journal.sqlite", copy)
    api.status(tmp_path / "out")
    with Journal(tmp_path / "out") as journal, pytest.raises(sqlite3.OperationalError, match="readonly"):
        journal.database._reader.execute("DELETE FROM rows")
    assert (tmp_path / "out" / "journal.sqlite").read_bytes() == copy.read_bytes()
