"""Retries: one rule for steps, items and samples whose answer can't be used."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from mminf.errors import (
    EngineError,
    EngineNotLoaded,
    Interrupted,
    JournalError,
    NoUsableAnswer,
    RecordError,
    UnusableAnswer,
    tell_bug,
)

log = logging.getLogger("mminf")
T = TypeVar("T")
FINAL = (Interrupted, EngineNotLoaded, EngineError, JournalError)
"""Errors that are not caused by the record: it stays pending, and there is no retry."""


class AttemptsUsedUp(RecordError):
    """No attempt succeeded; the message is the reason of the last attempt."""


class AnswersUsedUp(AttemptsUsedUp, NoUsableAnswer):
    """The same, and in the last attempt the model's answer could not be used."""


class StepBug(RecordError):
    """An exception that a step does not expect; the message ends with the line of the plugin."""


async def retry(
    attempt: Callable[[int], Awaitable[T]],
    attempts: int,
    *,
    before: Callable[[int, Exception], None] | None = None,
) -> T:
    """Returns the result of the first attempt that succeeds.

    An attempt is retried after UnusableAnswer, and after OSError, because files and servers may be back soon. Any other
    exception is a bug in the step: another attempt would make its calls again and end in the same way, so it fails the
    record at once, and the reason names the line.

    Args:
        attempt: called with 0, 1, ...
        attempts: maximum number of attempts.
        before: called before each retry with its number, from 1 on, and the error of the attempt before it.

    Raises:
        AttemptsUsedUp: if all attempts failed; AnswersUsedUp if the last one failed because of its answer.
        StepBug, RecordError: at once, because a retry would not help; the errors in `FINAL` likewise.
    """
    reason = ""
    last: Exception | None = None
    for number in range(attempts):
        if last is not None and before is not None:
            before(number, last)
        try:
            return await attempt(number)
        except (*FINAL, RecordError):
            raise
        except UnusableAnswer as error:
            last, reason = error, str(error)
        except OSError as error:
            last, reason = error, f"{type(error).__name__}: {error}"
        except Exception as error:
            log.debug("attempt %d failed", number, exc_info=True)
            raise StepBug(tell_bug(error)) from error
    kind = AnswersUsedUp if isinstance(last, UnusableAnswer) else AttemptsUsedUp
    raise kind(f"{reason} ({attempts} attempts)" if attempts > 1 else reason)


def raise_worst(found: Iterable[object]) -> None:
    """Raises the most serious error among results: first those that end the run, park the record, or fail it."""
    if errors := [item for item in found if isinstance(item, BaseException)]:
        raise max(errors, key=_weight)


def _weight(error: BaseException) -> int:
    return next(
        (
            weight
            for weight, kind in enumerate((UnusableAnswer, RecordError, EngineNotLoaded))
            if isinstance(error, kind)
        ),
        3,
    )
