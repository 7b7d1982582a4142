"""The card of a dataset: README.md with a YAML header, as hubs read it, and the recipe with all of its settings."""
