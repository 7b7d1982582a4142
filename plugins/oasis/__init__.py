"""Steps of Oasis: instruction data from images alone (arXiv 2503.08741)."""

from .classify import Classify
from .clean_caption import CleanCaption
from .respond import Respond

__all__ = ["Classify", "CleanCaption", "Respond"]
