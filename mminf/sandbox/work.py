"""The work budget of the evaluation of a template or expression."""

from __future__ import annotations

import threading
import time

import jinja2

from mminf.limits import EXPRESSION_DIGITS, EXPRESSION_SECONDS, EXPRESSION_WORK

CHARACTERS = 8
"""Number of characters that cost as much as one item, because they are only copied."""
_BITS_A_DIGIT = 3.33


class _Evaluation(threading.local):
    """The remaining budget of the evaluation in this thread.

    Attributes:
        left: remaining work; None outside of evaluations.
        until: deadline on the monotonic clock.
    """

    left: int | None = None
    until: float = 0.0


_now = _Evaluation()


def begin() -> int | None:
    """Begins an evaluation with a new budget. Returns the outer budget, which is passed to `end`."""
    before, _now.left = _now.left, EXPRESSION_WORK.value
    _now.until = time.monotonic() + EXPRESSION_SECONDS.value
    return before


def end(before: int | None) -> None:
    """Ends an evaluation and restores the outer budget."""
    _now.left = before


def spend(amount: int) -> None:
    """Takes work from the budget. Raises TemplateRuntimeError if the budget or the time is exceeded."""
    left = _now.left
    if left is None:
        if amount > EXPRESSION_WORK.value:
            raise _too_much()
        return
    if amount > left:
        raise _too_much()
    _now.left = left - amount
    if time.monotonic() > _now.until:
        raise jinja2.TemplateRuntimeError(f"evaluation takes too long: {EXPRESSION_SECONDS}")


def _too_much() -> jinja2.TemplateRuntimeError:
    return jinja2.TemplateRuntimeError(f"result is too large: {EXPRESSION_WORK}")


def weigh(value: object) -> int:
    """Returns the size of a value with all nested items, at least 1. Raises as `spend` does if it is too large."""
    most = EXPRESSION_WORK.value if _now.left is None else _now.left
    total, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str | bytes):
            total += 1 + len(item) // CHARACTERS
        elif isinstance(item, list | tuple):
            total += 1
            if len(item) > most - total:
                raise _too_much()
            stack.extend(item)
        elif isinstance(item, dict):
            total += 1
            stack.extend(item)
            stack.extend(item.values())
        else:
            total += len(item) if isinstance(item, range) else 1
        if total > most:
            raise _too_much()
    return total


def pay(made: object) -> None:
    """Spends the size of a result: characters of a text, items of a list."""
    if isinstance(made, str | bytes):
        spend(len(made) // CHARACTERS)
    elif isinstance(made, list | tuple | dict):
        spend(len(made))
    elif isinstance(made, int) and not isinstance(made, bool):
        check_digits(made.bit_length())


def check_digits(bits: int) -> None:
    """Raises TemplateRuntimeError if a number of this many bits has too many digits."""
    if bits > EXPRESSION_DIGITS.value * _BITS_A_DIGIT:
        raise jinja2.TemplateRuntimeError(f"the number is too large: {EXPRESSION_DIGITS}")
