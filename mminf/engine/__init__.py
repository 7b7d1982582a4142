"""The engine: runs a recipe over records."""
