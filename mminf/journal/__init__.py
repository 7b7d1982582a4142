"""The journal: memoised calls and the outcome of every record, in one SQLite file."""

from mminf.journal.journal import Journal
from mminf.journal.lock import is_locked
from mminf.journal.meta import RunHeader, RunMeta, Scope
from mminf.journal.row import Call, CallHistory, Failure, Place, Progress, Prompt, Row, Totals, Tree, Waiting

__all__ = [
    "Call",
    "CallHistory",
    "Failure",
    "Journal",
    "Place",
    "Progress",
    "Prompt",
    "Row",
    "RunHeader",
    "RunMeta",
    "Scope",
    "Totals",
    "Tree",
    "Waiting",
    "is_locked",
]
