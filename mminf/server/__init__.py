"""What runs inside other people's servers.

The folder holds the plugin alone: `swift` puts the folder of an external plugin on the module path, where anything
that is called like a library would hide it.
"""

from __future__ import annotations

from pathlib import Path


def plugin_path() -> Path:
    """Returns the file to give to `swift deploy --external_plugins`."""
    return Path(__file__).parent / "mminf_swift_plugin.py"
