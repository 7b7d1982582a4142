"""Oasis: instruction data from images alone (arXiv 2503.08741). `classify` and `respond` are its own steps."""

from .classify import Classify
from .respond import Respond

__all__ = ["Classify", "Respond"]
