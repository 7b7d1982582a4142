"""Searches: pages, conditions, time, shards, and journals that are damaged, old or unfinished."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import UsageError
from mminf.marks import MarkFile
from mminf.sharding import scan
from mminf.view import search
from mminf.view.query import Query, parse_range
from mminf.view.runs import RunView
from mminf.view.search import Item

from ..journal.versions import make_version_2
from .conftest import Make, items


def every(output: Path, query: Query | None = None, limit: int = 50) -> list[Item]:
    """Returns all records that a search finds, page by page."""
    return list(itertools.chain.from_iterable(pages(output, query, limit)))


def pages(output: Path, query: Query | None = None, limit: int = 50) -> Iterator[list[Item]]:
    run, after = RunView(output, "run"), None
    for _ in range(1000):
        page = run.records(query or Query(), after, limit)
        yield page["records"]
        if (after := page["next"]) is None:
            return
    raise AssertionError("the search does not end")


def ids(found: list[Item]) -> list[str]:
    return [item["id"] for item in found]


@pytest.mark.parametrize(("limit", "window"), [(1, 20_000), (7, 20_000), (50, 1), (3, 2), (50, 5)])
def test_pages_have_each_record_once(make_run: Make, monkeypatch: pytest.MonkeyPatch, limit: int, window: int) -> None:
    monkeypatch.setattr(scan, "WINDOW", window)
    out = make_run(*items(23))
    assert ids(every(out, limit=limit)) == [f"r{n:03}" for n in range(23)]
    dropped = ids(every(out, Query(state="dropped"), limit=limit))
    done = ids(every(out, Query(state="done"), limit=limit))
    assert sorted(dropped + done) == [f"r{n:03}" for n in range(23)] and len(dropped) > 5 and len(done) > 5
    assert all(len(page) <= limit for page in pages(out, limit=limit))


def test_a_search_returns_after_a_time_and_goes_on(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make_run(*items(12))
    clock = itertools.count()
    monkeypatch.setattr(search.time, "monotonic", lambda: float(next(clock)))  # one second per record
    monkeypatch.setattr(scan, "WINDOW", 1)
    run = RunView(out, "run")
    page = run.records(Query(text="no such text"), None, 50)
    assert page["records"] == [] and page["next"] is not None and page["at"] < 3
    assert ids(every(out, Query(text="thing 11"))) == ["r011"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("THING 7", ["r007"]), ("r00", ["r000", "r001", "r007"]), ("clarity 2 < 3", None), ("no such", []), ("ÜBER", ["r900"]),
        ("über “", ["r900"]), ("straße", ["r900"]), ("STRASSE", ["r900"]), ("deep inside", ["r901"]), ("4.25", ["r901"]),
        ('say "', ["r902"]), ("line one\nline two", ["r902"]), ("\\n", []), ("图像", ["r903"]), ("\u202e", ["r904"]), ("%", []),
    ],
)  # fmt: skip
def test_full_text(make_run: Make, text: str, wanted: list[str] | None) -> None:
    odd = [
        {"id": "r900", "text": "Die Straße über “Berg”"}, {"id": "r901", "text": "x", "nested": [{"a": ["so deep inside"]}, 4.25]},
        {"id": "r902", "text": 'she will say "line one\nline two"'}, {"id": "r903", "text": "描述图像。"}, {"id": "r904", "text": "a\u202eb"},
    ]  # fmt: skip
    out = make_run(*items(2), *items(8)[7:], *odd)
    found = every(out, Query(text=text))
    if wanted is None:
        assert found and all(item["step"] == "keep" for item in found), "reasons are searched"
    else:
        assert ids(found) == wanted


def test_the_excerpt_shows_where_the_text_is(make_run: Make) -> None:
    out = make_run({"id": "a", "text": f"{'x' * 3000} the needle {'y' * 3000}"})
    ((name, excerpt),) = every(out, Query(text="NEEDLE"))[0]["excerpts"]
    assert name == "text" and "the needle" in excerpt and len(excerpt) < 300
    assert excerpt.startswith("…") and excerpt.endswith("…")
    excerpts = every(out)[0]["excerpts"]
    assert [name for name, _ in excerpts] == ["text", "instruction"] and all(len(text) < 300 for _, text in excerpts)


def test_conditions_are_combined(make_run: Make) -> None:
    out = make_run(*items(20), {"id": "bad", "text": "refuse"})
    assert ids(every(out, Query(state="failed"))) == ["bad"]
    assert ids(every(out, Query(step="ask"))) == ["bad"]
    kept = every(out, Query(step="keep"))
    assert (
        kept and {item["state"] for item in kept} == {"dropped"} and all("clarity" in item["scores"] for item in kept)
    )
    high = every(out, Query(ranges=(parse_range("clarity:4:5"),)))
    assert {item["scores"]["clarity"] for item in high} == {4, 5}
    assert {item["scores"]["clarity"] for item in every(out, Query(ranges=(parse_range("clarity::2"),)))} == {1, 2}
    five = every(out, Query(ranges=(parse_range("clarity:5:"),), text="thing 1"))
    assert five and all(item["scores"]["clarity"] == 5 and "thing 1" in item["excerpts"][0][1] for item in five)
    assert every(out, Query(ranges=(parse_range("text:0:9"),))) == [], "texts are no scores"


@pytest.mark.parametrize("text", ["", "clarity", "clarity:1", "clarity:x:2", ":1:2", "clarity:nan:"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="field:low:high"):
        parse_range(text)
    assert parse_range("a:b:1:2") == ("a:b", 1, 2)


@pytest.mark.parametrize("after", ["", "x", "bm90IGpzb24=", "W10=", "WzEsMiwzLDQsNV0=", "ü", "eyJhIjoxfQ=="])
def test_other_positions_are_refused(make_run: Make, after: str) -> None:
    with pytest.raises(UsageError, match="not a position"):
        RunView(make_run(*items(1)), "run").records(Query(), after, 5)


def test_marks_are_a_condition(make_run: Make) -> None:
    out = make_run(*items(6))
    marks = MarkFile(out / "marks.jsonl")
    marks.change("r001", mark="good")
    marks.change("r002", mark="bad", note="why")
    marks.change("r003", note="only a note")
    marks.change("gone", mark="good")
    wanted = {
        "good": ["r001"],
        "bad": ["r002"],
        "note": ["r002", "r003"],
        "any": ["r001", "r002", "r003"],
        "none": ["r000", "r004", "r005"],
    }
    assert {mark: ids(every(out, Query(mark=mark))) for mark in wanted} == wanted
    assert every(out, Query(mark="bad"))[0]["note"] == "why"
    with pytest.raises(UsageError, match="mark must be one of"):
        Query(mark="fine")


# Stages, shards, unfinished runs

TWO = """
name: {name}
engines: {{e: {{backend: scripted, script: {script}}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: ask, engine: e, prompt: "Ask {{{{ text }}}}", writes: instruction}}
  - deduplicate: {{name: same, reads: instruction}}
  - generate: {{name: again, engine: e, prompt: "Again {{{{ text }}}}", writes: response}}
sinks: [{{jsonl: out.jsonl}}]
"""
SPLIT = """
name: {name}
engines: {{e: {{backend: scripted, script: {script}}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - split: {{reads: parts, writes: part}}
  - generate: {{engine: e, prompt: "Ask {{{{ part }}}}", writes: instruction}}
sinks: [{{jsonl: out.jsonl}}]
"""


def test_a_record_is_shown_once_with_its_last_outcome(make_run: Make) -> None:
    out = make_run(*items(5), {"id": "same", "text": " thing 0"}, recipe=TWO)
    found = every(out, limit=2)
    assert ids(found) == ["r000", "r001", "r002", "r003", "r004", "same"]
    assert [item["state"] for item in found] == ["done"] * 5 + ["dropped"]
    assert {item["stage"] for item in found[:5]} == {2} and found[5]["step"] == "same"


def test_children_are_shown_instead_of_their_parent(make_run: Make) -> None:
    out = make_run({"id": "a", "parts": ["x", "y"]}, {"id": "a0", "parts": ["z"]}, recipe=SPLIT)
    assert ids(every(out, limit=1)) == ["a/0", "a/1", "a0/0"]
    views = RunView(out, "run").outcomes("a", 0)["outcomes"]
    assert [(view["id"], view["state"]) for view in views] == [("a", "expanded"), ("a/0", "done"), ("a/1", "done")]


def test_records_that_wait_for_a_later_stage(make_run: Make, tmp_path: Path) -> None:
    make_run(*items(6), recipe=TWO)
    for number in range(2):
        api.run(tmp_path / "one.yaml", output=tmp_path / "cut", shard=f"{number}/2")
    found = every(tmp_path / "cut", limit=2)
    assert sorted(ids(found)) == [f"r{n:03}" for n in range(6)] and {item["state"] for item in found} == {"waiting"}
    assert len(every(tmp_path / "cut", Query(state="waiting"))) == 6
    assert every(tmp_path / "cut", Query(state="done")) == []
    summary = RunView(tmp_path / "cut", "run").summary()
    assert summary["waiting"] == 6 and summary["funnel"][0]["entered"] == 6 and len(summary["parts"]) == 2


def test_shards_show_what_they_have_kept(make_run: Make, tmp_path: Path, calls_log: Path) -> None:
    out = make_run(*items(10), {"id": "a/1", "text": "x"})
    before = every(out)
    api.run(tmp_path / "one.yaml", output=out, shard="0/2")
    first = every(out)
    assert 0 < len(first) < 11
    api.run(tmp_path / "one.yaml", output=out, shard="1/2")
    for limit in (1, 3, 50):
        found = every(out, limit=limit)
        assert sorted(found, key=lambda item: item["id"]) == sorted(before, key=lambda item: item["id"])
    assert sorted(ids(every(out, Query(step="keep")))) == sorted(
        item["id"] for item in before if item["step"] == "keep"
    )
    assert RunView(out, "run").outcomes("a/1", 0)["outcomes"][0]["id"] == "a/1"


def test_records_beyond_the_target_are_left_out(make_run: Make) -> None:
    out = make_run(
        *items(40),
        recipe=f"target: 3\nwindow: 16\n{TWO}".replace("  - deduplicate: {{name: same, reads: instruction}}\n", ""),
    )
    found = every(out)
    assert len(found) == 3 and RunView(out, "run").summary()["done"] == 3


def test_no_rows(make_run: Make) -> None:
    out = make_run()
    assert every(out) == []
    summary = RunView(out, "run").summary()
    assert summary["problems"] == [] and summary["state"] == "finished" and summary["done"] == 0


def test_a_killed_run(make_run: Make) -> None:
    out = make_run(*items(4))
    with sqlite3.connect(out / "journal.sqlite") as connection:
        connection.create_function("checksum", -1, __import__("mminf.journal.checksum", fromlist=["checksum"]).checksum)
        connection.execute(
            "UPDATE meta SET value = 'running', checksum = checksum('state', 'running') WHERE key = 'state'"
        )
    assert RunView(out, "run").summary()["state"] == "killed"
    assert len(every(out)) == 4


def test_a_run_that_is_active(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads while the run writes, and sees each outcome."""
    out = make_run(*items(3))
    seen = []
    run = RunView(tmp_path / "live", "live")

    def look(request: object) -> str:
        if (tmp_path / "live" / "journal.sqlite").exists():
            seen.append((run.summary()["state"], len(run.records(Query(), None, 50)["records"])))
        return "[[5]]"

    from mminf.backend.scripted import ScriptedBackend

    monkeypatch.setattr(ScriptedBackend, "load", lambda self: setattr(self, "_answer", look))
    mminf.run(tmp_path / "one.yaml", output=tmp_path / "live", overrides={"window": 1, "name": "live"})
    assert seen and {state for state, _ in seen} == {"running"} and seen[-1][1] >= 1
    assert ids(every(tmp_path / "live")) == ids(every(out))


# Damage and versions


def damage(output: Path, sql: str) -> None:
    with sqlite3.connect(output / "journal.sqlite") as connection:
        connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "fields = 'no json'", "fields = replace(fields, 'thing', 'thong')", "fields = '[]'", "state = 'dome'", "reason = 'other'",
        "fields = CAST(x'7b22ff' AS TEXT)", "step = CAST(x'ff' AS TEXT)", "checksum = checksum + 1", "path = 'x'",
    ],
)  # fmt: skip
def test_a_broken_row_does_not_hide_the_others(make_run: Make, change: str) -> None:
    out = make_run(*items(6))
    damage(out, f"UPDATE rows SET {change} WHERE id = 'r002'")
    for limit in (1, 50):
        found = every(out, limit=limit)
        assert sorted(ids(found)) == [f"r{n:03}" for n in range(6)]
        (broken,) = [item for item in found if item["state"] == "broken"]
        assert broken["id"] == "r002" and "damaged" in str(broken["broken"])
    assert ids(every(out, Query(text="thing"))) == ["r000", "r001", "r003", "r004", "r005"]
    run = RunView(out, "run")
    (view,) = run.outcomes("r002", 0)["outcomes"]
    assert view["state"] == "broken" and "mminf repair" in str(view["broken"])
    assert run.calls("r002", 0)["total"] == 2, "the calls are still there"


@pytest.mark.parametrize("seq", ["'x'", "x'ff'"])
def test_a_broken_position_does_not_stop_a_search(make_run: Make, seq: str) -> None:
    out = make_run(*items(6))
    damage(out, f"UPDATE rows SET seq = {seq} WHERE id = 'r002'")
    found = every(out, limit=2)
    assert sorted(ids(found)) == [f"r{n:03}" for n in range(6)]
    assert [item["id"] for item in found if item["broken"]] == ["r002"]


def test_a_broken_call_leaves_the_outcomes(make_run: Make) -> None:
    out = make_run(*items(2))
    damage(out, "UPDATE memo SET text = 'other' WHERE record = 'r001' AND step = 'ask'")
    run = RunView(out, "run")
    found = run.calls("r001", 0)
    assert found["calls"] == [] and "damaged" in found["problems"][0]
    assert run.outcomes("r001", 0)["outcomes"][0]["state"] in ("done", "dropped")


def test_a_damaged_page_is_named(make_run: Make) -> None:
    out = make_run(*items(300, more="y" * 2000))
    whole = (out / "journal.sqlite").read_bytes()
    (out / "journal.sqlite").write_bytes(
        whole[: len(whole) // 2] + b"\xff" * 40_000 + whole[len(whole) // 2 + 40_000 :]
    )
    found = every(out)
    assert len(found) > 50 and any(item["broken"] for item in found)


def test_a_journal_of_an_older_version(make_run: Make) -> None:
    out = make_run(*items(5))
    make_version_2(out)
    assert len(every(out)) == 5
    assert RunView(out, "run").summary()["problems"] == ["the journal has version 2: its rows have no checksums"]


def test_a_journal_of_an_unknown_version(make_run: Make) -> None:
    out = make_run(*items(5))
    damage(out, "UPDATE meta SET value = '99' WHERE key = 'version'")
    summary = RunView(out, "run").summary()
    assert "has journal version 99" in summary["problems"][0] and summary["funnel"] == []


def test_summaries_are_kept_for_a_moment(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make_run(*items(3))
    run = RunView(out, "run")
    first = run.summary()
    monkeypatch.setattr(RunView, "_read_summary", lambda self: pytest.fail("read again"))
    assert run.summary() == first
    run.mark("r000", {"mark": "good"})
    assert run.summary()["marks"] == {"good": 1, "bad": 0, "note": 0}, "marks are always read"


@pytest.fixture
def large(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    return lambda: make_run(*items(3), {"id": "big", "text": "y" * 5_000_000}, *items(6)[3:])


def test_a_search_does_not_load_all_records(large: Callable[[], Path]) -> None:
    import tracemalloc

    out = large()
    run = RunView(out, "run")
    run.records(Query(), None, 50)
    tracemalloc.start()
    page = run.records(Query(state="dropped"), None, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert page["next"] is None and peak < 60_000_000
