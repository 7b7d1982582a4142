"""Recipes: the keys of the YAML file, and how it is read, overridden and checked before a model is loaded."""
