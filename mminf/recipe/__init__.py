"""Recipes: what a YAML file may say, and how it is read, overridden and checked before any model loads."""
