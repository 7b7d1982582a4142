"""Retries: one rule for steps, items and samples whose answer can't be used."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from mminf.errors import EngineError, EngineNotLoaded, Interrupted, JournalError, RecordError, UnusableAnswer

log = logging.getLogger("mminf")
T = TypeVar("T")
FINAL = (Interrupted, EngineNotLoaded, EngineError, JournalError)
"""Errors that are not caused by the record: it stays pending, and there is no retry."""


class AttemptsUsedUp(RecordError):
    """No attempt gave a usable answer; the message is the reason of the last attempt."""


async def retry(
    attempt: Callable[[int], Awaitable[T]], attempts: int, *, before: Callable[[], None] | None = None
) -> T:
    """Returns the result of the first attempt that succeeds.

    An attempt is retried after UnusableAnswer, and after any exception except those below: a bug in a step fails the
    record on which it occurs, not the run.

    Args:
        attempt: called with 0, 1, ...
        attempts: maximum number of attempts.
        before: called before each retry.

    Raises:
        AttemptsUsedUp: if all attempts failed.
        RecordError: at once, because a retry would not help; the errors in `FINAL` likewise.
    """
    reason = ""
    for number in range(attempts):
        if number and before is not None:
            before()
        try:
            return await attempt(number)
        except (*FINAL, RecordError):
            raise
        except UnusableAnswer as error:
            reason = str(error)
        except Exception as error:
            log.debug("attempt %d failed", number, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
    raise AttemptsUsedUp(f"{reason} ({attempts} attempts)" if attempts > 1 else reason)


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
