"""Drawn scenes as input, and prepared answers about them, for the profile `demo` of recipes without a demo model."""

from . import script, source

__all__ = ["script", "source"]
