"""The built-in models: `builtin:NAME` in a recipe is a model that a plugin has registered."""

from __future__ import annotations

from mminf.builtin_model import BuiltinModel
from mminf.errors import EngineError, nearest
from mminf.plugin import broken_plugins, discover
from mminf.registry import MODELS

_PREFIX = "builtin:"


def register_model(model: BuiltinModel) -> BuiltinModel:
    """Registers a built-in model and returns it.

    Raises:
        PluginError: if another model has that name.
    """
    return MODELS.register(model.name)(model)


def is_builtin(model: str) -> bool:
    """Returns whether a recipe's `model` names a built-in model."""
    return model.startswith(_PREFIX)


def find_model(name: str) -> BuiltinModel:
    """Returns the built-in model with a name such as `builtin:demo`.

    Raises:
        EngineError: if no plugin has registered it, or some of its files are missing.
    """
    discover()
    key = name.removeprefix(_PREFIX)
    if key not in MODELS:
        broken = "".join(f"; plugin {plugin!r} is broken: {why}" for plugin, why in broken_plugins().items())
        raise EngineError(f"no built-in model {name!r}{nearest(name, [_PREFIX + known for known in MODELS])}{broken}")
    model = MODELS.get(key)
    if missing := [file for file in model.files if not (model.folder / file).is_file()]:
        raise EngineError(
            f"{name}: {', '.join(missing)} is missing in {model.folder}; reinstall the package that contains the model"
        )
    return model
