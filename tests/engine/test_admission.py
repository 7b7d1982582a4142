"""How many records a stage takes, without a run."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mminf.engine.admission import FIRST_GUESS, LEAST_SHARE, Admission
from mminf.record import Record
from mminf.source.base import BadRow


def test_without_a_target_all_are_taken() -> None:
    admission = Admission(None)
    records = iter([Record("a", {}, 0), BadRow("b", "bad", 1)])
    assert not admission.is_over(0)
    assert admission.needed(0) == math.inf
    first = admission.take(records)
    assert first is not None and first.id == "a" and admission.position == 0
    assert admission.take(records) is not None and admission.position == 1
    assert admission.take(records) is None
    assert admission.position is None, "None: there are no more"
    assert admission.is_over(0)
    assert not admission.has_enough(10**9)


def test_a_target_ends_the_taking() -> None:
    admission = Admission(3)
    assert not admission.is_over(2)
    assert admission.is_over(3) and admission.has_enough(4)


def test_before_any_record_a_share_is_guessed() -> None:
    assert Admission(100).needed(0) == math.ceil(1.1 * 100 / FIRST_GUESS) + 16


@given(st.integers(1, 1000), st.lists(st.booleans(), min_size=1, max_size=50))
def test_what_is_needed_follows_the_share_so_far(target: int, accepted: list[bool]) -> None:
    admission = Admission(target)
    records = iter(Record(str(n), {}, n) for n in range(len(accepted)))
    for _ in accepted:
        admission.take(records)
    done = min(sum(accepted), target)
    needed = admission.needed(done)
    assert 16 <= needed <= 1.1 * (target - done) / LEAST_SHARE + 17
    assert needed >= target - done
