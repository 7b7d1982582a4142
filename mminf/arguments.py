"""Checks the arguments of the functions for Python, as the command line checks its options."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path

from mminf.errors import UsageError


def check_load(recipe: object, overrides: object) -> None:
    """Raises UsageError if a recipe is not named by a text or a path, or overrides are not a mapping."""
    if not isinstance(recipe, str | Path):
        raise UsageError(f"recipe: must be the path or the name of a recipe, not {type(recipe).__name__}")
    if not isinstance(overrides, Mapping | None):
        example = '{"engines.vlm.model": "..."}'
        raise UsageError(f"overrides: must be a mapping, such as {example}, not {type(overrides).__name__}")


def check_main() -> None:
    """Raises UsageError in a process of an engine that imports the script which has started it.

    Such processes begin with an import of the main module (Python's docs, `multiprocessing`, "Safe importing of main
    module"). A call that is not guarded would run there again.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "an engine's process has imported this script, which would run the recipe again: put the call of mminf "
            'under `if __name__ == "__main__":`'
        )


def check_limit(limit: object) -> None:
    """Raises UsageError if a limit is not a whole number of at least 1, or None."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(f"limit: must be a whole number of at least 1, not {limit!r}")


def listed(texts: str | Sequence[str]) -> Sequence[str]:
    """Returns a list of texts; one text stands for a list with it."""
    return [texts] if isinstance(texts, str) else texts
