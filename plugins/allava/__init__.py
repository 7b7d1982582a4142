"""ALLaVA: captions, complex questions and detailed answers (arXiv 2402.11684)."""

from .distil import Distil

__all__ = ["Distil"]
