from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from mminf.errors import JournalError
from mminf.image import ImageStat
from mminf.journal import Call, Journal, Row, RunHeader
from mminf.journal.repair import is_sound
from mminf.journal.writer import Statement
from mminf.record import Record
from mminf.request import Generation
from mminf.states import RecordStatus

from .versions import make_version_2


def call(
    key: bytes = b"k", *, record: str = "r", text: str = "answer", chat: bytes = b'[["user", ["long prompt x"]]]'
) -> Call:
    return Call(key, "step", record, 0, 0, Generation(text, "stop", 5, 2, (-0.5, -1.0)), 0.1, chat)


def row(record: str, state: str = "done", seq: int = 0, path: tuple[int, ...] = (), key: str | None = "k") -> Row:
    return Row(0, record, record.split("/")[0], seq, path, RecordStatus(state), None, None, {"n": seq}, key)


def begin(journal: Journal) -> None:
    journal.begin(RunHeader({}, "digest", "r.yaml", [["step"]], None, {}), lambda _: "")


def test_an_answer_is_remembered_whole(tmp_path: Path) -> None:
    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            assert journal.memo.find(b"k") is None
            journal.memo.add_prompt("step", b'[["user", ["long prompt y"]]]', "sent", 9)
            await journal.memo.add(call(text="lone surrogate \ud800 and emoji 🙂"))

    asyncio.run(write())
    with Journal(tmp_path) as journal:
        found = journal.memo.find(b"k")
        assert found == Generation("lone surrogate ? and emoji 🙂", "stop", 5, 2, (-0.5, -1.0))
        assert journal.memo.calls("r")[0]["chat"] == [["user", ["long prompt x"]]]
        assert journal.memo.prompts() == [{"step": "step", "sent": "sent", "tokens": 9}]
        assert journal.memo.totals()["step"].calls == 1


def test_what_was_committed_survives_without_closing(tmp_path: Path) -> None:
    async def write() -> None:
        journal = Journal(tmp_path, write=True)
        await asyncio.gather(*(journal.memo.add(call(bytes([n]))) for n in range(100)))
        with sqlite3.connect(tmp_path / "journal.sqlite") as other:
            assert other.execute("SELECT count(*) FROM memo").fetchone() == (100,)
        journal.close()

    asyncio.run(write())


def test_rows_come_in_source_order_and_of_the_last_run_only(tmp_path: Path) -> None:
    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            begin(journal)
            await journal.outcomes.write([row("old", seq=9)])
            begin(journal)
            children = [row(f"a/{n}", seq=1, path=(n,)) for n in (10, 9, 2)]
            await journal.outcomes.write([row("b", seq=2), *children, row("z", seq=0), row("d", "dropped", seq=3)])
            assert [found.id for found in journal.outcomes.rows(0)] == ["z", "a/2", "a/9", "a/10", "b"]
            journal.outcomes.keep(0, Record("old", {}, seq=7))
            await journal.flush()
            assert [found.id for found in journal.outcomes.rows(0)][-1] == "old"

    asyncio.run(write())


def test_a_row_is_finished_for_its_key_only(tmp_path: Path) -> None:
    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            await journal.outcomes.write([row("a", key="one"), row("b", "failed", key=None)])
        with Journal(tmp_path, write=True) as journal:
            assert journal.outcomes.is_final(0, Record("a", {}), "one")
            assert not journal.outcomes.is_final(0, Record("a", {}), "two")
            assert not journal.outcomes.is_final(0, Record("b", {}), "one")

    asyncio.run(write())


def test_readers_do_not_disturb_the_writer(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True) as journal:
        journal.meta.set("a", "1")
        asyncio.run(journal.flush())
        with Journal(tmp_path) as reader:
            assert reader.meta.get("a") == "1"
            with pytest.raises(JournalError, match="opened for reading"):
                reader.meta.set("a", "2")


