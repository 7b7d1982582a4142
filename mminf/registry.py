"""A generic registry, and the registries of steps, wrappers of steps, backends, sources, sinks and models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from mminf.builtin_model import BuiltinModel
from mminf.errors import PluginError, nearest

T = TypeVar("T")
U = TypeVar("U")


class Registry(Generic[T]):
    """A mapping of names to items. Duplicate and unknown names are errors; similar names are suggested."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[U], U]:
        """Returns a decorator that registers its item under `name` and returns it.

        Raises:
            PluginError: if another item has this name.
        """

        def decorate(item: U) -> U:
            known = self._items.get(name)
            # A module that is imported twice (a plugin given by path) registers the same item again.
            if known is not None and _origin(known) != _origin(item):
                raise PluginError(
                    f"two {self.kind}s have the name {name!r}: {_origin(known)} and {_origin(item)}; rename one"
                )
            if not is_bundled(item):
                _build_config(item)
            self._items[name] = item  # type: ignore[assignment]
            return item

        return decorate

    def get(self, name: str) -> T:
        """Returns the item.

        Raises:
            PluginError: if there is no item with this name.
        """
        try:
            return self._items[name]
        except KeyError:
            raise PluginError(f"unknown {self.kind} {name!r}{nearest(name, self._items)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))


def is_bundled(item: object) -> bool:
    """Returns whether a class is one of mminf's own, or of the plugins that are installed with it."""
    return getattr(item, "__module__", "").partition(".")[0] in ("mminf", "mminf_plugins")


def _build_config(item: object) -> None:
    """Builds the config of a plugin's class, so that its faults are errors of the plugin, not of a recipe."""
    config = getattr(item, "Config", None)
    if isinstance(config, type) and issubclass(config, BaseModel):
        config.model_rebuild(raise_errors=False)  # a name in an annotation may be defined later


def _origin(item: object) -> str:
    return f"{getattr(item, '__module__', '?')}.{getattr(item, '__qualname__', repr(item))}"


STEPS: Registry[Any] = Registry("step")
BACKENDS: Registry[Any] = Registry("backend")
SOURCES: Registry[Any] = Registry("source")
SINKS: Registry[Any] = Registry("sink")
WRAPPERS: Registry[Any] = Registry("wrapper")
"""Steps that wrap other steps, by the key of a step's config that enables them."""
MODELS: Registry[BuiltinModel] = Registry("built-in model")
