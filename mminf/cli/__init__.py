"""The command line: one thin file a command, each a call of the Python API."""