def test_foreign_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no run in"):
        Journal(tmp_path / "none")
    (tmp_path / "journal.sqlite").write_bytes(b"this is no database, but long enough to be looked at" * 50)
    with pytest.raises(JournalError, match="is damaged, or not a journal"):
        Journal(tmp_path, write=True)
    (tmp_path / "journal.sqlite").unlink()
    Journal(tmp_path, write=True).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        other.execute("UPDATE meta SET value = '99', checksum = NULL WHERE key = 'version'")
    with pytest.raises(JournalError, match="has journal version 99"):
        Journal(tmp_path, write=True)
    Path(tmp_path / "journal.sqlite").unlink()
    Journal(tmp_path, write=True).close()  # the lock was given back


def test_a_disk_that_can_not_be_written_stops_the_run(tmp_path: Path) -> None:
    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            with pytest.raises(JournalError, match="can't be written"):
                await journal.database.commit([Statement("INSERT INTO nowhere VALUES (1)")])
            with pytest.raises(JournalError, match="can't be written"):
                journal.meta.set("a", "1")

    with pytest.raises(JournalError):
        asyncio.run(write())


def test_a_waiter_that_is_cancelled_takes_no_other_along(tmp_path: Path) -> None:
    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            waiters = [asyncio.create_task(journal.memo.add(call(bytes([n])))) for n in range(3)]
            await asyncio.sleep(0)  # all are in one commit now
            waiters[0].cancel()
            found = await asyncio.gather(*waiters, return_exceptions=True)
            assert [type(item) for item in found] == [asyncio.CancelledError, type(None), type(None)]

    asyncio.run(write())
    with Journal(tmp_path) as journal:
        assert all(journal.memo.find(bytes([n])) for n in range(3))


def test_a_value_that_can_not_be_stored_fails_alone(tmp_path: Path) -> None:
    from mminf.errors import RecordError

    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            odd = call(b"odd")._replace(attempt=2**70)
            found = await asyncio.gather(journal.memo.add(odd), journal.memo.add(call(b"fine")), return_exceptions=True)
            assert isinstance(found[0], RecordError)
            assert found[1] is None
            assert journal.path.is_file()
        with Journal(tmp_path) as reader:
            assert reader.memo.find(b"fine") is not None

    asyncio.run(write())


def test_before_a_run_has_finished_the_runs_of_one_recipe_count_together(tmp_path: Path) -> None:
    async def write(digest: str, name: str) -> None:
        with Journal(tmp_path, write=True) as journal:
            journal.begin(RunHeader({}, digest, "r.yaml", [["step"]], None, {}), lambda _: "")
            await journal.outcomes.write([row(name)])

    def seen() -> list[str]:
        with Journal(tmp_path) as journal:
            return sorted(found.id for found in journal.outcomes.rows(0))

    for digest, name, expected in (
        ("one", "a", ["a"]),
        ("two", "b", ["b"]),
        ("two", "c", ["b", "c"]),
        ("one", "d", ["d"]),
    ):
        asyncio.run(write(digest, name))
        assert seen() == expected


def test_a_journal_of_version_2_is_upgraded_with_right_checksums(tmp_path: Path) -> None:
    async def write() -> None:
        with Journal(tmp_path, write=True) as journal:
            begin(journal)
            await journal.outcomes.write([row("a"), row("b", "failed", seq=1, key=None)])
            await journal.memo.add(call())
            journal.images.put(ImageStat("a.png", 1, 2), "d" * 64)
            await journal.flush()

    asyncio.run(write())
    make_version_2(tmp_path)
    with Journal(tmp_path) as journal:
        assert [found.id for found in journal.outcomes.rows(0)] == ["a"]
        assert journal.memo.find(b"k") is not None
    with Journal(tmp_path, write=True) as journal:
        journal.outcomes.check()
    assert is_sound(tmp_path / "journal.sqlite")
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        other.execute("UPDATE rows SET checksum = NULL WHERE id = 'a'")
    with Journal(tmp_path) as journal, pytest.raises(JournalError, match="mminf repair"):
        journal.outcomes.check()


def test_a_folder_with_runs_below_it_names_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Journal(tmp_path / name, write=True).close()
    with pytest.raises(
        JournalError, match=rf"no run in {tmp_path}: .* there is one in {tmp_path}/(a|b), {tmp_path}/(a|b)$"
    ):
        Journal(tmp_path)
    with pytest.raises(JournalError, match="start one with `mminf run`$"):
        Journal(tmp_path / "gone")
