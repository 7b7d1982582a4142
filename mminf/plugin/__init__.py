"""How steps, backends, sources and sinks are found: built-in modules, entry points, files."""

from mminf.plugin.discovery import broken_plugins, discover, install_sources, load_plugin, plugin_sources

__all__ = ["broken_plugins", "discover", "install_sources", "load_plugin", "plugin_sources"]
