"""The journal: memoised calls and the outcome of every record, in one SQLite file."""

from mminf.journal.codec import path_text
from mminf.journal.journal import Journal
from mminf.journal.lock import is_locked
from mminf.journal.row import Call, Place, Row, Tree, Waiting

__all__ = ["Call", "Journal", "Place", "Row", "Tree", "Waiting", "is_locked", "path_text"]
