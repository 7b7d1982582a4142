"""Wraps steps in other steps, such as `for_each`."""

from __future__ import annotations

from typing import Any

from mminf.registry import WRAPPERS


def wrap_step(step: Any) -> Any:
    """Returns the step that recipes run: with `for_each`, one that runs it over the items of a list.

    Raises:
        ValueError: if the step can't be wrapped.
    """
    for key in WRAPPERS:
        if getattr(step.config, key) is not None:
            step = WRAPPERS.get(key)(step)
    return step
