"""Imports the modules that register steps, backends, sources and sinks. Only this module lists them by name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mminf.errors import PluginError

GROUP = "mminf.plugins"
COMMANDS = "mminf.commands"

# These modules import fast: each imports its large dependencies at their first use.
BUILTIN = (
    "mminf.step.failure",
    "mminf.step.for_each",
    "mminf.step.hook",
    "mminf.step.generate",
    "mminf.step.extract",
    "mminf.step.score",
    "mminf.step.keep",
    "mminf.step.fields",
    "mminf.step.check",
    "mminf.step.compare",
    "mminf.step.draw",
    "mminf.step.image_size",
    "mminf.step.sample",
    "mminf.step.split",
    "mminf.step.deduplicate",
    "mminf.step.embed",
    "mminf.backend.transformers.backend",
    "mminf.backend.vllm.backend",
    "mminf.backend.sglang",
    "mminf.backend.lmdeploy",
    "mminf.backend.openai",
    "mminf.backend.encoder",
    "mminf.backend.scripted",
    "mminf.source.images",
    "mminf.source.rows",
    "mminf.source.dataset",
    "mminf.source.text",
    "mminf.source.tars",
    "mminf.sink.chat",
    "mminf.sink.embeddings",
    "mminf.sink.rows",
    "mminf.sink.parquet",
    "mminf.sink.tars",
)

_broken: dict[str, str] = {}
_files: dict[str, tuple[str, bytes]] = {}
"""File name and content of each loaded plugin file, by the name of its module."""


def discover(plugins: Iterable[str] = (), *, base: Path | None = None) -> None:
    """Imports the built-in members, the installed plugins and the named ones.

    An installed plugin that can't be imported is added to `broken_plugins`. It is an error only for a recipe that uses
    a name that no plugin has registered.

    Args:
        plugins: files (relative to `base`) or module names.

    Raises:
        PluginError: if a named plugin is missing or broken.
    """
    _discover_installed()
    for plugin in plugins:
        load_plugin(plugin, base=base)


def broken_plugins() -> dict[str, str]:
    """Returns the installed plugins that could not be imported, each with the reason."""
    return dict(_broken)


@cache
def _discover_installed() -> None:
    for module in BUILTIN:
        importlib.import_module(module)
    for entry in installed(GROUP):
        try:
            entry.load()
        except Exception as error:  # a plugin can raise any exception
            note_broken(entry.name, error)


def installed(group: str) -> list[EntryPoint]:
    """Returns the entry points of a group, by name."""
    return sorted((entry for entry in _entries() if entry.group == group), key=lambda entry: entry.name)


@cache
def _entries() -> tuple[EntryPoint, ...]:
    """Returns the entry points of both groups; the metadata of every installed package is read once for them."""
    found = entry_points()
    return tuple(entry for group in (GROUP, COMMANDS) for entry in found.select(group=group))


def note_broken(name: str, error: Exception) -> None:
    """Adds an installed plugin that can't be used to `broken_plugins`."""
    _broken[name] = f"{type(error).__name__}: {error}"


def load_plugin(plugin: str, *, base: Path | None = None) -> None:
    """Imports one plugin, a `.py` file or a module.

    Raises:
        PluginError: if it is missing or broken.
    """
    try:
        if plugin.endswith(".py"):
            _load_file((base or Path.cwd()) / plugin)
        else:
            importlib.import_module(plugin)
    except PluginError:
        raise
    except Exception as error:  # a plugin can raise any exception
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}" if last.filename.endswith(f"/{plugin}") else plugin
        raise PluginError(f"{where}: plugin can't be imported: {type(error).__name__}: {error}") from error


def _load_file(path: Path) -> None:
    path = path.resolve()
    if not path.is_file():
        raise PluginError(f"plugin file {path} does not exist")
    name = f"mminf_plugin_{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    _load_module(name, path)


def _load_module(name: str, path: Path) -> None:
    if name in sys.modules:
        return
    # As it was loaded: the file may be edited or removed before workers get it, and this process keeps what it has.
    _files[name] = (path.name, path.read_bytes())
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file {path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name], _files[name]
        raise


def plugin_sources() -> dict[str, tuple[str, bytes]]:
    """Returns the file name and the content, as it was loaded, of each plugin file, by the name of its module."""
    return dict(_files)


def install_sources(sources: Mapping[str, tuple[str, bytes]]) -> None:
    """Loads plugin files that `plugin_sources` returned on another machine, under the same module names.

    Raises:
        PluginError: if one can't be imported here.
    """
    for name, (file, content) in sources.items():
        if name in sys.modules:
            continue
        path = Path(tempfile.mkdtemp(prefix="mminf-plugin-")) / file
        path.write_bytes(content)
        try:
            _load_module(name, path)
        except Exception as error:  # a plugin can raise any exception
            raise PluginError(f"plugin {file} can't be imported: {type(error).__name__}: {error}") from error
