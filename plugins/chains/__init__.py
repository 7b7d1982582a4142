"""Steps of the chains: parts of captions, changes between texts, and filters of texts."""

from .degenerate import Degenerate
from .language import Language
from .no_leak import NoLeak
from .parts import Parts
from .refusal import RefusalFilter
from .task_types import TaskTypes
from .word_changes import WordChanges

__all__ = ["Degenerate", "Language", "NoLeak", "Parts", "RefusalFilter", "TaskTypes", "WordChanges"]
