"""Recipes and templates, as an installed mminf carries them."""
