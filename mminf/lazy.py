"""What is imported or compiled at its first use: names of a package, regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast


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


API_NAMES = {
    **dict.fromkeys(("copy_recipe", "describe_member", "describe_recipe"), "mminf.catalogue"),
    **dict.fromkeys(("list_members", "list_recipes"), "mminf.catalogue"),
    **dict.fromkeys(("describe_plan", "preview", "probe"), "mminf.trial"),
    **dict.fromkeys(("plan_push", "push"), "mminf.hub.push"),
    "card": "mminf.card.write",
    "list_records": "mminf.listing",
    "marks": "mminf.run_folder",
    "report": "mminf.page.report",
}
"""Names of `mminf.api` that a run does not need. Importing them takes longer than the rest of its start."""


def lazy_pattern(source: str, flags: int = 0) -> re.Pattern[str]:
    """Returns a regular expression that is compiled at its first use.

    Compiling the patterns of all steps takes longer than the rest of their import, and a run uses a few of them. It has
    the methods and attributes of a compiled pattern; the functions of `re` don't take it.
    """
    return cast("re.Pattern[str]", _LazyPattern(source, flags))


class _LazyPattern:
    """Stands for a compiled pattern; each of its methods becomes an attribute when it is first used."""

    def __init__(self, source: str, flags: int) -> None:
        self._source = source
        self._flags = flags
        self._compiled: re.Pattern[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for by `copy` and `pickle`
            raise AttributeError(name)
        if self._compiled is None:
            self._compiled = re.compile(self._source, self._flags)
        value = getattr(self._compiled, name)
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"lazy_pattern({self._source!r}, {self._flags!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return lazy_pattern, (self._source, self._flags)
