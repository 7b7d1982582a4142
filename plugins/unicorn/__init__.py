"""Unicorn: training data without images (arXiv 2503.22655)."""

from .pairs import QaPairs
from .stats import TextStats

__all__ = ["QaPairs", "TextStats"]
