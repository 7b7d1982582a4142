"""Journals of outputs in stores: checkpoints, and what a store's failures cost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import mminf
import mminf.journal.mirror
from mminf import api
from mminf.errors import JournalError

from ..stores import put


def test_a_checkpoint_gets_through_while_the_journal_is_written(memory: Any, tmp_path: Path) -> None:
    """A backup in steps begins again at every commit, and never ends."""
    from mminf.journal.mirror import push_journal

    with sqlite3.connect(tmp_path / "journal.sqlite") as journal:
        journal.execute("PRAGMA journal_mode = WAL")
        journal.execute("CREATE TABLE memo (x BLOB)")
        journal.executemany("INSERT INTO memo VALUES (?)", [(b"x" * 1000,)] * 40_000)
    over = threading.Event()

    def write() -> None:
        with sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None) as writer:
            while not over.is_set():
                writer.execute("INSERT INTO memo VALUES (zeroblob(100))")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sender = threading.Thread(target=push_journal, args=(tmp_path, memory / "out"), daemon=True)
        sender.start()
        sender.join(60)
        assert not sender.is_alive()
    finally:
        over.set()
        writer.join()
    assert (memory / "out" / "journal.sqlite").stat().st_size > 40_000_000


def test_the_last_checkpoint_comes_last(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mminf.journal import mirror

    order: list[str] = []

    def slow() -> None:
        order.append("begun")
        time.sleep(0.4)
        order.append("sent")

    monkeypatch.setattr(mirror, "SECONDS", 0.01)
    (tmp_path / "journal.sqlite").write_bytes(b"x")

    async def work() -> None:
        async with mirror.sending(tmp_path, slow):
            await asyncio.sleep(0.1)
        order.append("over")

    asyncio.run(work())
    assert order == ["begun", "sent", "over"]


def test_a_store_that_fails_for_a_while_costs_no_more_than_a_checkpoint(
    memory: Any, store_recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.journal import mirror

    class OutOfReach(Exception):
        """As botocore's, which is no OSError."""

    real, failed = mirror.send_file, []

    def sometimes(file: Path, path: Any) -> None:
        if threading.current_thread().name == "mminf-checkpoint" and len(failed) < 2:
            failed.append(path)
            raise OutOfReach
        real(file, path)

    monkeypatch.setattr(mirror, "SECONDS", 0.05)
    monkeypatch.setattr(mirror, "SHARE", 0)
    monkeypatch.setattr(mirror, "send_file", sometimes)
    result = mminf.run(
        store_recipe, input=images, output=str(memory / "out"), overrides={"engines.llm.latency": 0.1, "window": 2}
    )
    assert (result.counts.done, len(failed)) == (12, 2)
    assert api.status(str(memory / "out"))["done"] == 12


def test_a_merge_sees_what_a_shard_has_done_since(memory: Any, store_recipe: Path, images: Path) -> None:
    out = str(memory / "out")
    api.run(store_recipe, input=images, output=out, shard="0/2")
    api.run(store_recipe, input=images, output=out, shard="1/2", seed=9)
    with pytest.raises(JournalError, match="shard 1/2 was run with another recipe"):
        api.merge(api.prepare(api.load(store_recipe, input=images), output=out))
    api.run(store_recipe, input=images, output=out, shard="1/2")
    assert api.merge(api.prepare(api.load(store_recipe, input=images), output=out)).counts.done == 12
    api.run(store_recipe, input=images, output=out, shard="1/3", seed=3)
    assert mminf.run(store_recipe, input=images, output=out).counts.done == 12
    assert api.status(out)["parts"] == {}, "what a plain run has taken over is gone from the store"


