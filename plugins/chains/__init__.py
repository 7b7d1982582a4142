"""Steps of the chains: captions checked part by part, thoughts rewritten with few changes."""

from .no_leak import NoLeak
from .parts import Parts
from .word_changes import WordChanges

__all__ = ["NoLeak", "Parts", "WordChanges"]
