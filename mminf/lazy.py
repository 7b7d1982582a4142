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