def test_checkpoints_go_to_the_store_while_a_run_goes_on(
    memory: Any, store_recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr("mminf.journal.mirror.SECONDS", 0.05)
    monkeypatch.setattr("mminf.journal.mirror.SHARE", 0)
    real = mminf.journal.mirror.send_file

    def count(file: Path, path: Any) -> None:
        if path.name != "journal.sqlite":
            return real(file, path)
        with sqlite3.connect(file) as journal:
            sent.append(journal.execute("SELECT count(*) FROM memo").fetchone()[0])
        return real(file, path)

    monkeypatch.setattr("mminf.journal.mirror.send_file", count)
    mminf.run(
        store_recipe, input=images, output=str(memory / "out"), overrides={"engines.llm.latency": 0.1, "window": 2}
    )
    assert len(sent) > 3
    assert sent == sorted(sent)
    assert any(0 < calls < 12 for calls in sent)
    assert sent[-1] == 12


def test_the_log_goes_to_the_store_and_another_machine_continues_it(
    memory: Any, store_recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for machine in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        mminf.run(store_recipe, input=images, output=str(memory / "out"))
    text = (memory / "out" / "run.log").read_text()
    assert [line.split()[4] for line in text.splitlines() if " begins: " in line] == ["1", "2"]
    assert " run 2 finished " in text.splitlines()[-1]
    assert mminf.status(str(memory / "out"))["log"] == "run.log"


def test_a_shard_that_can_not_be_sent_is_kept(
    memory: Any, store_recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = memory / "out", mminf.journal.mirror.send_file

    def fail(file: Path, path: Any) -> None:
        raise PermissionError("the token has expired")

    monkeypatch.setattr("mminf.journal.mirror.send_file", fail)
    with pytest.raises(JournalError, match=r"to resume from it, copy \S+ there") as found:
        api.run(store_recipe, input=images, output=str(out), shard="0/2")
    monkeypatch.setattr("mminf.journal.mirror.send_file", real)
    kept = Path(str(found.value).partition(", copy ")[2].removesuffix(" there"))
    put(out / "parts" / "00000-of-00002", {"journal.sqlite": kept.read_bytes()})
    api.run(store_recipe, input=images, output=str(out), shard="1/2")
    assert api.merge(api.prepare(api.load(store_recipe, input=images), output=str(out))).counts.done == 12


def test_a_damaged_journal_in_a_store_is_repaired_there(memory: Any, store_recipe: Path, images: Path) -> None:
    out = memory / "out"
    mminf.run(store_recipe, input=images, output=str(out))
    rows = (out / "rows.jsonl").read_bytes()
    with tempfile.TemporaryDirectory() as name:
        local = Path(name) / "journal.sqlite"
        local.write_bytes((out / "journal.sqlite").read_bytes())
        with contextlib.closing(sqlite3.connect(local, isolation_level=None)) as journal:
            journal.execute("UPDATE rows SET checksum = checksum + 1 WHERE stage = 0")
        put(out, {"journal.sqlite": local.read_bytes(), "journal.sync": b"of another machine"})
    with pytest.raises(JournalError, match="mminf repair"):
        api.export(api.load(store_recipe, input=images), str(out), force=True)
    assert api.repair(str(out)).damaged
    assert mminf.run(store_recipe, input=images, output=str(out)).counts.done == 12
    assert (out / "rows.jsonl").read_bytes() == rows


def test_a_journal_that_another_machine_overtook_is_kept(
    memory: Any, store_recipe: Path, images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Its answers were paid for: the lock was lost, so they could not be sent."""
    out = memory / "out"
    real = mminf.journal.mirror.push_journal

    def fail(folder: Path, target: Path) -> None:
        raise PermissionError("the token has expired")

    monkeypatch.setattr("mminf.journal.mirror.push_journal", fail)
    with pytest.raises(JournalError, match="can't be sent"):
        mminf.run(store_recipe, input=images, output=str(out))
    monkeypatch.setattr("mminf.journal.mirror.push_journal", real)
    (out / "journal.sync").write_text("of another machine")
    assert mminf.run(store_recipe, input=images, output=str(out)).counts.done == 12
    kept = list((cache.parent / "unsent").rglob("journal.sqlite"))
    assert len(kept) == 1
    assert str(kept[0].parent) in caplog.text
    # What was sent is not kept once more.
    (out / "journal.sync").write_text("of another machine")
    assert mminf.run(store_recipe, input=images, output=str(out)).counts.done == 12
    assert len(list((cache.parent / "unsent").rglob("journal.sqlite"))) == 1
