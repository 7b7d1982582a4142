"""The journal: memoised calls and the outcome of every record, in one SQLite file."""

from mminf.journal.journal import Call, Journal, Row
from mminf.journal.lock import is_locked

__all__ = ["Call", "Journal", "Row", "is_locked"]
