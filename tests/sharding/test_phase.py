"""What shards are to do, without journals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import JournalError
from mminf.shard import Shard
from mminf.sharding.phase import SHARE, Phase, ShardProgress, first_quota, next_quota, sure_end, unfinished
from mminf.states import RunState

PHASE = Phase(0, None, 0, 1, "source")


def progress(**changed: object) -> ShardProgress:
    return ShardProgress(RunState.FINISHED, PHASE.dump(), "recipe", None)._replace(**changed)  # type: ignore[arg-type]


@given(
    st.builds(
        Phase,
        st.integers(0, 9),
        st.none() | st.integers(0, 10**6),
        st.integers(0, 9),
        st.integers(1, 99),
        st.none() | st.text(max_size=9),
    )
)
def test_a_phase_is_read_as_it_was_written(phase: Phase) -> None:
    assert Phase.load(phase.dump()) == phase


@pytest.mark.parametrize("text", ["x", "[1]", "{}", '{"stage": 1}', "[" * 100_000])
def test_a_damaged_phase_or_note_is_an_error(text: str) -> None:
    with pytest.raises(JournalError, match="is damaged"):
        Phase.load(text)
    with pytest.raises(JournalError, match="is damaged"):
        ShardProgress.load(text[:1000])
    assert Phase.load("") is None


def test_a_note_is_read_as_it_was_written() -> None:
    assert ShardProgress.load(progress(position=7).dump()) == progress(position=7)


def test_each_shard_that_is_not_finished_has_a_line() -> None:
    found = {
        Shard(1, 6): progress(recipe="other"),
        Shard(2, 6): progress(phase=replace(PHASE, run=9).dump()),
        Shard(3, 6): progress(state=RunState.INTERRUPTED),
        Shard(4, 6): progress(),
        Shard(5, 6): progress(position=5),
    }
    assert unfinished(found, 6, PHASE, "recipe") == [
        "shard 0/6 has not begun",
        "shard 1/6 was run with another recipe, or with other options",
        "shard 2/6 is of an earlier run; run it again",
        "shard 3/6 is interrupted",
    ]


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_quotas_add_up_to_more_than_the_target(target: int, count: int) -> None:
    quota = first_quota(target, count)
    assert quota is not None
    assert quota * count > target
    assert next_quota(quota, 1, count) > quota
    assert first_quota(None, count) is None


def test_the_sure_end_is_that_of_the_slowest() -> None:
    assert sure_end([5, None, 3]) == 3
    assert sure_end([None, None]) is None


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_a_share_is_that_of_the_shards_that_there_are(target: int, count: int) -> None:
    assert replace(PHASE, quota=SHARE).quota_of(target, count) == first_quota(target, count)
    assert replace(PHASE, quota=7).quota_of(target, count) == 7
    assert PHASE.quota_of(target, count) is None
