"""Finds out whether Python compiles large packages at every start."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_TO_COMPILE = "python -m compileall -q -j 0"


def compiles_each_time(module: str) -> str | None:
    """Returns what to do if Python compiles a package at every start, or None.

    `uv pip install` leaves packages without bytecode, and with `PYTHONDONTWRITEBYTECODE`, which container images often
    set, Python never writes it. Importing vLLM then takes 27 s instead of 10 s in each of its three processes.

    Args:
        module: name of the package's module.
    """
    spec = importlib.util.find_spec(module)
    if not sys.dont_write_bytecode or spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    if origin.suffix != ".py" or Path(importlib.util.cache_from_source(str(origin))).is_file():
        return None
    return (
        f"Python compiles {module} at every start, because PYTHONDONTWRITEBYTECODE is set and the package has no "
        f"bytecode; compile it once: {_TO_COMPILE} {origin.parent.parent}"
    )
