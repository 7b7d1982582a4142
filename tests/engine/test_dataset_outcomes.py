"""Every record that a dataset step is given has one outcome: a step that leaves one out, or doubles one, is told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mminf
from mminf.errors import RecordError, UsageError
from mminf.registry import STEPS
from mminf.step import Context, DatasetStep, Drop, Outcome, Record, StepConfig
from mminf.testing import run_dataset_step

from ..conftest import read_rows

Yielded = Iterator[tuple[Record, Outcome | RecordError]]

NOTHING = "dataset step 'picks' yielded no outcome for it; to leave a record out, yield it with a Drop"

# Yields the records at given positions, in a given order, and -1: one that it was not given.
PLUGIN = """
from mminf.step import DatasetStep, Record, StepConfig, step

class PicksConfig(StepConfig):
    order: list[int]

@step("picks")
class Picks(DatasetStep[PicksConfig]):
    def run_all(self, records, ctx):
        known = list(records)
        for position in self.config.order:
            yield (known[position] if position >= 0 else Record("own", {"text": "mine"})), {}
"""

RECIPE = """
plugins: [{plugin}]
source: {{jsonl: rows.jsonl}}
steps:
  - {first}
  - picks: {{order: {order}}}
sinks: [{{jsonl: o.jsonl}}]
"""


Pick = Callable[..., mminf.RunResult]


@pytest.fixture(scope="module")
def pick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pick]:
    """A function that runs a recipe with the step; the plugin is one file, since its name is registered once."""
    plugin = tmp_path_factory.mktemp("plugin") / "picks.py"
    plugin.write_text(PLUGIN)
    yield partial(run_picks, plugin)
    del STEPS._items["picks"]  # other tests list what is registered


def run_picks(
    plugin: Path, folder: Path, order: list[int], count: int, *, first: str = "set: {n: '1'}"
) -> mminf.RunResult:
    """Runs a recipe with the step over `count` records, 0, 1 and so on."""
    rows = ({"id": str(number), "parts": [f"{number}a", f"{number}b"]} for number in range(count))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(RECIPE.format(plugin=plugin, first=first, order=order))
    return mminf.run(folder / "recipe.yaml", output=folder / "out")


@given(st.lists(st.integers(-1, 5), max_size=8))
@settings(max_examples=25, deadline=None)
def test_each_record_once(pick: Pick, order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrong = next((at for at, position in enumerate(order) if position < 0 or position in order[:at]), None)
        if wrong is not None:
            with pytest.raises(UsageError) as told:
                pick(folder, order, 6)
            end = "'own', which it was not given" if order[wrong] < 0 else f"'{order[wrong]}' twice"
            assert str(told.value) == f"dataset step 'picks' yielded record {end}"
            return
        result = pick(folder, order, 6)
        assert [row["id"] for row in read_rows(folder / "out" / "o.jsonl")] == [str(n) for n in sorted(order)]
        failed = [row for row in mminf.list(folder / "out") if row["state"] == "failed"]
        assert [(row["id"], row["reason"]) for row in failed] == [
            (str(number), NOTHING) for number in range(6) if number not in order
        ]
        assert (result.counts.done, result.counts.failed) == (len(order), 6 - len(order))


def test_across_batches_and_runs(pick: Pick, tmp_path: Path) -> None:
    """Outcomes are written in batches; a record may come again much later, or in a run that is resumed."""
    count = 600
    with pytest.raises(UsageError, match="yielded record '3' twice"):
        pick(tmp_path, [*range(count), 3], count)
    result = pick(tmp_path, [number for number in reversed(range(count)) if number % 100], count)
    assert (result.counts.done, result.counts.failed) == (594, 6)
    result = pick(tmp_path, list(range(count)), count)
    assert (result.counts.done, result.counts.failed, result.counts.pending) == (600, 0, 0)
    # What it leaves out has no outcome of an earlier run.
    result = pick(tmp_path, list(range(count - 1)), count)
    assert (result.counts.done, result.counts.failed) == (599, 1)


def test_children(pick: Pick, tmp_path: Path) -> None:
    """Children of one record are told apart: positions 0 to 3 are 0/0, 0/1, 1/0 and 1/1."""
    split = "split: {reads: parts, writes: part}"
    result = pick(tmp_path, [1, 0, 3], 2, first=split)
    assert [row["id"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["0/0", "0/1", "1/1"]
    assert [(row["id"], row["reason"]) for row in mminf.list(tmp_path / "out") if row["state"] == "failed"] == [
        ("1/0", NOTHING)
    ]
    assert result.counts.failed == 1
    with pytest.raises(UsageError, match="yielded record '1/0' twice"):
        pick(tmp_path, [2, 1, 0, 3, 2], 2, first=split)


class Faulty(DatasetStep[StepConfig]):
    """Yields what its test wants."""

    def run_all(self, records: Iterable[Record], ctx: Context) -> Yielded:
        for record in records:
            yield from record["say"](record)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("say", "told"),
    [
        (lambda record: [record], "yielded Record, not a record with its outcome"),
        (lambda record: [(record.id, {})], "yielded tuple, not a record with its outcome"),
        (lambda record: [None], "yielded NoneType, not a record with its outcome"),
        (lambda record: [(record, None)], "yielded NoneType for 0, not fields or a Drop"),
        (lambda record: [(record, [{}])], "yielded list for 0, not fields or a Drop"),
        (lambda record: [(record, {}), (record, Drop("so"))], "yielded record '0' twice"),
        (lambda record: [(Record("own", {}), {})], "yielded record 'own', which it was not given"),
    ],
)
def test_what_is_no_outcome(say: object, told: str) -> None:
    with pytest.raises(UsageError) as found:
        run_dataset_step(Faulty, None, [{"say": say}])  # type: ignore[dict-item]
    assert str(found.value).endswith(told)


def test_outcomes_that_a_run_refuses_fail_their_record() -> None:
    undeclared = run_dataset_step(Faulty, None, [{"say": lambda record: [(record, {"x": 1})]}, {"say": lambda _: []}])  # type: ignore[dict-item]
    assert all(isinstance(outcome, RecordError) for outcome in undeclared)
    assert "wrote x, which it does not declare" in str(undeclared[0])
    assert "yielded no outcome for it" in str(undeclared[1])


def test_a_forgotten_return_is_told() -> None:
    """Without it, the message was about a line of mminf."""

    class Forgets(DatasetStep[StepConfig]):
        def run_all(self, records: Iterable[Record], ctx: Context) -> Any:
            ((record, {}) for record in records)

    with pytest.raises(UsageError, match="`run_all` of dataset step '.*' returned NoneType, not records with their"):
        run_dataset_step(Forgets, {}, [{"a": 1}])
