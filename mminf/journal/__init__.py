"""The journal: memoised calls and the outcome of every record, in one SQLite file."""

from mminf.journal.codec import path_text
from mminf.journal.journal import Call, Journal, Row, Tree
from mminf.journal.lock import is_locked

__all__ = ["Call", "Journal", "Row", "Tree", "is_locked", "path_text"]
