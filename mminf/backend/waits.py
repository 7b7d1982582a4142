"""Failures after which a call is sent again, and how long to wait before."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

LONGEST_PAUSE = 300.0
"""Maximum number of seconds that a server may ask for."""


class TransientError(Exception):
    """A temporary failure; a retry may succeed."""


class DeadEngineError(TransientError):
    """The server's engine has died: no retry of a call succeeds until it is restarted."""


class RateLimitError(TransientError):
    """The server accepts no more calls for now.

    Args:
        seconds: the wait that it asked for.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Rejected(Exception):
    """The server rejects a parameter of the call; a retry with a changed parameter may succeed."""


def backoff(attempt: int, *, base: float = 0.5, top: float = 30.0) -> float:
    """Returns the seconds to wait before the next retry: exponential backoff with full jitter."""
    return random.uniform(0, min(top, base * 2 ** min(attempt, 64)))


def retry_after(value: str | None) -> float | None:
    """Returns the seconds in a Retry-After header, at most 300; None if it contains no time in the future.

    Args:
        value: seconds or an HTTP date.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_PAUSE) if seconds > 0 else None
