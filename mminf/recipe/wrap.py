"""Wraps steps in other steps, such as `for_each`."""

from __future__ import annotations

from typing import Any

from mminf.registry import WRAPPERS


def wrap_step(step: Any) -> Any:
    """Returns the step that recipes run: with `failure`, one that keeps records without a usable answer; with
    `for_each`, one that runs it over the items of a list.

    Wrappers are applied in the order of their names, so that `failure` belongs to an item.

    Raises:
        ValueError: if the step can't be wrapped.
    """
    for key in WRAPPERS:
        if getattr(step.config, key, None) is not None:
            step = WRAPPERS.get(key)(step)
    return step
