"""The web app of `mminf view`: reads the journals of one or several runs, and writes the marks of records."""
