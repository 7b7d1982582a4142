"""The one loop that retries attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mminf.errors import (
    EngineError,
    EngineNotLoaded,
    ImageError,
    Interrupted,
    JournalError,
    RecordError,
    UnusableAnswer,
)
from mminf.step.retry import AnswersUsedUp, AttemptsUsedUp, StepBug, raise_worst, retry


def run(*outcomes: object, before: Callable[[int, Exception], None] | None = None) -> tuple[object, int]:
    """Retries attempts that return or raise these, one after the other. Returns the result and the number of attempts."""
    tried = 0

    async def attempt(number: int) -> object:
        nonlocal tried
        assert number == tried
        tried += 1
        outcome = outcomes[number]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def go() -> object:
        return await retry(attempt, len(outcomes), before=before)

    return asyncio.run(go()), tried


def test_the_first_usable_result_is_returned() -> None:
    assert run("a", "b") == ("a", 1)
    assert run(UnusableAnswer("x"), "b", "c") == ("b", 2)
    assert run(UnusableAnswer("x"), OSError("gone"), "c") == ("c", 3)


def test_the_last_reason_is_kept() -> None:
    with pytest.raises(AnswersUsedUp, match=r"^second \(2 attempts\)$"):
        run(UnusableAnswer("first"), UnusableAnswer("second"))
    with pytest.raises(AnswersUsedUp, match=r"^only$"):
        run(UnusableAnswer("only"))
    with pytest.raises(AttemptsUsedUp, match=r"^TimeoutError: slow \(2 attempts\)$"):
        run(UnusableAnswer("first"), TimeoutError("slow"))


def test_a_bug_in_a_step_is_not_retried_and_names_the_line() -> None:
    with pytest.raises(StepBug, match=r"^KeyError: 'bug' \(test_retry.py:\d+\)$"):
        run(UnusableAnswer("first"), KeyError("bug"), "never")


@pytest.mark.parametrize(
    "error",
    [RecordError("r"), ImageError("i"), Interrupted("x"), EngineNotLoaded("p"), EngineError("e"), JournalError("j")],
)
def test_what_a_retry_would_not_help_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        run(error, "never")


def test_each_retry_is_told() -> None:
    told: list[tuple[int, str]] = []
    run(UnusableAnswer("x"), OSError("y"), "c", before=lambda number, error: told.append((number, repr(error))))
    assert told == [(1, "UnusableAnswer('x')"), (2, "OSError('y')")]


def test_of_several_errors_the_most_serious_is_raised() -> None:
    ask, record, parked, fatal = UnusableAnswer("a"), RecordError("r"), EngineNotLoaded("p"), EngineError("e")
    raise_worst(["fine", None])
    for errors, worst in (
        ([ask, record], record),
        ([record, parked, ask], parked),
        ([parked, fatal, record], fatal),
        ([asyncio.CancelledError(), parked], None),
    ):
        with pytest.raises(BaseException) as found:
            raise_worst(errors)
        assert found.value is worst or worst is None
