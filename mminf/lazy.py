"""Names of a package that are imported at their first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package that imports its names from modules at their first use.

    Args:
        package: name of the package.
        homes: name -> module that defines it, or `module:name` if it has another name there.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, _, inner = homes[name].partition(":")
        return getattr(import_module(home), inner or name)

    return get
