"""The journal: memoised calls and the outcome of every record, in one SQLite file."""

from mminf.journal.journal import Call, Journal, Row

__all__ = ["Call", "Journal", "Row"]
