"""Ways in which records were once lost, doubled or mixed."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.errors import JournalError, UsageError
from mminf.executor.local import LocalExecutor

from ..conftest import read_rows, tiny_image

Recipe = Callable[..., Path]

SLOW = """
import time
def answer(request):
    text = "".join(turn.text for turn in request.turns)
    if request.open_turn == "user":
        return "" if request.seed % 4 == 0 else f"sample {request.seed}"
    return f"{text}!"
"""


@pytest.fixture
def slow(tmp_path: Path) -> Callable[[float], str]:
    (tmp_path / "slow.py").write_text(SLOW)
    return lambda latency: (
        f"engines: {{e: {{backend: scripted, script: {tmp_path / 'slow.py'}, latency: {latency}}}}}\n"
    )


def test_children_inherit_what_an_earlier_slow_step_writes(
    write_recipe: Recipe, rows: Callable[..., Path], slow: Callable[[float], str], tmp_path: Path
) -> None:
    recipe = write_recipe(
        slow(0.05)
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {engine: e, prompt: "{{ text }}", writes: a}
  - split: {reads: items, writes: item}
  - set: {both: "a ~ item"}
sinks: [{jsonl: {path: o.jsonl, columns: both}}]
"""
    )
    rows({"id": "1", "text": "x", "items": ["p", "q"]})
    mminf.run(recipe, output=tmp_path / "out")
    assert [row["both"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["x!p", "x!q"]


def test_ids_that_look_like_children_or_like_renamed_ids_lose_no_row(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = write_recipe(
        "source: {jsonl: rows.jsonl}\nsteps:\n  - split: {reads: items, writes: item}\n  - deduplicate: {reads: [item, n]}\n"
        "  - set: {again: item}\nsinks: [{jsonl: o.jsonl}]\n"
    )
    names = ["a", "a/0", "a/0/0", "x", "x", "x~2"]
    rows(*({"id": name, "n": n, "items": [1, 2] if name == "a" else [1]} for n, name in enumerate(names)))
    for _ in range(2):
        result = mminf.run(recipe, output=tmp_path / "out")
        assert (result.counts.done, result.counts.pending) == (7, 0)
        assert len(read_rows(tmp_path / "out" / "o.jsonl")) == 7


def test_a_file_name_that_is_no_utf8_fails_alone(
    write_recipe: Recipe, slow: Callable[[float], str], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    tiny_image(folder / "good.png")
    os.rename(tiny_image(folder / "x.png"), os.fsencode(folder) + b"/\xff.png")
    recipe = write_recipe(
        slow(0) + 'steps:\n  - generate: {engine: e, prompt: "{{ images }}see"}\nsinks: [{jsonl: o.jsonl}]\n'
    )
    result = mminf.run(recipe, input=folder, output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (1, 1)
    assert "is not UTF-8; rename the file" in str(result.failures[0][2])


def test_dataset_steps_fail_single_records(write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path) -> None:
    recipe = write_recipe(
        "source: {jsonl: rows.jsonl}\nsteps:\n  - deduplicate: {reads: text, when: kind == 'a'}\nsinks: [{jsonl: o.jsonl}]\n"
    )
    rows(
        {"id": "1", "text": "x", "kind": "a"},
        {"id": "2", "kind": "a"},
        {"id": "3", "text": "x"},
        {"id": "4", "text": "x", "kind": "a"},
        {"id": "5", "text": "x", "kind": "b"},
    )
    result = mminf.run(recipe, output=tmp_path / "out")
    assert [row["id"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["1", "5"]
    reasons = {record: str(reason) for record, _, reason in result.failures}
    assert set(reasons) == {"2", "3"}
    assert "no field 'text'" in reasons["2"]
    assert "'kind' is undefined" in reasons["3"]


def test_rows_get_the_same_ids_wherever_they_lie(
    write_recipe: Recipe, slow: Callable[[float], str], tmp_path: Path
) -> None:
    recipe = write_recipe(
        slow(0) + "steps:\n  - hook: {engine: e}\nsinks: [{jsonl: {path: o.jsonl, columns: sampled_text}}]\n"
    )
    found = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        tiny_image(folder / "a.png")
        (folder / "rows.jsonl").write_text('{"image": "a.png"}\n')
        mminf.run(recipe, input=folder / "rows.jsonl", output=tmp_path / f"out-{name}")
        found.append((tmp_path / f"out-{name}" / "o.jsonl").read_bytes())
    assert found[0] == found[1] != b""


def test_an_empty_sample_costs_only_itself(
    write_recipe: Recipe, rows: Callable[..., Path], slow: Callable[[float], str], tmp_path: Path
) -> None:
    text = (
        slow(0)
        + "source: {jsonl: rows.jsonl}\nsteps:\n  - hook: {engine: e, images: false, n: 8}\nsinks: [{jsonl: o.jsonl}]\n"
    )
    rows(*({"id": str(n)} for n in range(20)))
    result = mminf.run(write_recipe(text), output=tmp_path / "out")
    assert result.counts.failed == 0
    assert result.counts.done > 150, "a quarter of the samples is empty, and drawn again alone"
    assert result.calls < 8 * 20 * 1.6


def test_an_interrupted_run_is_seen_on_top_of_the_last_finished_one(
    write_recipe: Recipe, rows: Callable[..., Path], slow: Callable[[float], str], tmp_path: Path
) -> None:
    text = (
        slow(0.2)
        + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ text }}"}\nsinks: [{jsonl: o.jsonl}]\n'
    )
    path = write_recipe(text)
    items = [{"id": str(n), "text": str(n)} for n in range(30)]
    rows(*items)
    mminf.run(path, output=tmp_path / "out")
    rows({"id": "new", "text": "new"}, *items)
    prepared = api.prepare(mminf.load(path), output=tmp_path / "out")

    async def interrupted() -> mminf.RunResult:
        asyncio.get_running_loop().call_later(0.05, prepared.session.drain)
        asyncio.get_running_loop().call_later(0.1, prepared.session.stop)
        return await LocalExecutor().work(prepared)

    assert asyncio.run(interrupted()).state == "interrupted"
    found = api.status(tmp_path / "out")
    assert (found["state"], found["done"], found["pending"]) == ("interrupted", 30, 1)
    api.export(mminf.load(path), tmp_path / "out")
    assert len(read_rows(tmp_path / "out" / "o.jsonl")) == 30


def test_draining_starts_no_call_that_waited_for_its_turn(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> None:
    (tmp_path / "log.py").write_text(
        "import os\ndef answer(request):\n    open(os.environ['CALLS_LOG'], 'a').write('x\\n')\n    return 'y'\n"
    )
    path = write_recipe(
        f"engines: {{e: {{backend: scripted, script: {tmp_path / 'log.py'}, latency: 0.1, max_concurrency: 1}}}}\n"
        'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ id }}"}\n'
    )
    rows(*({"id": str(n)} for n in range(40)))
    prepared = api.prepare(mminf.load(path), output=tmp_path / "out")

    async def drained() -> mminf.RunResult:
        asyncio.get_running_loop().call_later(0.35, prepared.session.drain)
        return await LocalExecutor().work(prepared)

    result = asyncio.run(drained())
    assert result.state == "interrupted"
    assert len(calls_log.read_text().splitlines()) < 8
    assert mminf.run(path, output=tmp_path / "out").counts.done == 40
    assert len(calls_log.read_text().splitlines()) == 40


def test_lines_that_no_parser_survives_fail_alone(write_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n' + "[" * 100_000 + '\n{"id": "b"}\n')
    path = write_recipe("steps:\n  - set: {x: '1'}\nsinks: [{jsonl: o.jsonl}]\n")
    assert mminf.run(path, input=tmp_path / "rows.jsonl", output=tmp_path / "one").counts.done == 2
    whole = gzip.compress(
        b"".join(json.dumps({"id": str(n), "t": os.urandom(50).hex()}).encode() + b"\n" for n in range(500))
    )
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    result = mminf.run(path, input=tmp_path / "cut.jsonl.gz", output=tmp_path / "two")
    assert result.counts.done > 50
    assert "can't be read after line" in str(result.failures[0][2])


def test_a_column_that_comes_late_or_not_in_bad_lines_is_no_wrong_recipe(
    write_recipe: Recipe, rows: Callable[..., Path], slow: Callable[[float], str], tmp_path: Path
) -> None:
    path = write_recipe(
        slow(0) + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ late }}"}\n'
    )
    rows(*({"id": str(n)} for n in range(1000)), {"id": "last", "late": "x"})
    assert mminf.run(path, output=tmp_path / "out").counts.done == 1
    (tmp_path / "rows.jsonl").write_text("{broken\n")
    assert mminf.run(path, output=tmp_path / "out").counts.failed == 1


def test_retry_of_one_record_leaves_the_others_finished(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "count.py").write_text(
        "from mminf.step import Step, StepConfig, step\nclass C(StepConfig):\n    reads: str = 'n'\n    writes: str = 'm'\n"
        "@step('count_runs')\nclass CountRuns(Step[C]):\n    async def run(self, record, ctx):\n"
        f"        open({str(tmp_path / 'ran')!r}, 'a').write('x\\n')\n"
        "        if record['n'] == 3:\n            raise OSError('passing')\n        return {'m': ctx.attempt}\n"
    )
    path = write_recipe("plugins: count.py\nsource: {jsonl: rows.jsonl}\nsteps:\n  - count_runs: {attempts: 2}\n")
    rows(*({"id": str(n), "n": n} for n in range(10)))
    result = mminf.run(path, output=tmp_path / "out")
    assert "OSError: passing (2 attempts)" in str(result.failures[0][2])
    assert len((tmp_path / "ran").read_text().splitlines()) == 11
    assert api.retry(tmp_path / "out", ids=["3"]) == 1
    mminf.run(path, output=tmp_path / "out")
    assert len((tmp_path / "ran").read_text().splitlines()) == 13
    with pytest.raises(JournalError, match="no failed record 'nothing'"):
        api.retry(tmp_path / "out", ids=["nothing"])
    with pytest.raises(JournalError, match="the run has no step 'count_run'; did you mean 'count_runs'"):
        api.retry(tmp_path / "out", step="count_run")
    with pytest.raises(JournalError, match="no run in"):
        api.retry(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_null_in_a_prompt_fails_the_record(
    write_recipe: Recipe, rows: Callable[..., Path], slow: Callable[[float], str], tmp_path: Path
) -> None:
    path = write_recipe(
        slow(0) + "source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, reads: text, images: false}\n"
    )
    rows({"id": "1", "text": None}, {"id": "2", "text": "x"})
    result = mminf.run(path, output=tmp_path / "out")
    assert result.counts.done == 1
    assert "field 'text' is null" in str(result.failures[0][2])


def test_a_dataset_step_that_breaks_says_so(write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "broken_all.py").write_text(
        "from mminf.step import DatasetStep, StepConfig, step\n@step('broken_all')\nclass B(DatasetStep[StepConfig]):\n"
        "    def run_all(self, records, ctx):\n        yield from ()\n        raise KeyError('oops')\n"
    )
    path = write_recipe("plugins: broken_all.py\nsource: {jsonl: rows.jsonl}\nsteps:\n  - broken_all: {}\n")
    rows({"id": "1"})
    with pytest.raises(UsageError, match="dataset step 'broken_all' failed: KeyError: 'oops'"):
        mminf.run(path, output=tmp_path / "out")


def test_a_notebook_can_run_recipes(write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path) -> None:
    path = write_recipe("source: {jsonl: rows.jsonl}\nsteps:\n  - set: {x: '1'}\n")
    rows({"id": "1"})

    async def cell() -> Any:
        return mminf.run(path, output=tmp_path / "out")

    assert asyncio.run(cell()).counts.done == 1


def test_the_lock_is_not_inherited_by_forked_processes(tmp_path: Path) -> None:
    from mminf.journal import Journal

    journal = Journal(tmp_path, write=True)
    reader, writer = os.pipe()
    alive, born = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.write(born, b"x")
        os.read(reader, 1)  # until the parent is done
        os._exit(0)
    os.close(reader)
    os.read(alive, 1)
    journal.close()
    try:
        Journal(tmp_path, write=True).close()
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_a_call_that_the_backend_cancels_fails_its_record(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend
    from mminf.request import Generation, Request

    async def cancels(self: object, request: Request) -> Generation:
        await asyncio.sleep(0)
        if "cancel" in request.turns[0].text:
            raise asyncio.CancelledError
        return Generation("fine", "stop", 1, 1)

    monkeypatch.setattr(ScriptedBackend, "generate", cancels)
    path = write_recipe(
        "engines: {e: {backend: scripted, answer: x}}\nsource: {jsonl: rows.jsonl}\nsteps:\n"
        '  - generate: {name: a, engine: e, prompt: "a {{ text }}", writes: a}\n'
        '  - generate: {name: b, engine: e, prompt: "b", writes: b}\n'
    )
    rows({"id": "1", "text": "x"}, {"id": "2", "text": "cancel"})
    result = mminf.run(path, output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (1, 1)
    assert "the backend cancelled the call" in str(result.failures[0][2])


def test_rows_of_any_shape_fail_alone(write_recipe: Recipe, tmp_path: Path) -> None:
    path = write_recipe("steps:\n  - set: {x: '1'}\nsinks: [{jsonl: o.jsonl}]\n")
    lines = [
        '{"id": "good"}',
        '{"image": "file://[bad"}',
        '{"image": {"bytes": "iVBOR", "path": null}}',
        '{"images": 5}',
    ]
    lines += ['{"a":' * depth + "1" + "}" * depth for depth in (500, 900, 960, 980, 2000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    for _ in range(2):
        result = mminf.run(path, input=tmp_path / "rows.jsonl", output=tmp_path / "out")
        assert result.counts.done >= 2
        assert (result.counts.done + result.counts.failed, result.counts.pending) == (len(lines), 0)
    assert "good" in [row["id"] for row in read_rows(tmp_path / "out" / "o.jsonl")]


def test_what_a_drop_keeps_is_checked_and_kept(write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "dropper.py").write_text(
        "from mminf.step import DatasetStep, Drop, Step, StepConfig, step\nclass C(StepConfig):\n    writes: str = 'score'\n"
        "@step('dropper')\nclass Dropper(Step[C]):\n    gate = True\n    async def run(self, record, ctx):\n"
        "        return Drop('bad', {'score': {1.5}}) if record['n'] == 1 else {'score': 2}\n"
        "@step('drop_all')\nclass DropAll(DatasetStep[C]):\n    def run_all(self, records, ctx):\n"
        "        for record in records:\n            yield record, Drop('low', {'score': 1 if record['n'] == 2 else {3}})\n"
    )
    path = write_recipe(
        "plugins: dropper.py\nsource: {jsonl: rows.jsonl}\nsteps:\n  - dropper: {}\n  - drop_all: {}\n"
        "sinks: [{jsonl: {path: o.jsonl, dropped_by: drop_all, columns: score}}]\n"
    )
    rows({"id": "1", "n": 1}, {"id": "2", "n": 2}, {"id": "3", "n": 3})
    result = mminf.run(path, output=tmp_path / "out")
    assert (result.counts.dropped, result.counts.failed) == (1, 2)
    assert all("not JSON" in str(reason) for _, _, reason in result.failures)
    assert read_rows(tmp_path / "out" / "o.jsonl") == [{"id": "2", "score": 1}]
