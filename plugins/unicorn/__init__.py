"""Unicorn: training data without images (arXiv 2503.22655)."""

from .article import Article
from .pairs import QaPairs
from .stats import TextStats
from .web_caption import WebCaption

__all__ = ["Article", "QaPairs", "TextStats", "WebCaption"]
