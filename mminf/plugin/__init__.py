"""Discovery of steps, backends, sources and sinks: built-in modules, entry points, files."""

from mminf.plugin.discovery import (
    COMMANDS,
    broken_plugins,
    discover,
    install_sources,
    installed,
    load_plugin,
    note_broken,
    plugin_sources,
)

__all__ = [
    "COMMANDS",
    "broken_plugins",
    "discover",
    "install_sources",
    "installed",
    "load_plugin",
    "note_broken",
    "plugin_sources",
]
