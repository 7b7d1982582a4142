"""`python -m mminf.server` prints the file to give to `swift deploy --external_plugins`."""

from mminf.server import plugin_path

print(plugin_path())
