"""Locks of outputs in stores: one process writes, whatever the clocks say."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import mminf
import mminf.journal.mirror
from mminf import api
from mminf.engine.run import open_run
from mminf.errors import JournalError, LockedError
from mminf.journal import remote_lock
from mminf.shard import Shard
from mminf.sharding.worker import find_phase, work_shard

from ..stores import other_machine, put


@pytest.mark.parametrize("clock", [0, -1000, 1000])
def test_two_machines_do_not_write_one_output(memory: Any, store_recipe: Path, images: Path, clock: float) -> None:
    """Whatever their clocks say."""
    out = memory / "out"
    with (
        other_machine(out, clock),
        pytest.raises(JournalError, match="another run .process 1 on elsewhere. is writing to memory://bucket/out"),
    ):
        mminf.run(store_recipe, input=images, output=str(out))
    # It is dead now, and its lock is silent.
    assert mminf.run(store_recipe, input=images, output=str(out)).counts.done == 12


def test_a_run_that_lost_its_lock_writes_no_more(memory: Any) -> None:
    out = memory / "out"
    lock = remote_lock.RemoteLock(out)
    lock.take()
    lock.check()
    with other_machine(out):
        deadline = time.monotonic() + 10
        with pytest.raises(JournalError, match="process 1 on elsewhere has taken over memory://bucket/out"):
            while time.monotonic() < deadline:
                lock.check()
                time.sleep(0.02)
        lock.release()
        assert remote_lock.is_held(out), "only its own lock is removed"


@pytest.mark.parametrize("shard", [None, "0/2"])
def test_a_run_that_lost_its_lock_ends_and_keeps_its_answers(
    memory: Any, store_recipe: Path, images: Path, calls_log: Path, cache: Path, shard: str | None
) -> None:
    """Its further answers would be lost, or paid for twice: the other process computes them as well."""
    out = memory / "out"
    folder = out if shard is None else out / "parts" / "00000-of-00002"
    over = threading.Event()

    def overtake() -> None:
        while not calls_log.exists() or not calls_log.read_text():
            time.sleep(0.02)
        with other_machine(folder):
            over.wait(60)

    thread = threading.Thread(target=overtake)
    thread.start()
    slow = {"engines.llm": {"latency": 0.5, "max_concurrency": 1}}
    try:
        with pytest.raises(JournalError, match="taken over"):
            api.run(store_recipe, input=images, output=str(out), shard=shard, overrides=slow)
    finally:
        over.set()
        thread.join()
    assert 0 < len(calls_log.read_text().splitlines()) < (6 if shard is None else 4)
    assert not (out / "rows.jsonl").exists()
    assert list(cache.parent.rglob("journal.sqlite"))


@pytest.mark.parametrize("clock", [0, -1000, 1000])
def test_a_lock_is_held_while_its_heartbeat_changes(memory: Any, clock: float) -> None:
    out = memory / "out"
    assert not remote_lock.is_held(out)
    with other_machine(out, clock):
        assert remote_lock.is_held(out)
    time.sleep(0.5)
    assert not remote_lock.is_held(out)
    put(out, {"journal.lock": b"not a lock of ours"})
    assert not remote_lock.is_held(out)


def test_shards_hold_their_place_in_a_store(memory: Any, store_recipe: Path, images: Path) -> None:
    out = memory / "out"
    with other_machine(out / "parts" / "00000-of-00002"):
        with pytest.raises(JournalError, match="another run .process 1 on elsewhere"):
            api.run(store_recipe, input=images, output=str(out), shard="0/2")
        assert api.run(store_recipe, input=images, output=str(out), shard="1/2").state == "finished"
    with other_machine(out), pytest.raises(JournalError, match="another run is writing"):
        api.run(store_recipe, input=images, output=str(memory / "out"), shard="1/2")


def test_a_shard_in_a_store_belongs_to_one_worker(memory: Any, store_recipe: Path, images: Path) -> None:
    """Also those of ranks and of Ray, which find no lock of the output in their way."""
    out = memory / "out"
    run = open_run(api.load(store_recipe, input=images), out)
    phase = find_phase(run, 2)
    with (
        other_machine(out / "parts" / "00000-of-00002"),
        pytest.raises(LockedError, match="another run .process 1 on elsewhere"),
    ):
        asyncio.run(work_shard(run, Shard(0, 2), phase))
