"""Plugins for inference servers.

The folder contains only the plugin. `swift` adds the folder of an external plugin to the module path, where another
file could hide a library with the same name.
"""

from __future__ import annotations

from pathlib import Path


def plugin_path() -> Path:
    """Returns the file to give to `swift deploy --external_plugins`."""
    return Path(__file__).parent / "mminf_swift_plugin.py"
