"""The journal: memoised calls and the outcome of every record, in one SQLite file."""

from mminf.journal.journal import Journal
from mminf.journal.lock import is_locked
from mminf.journal.meta import RunHeader, RunMeta, Scope
from mminf.journal.row import (
    Call,
    CallHistory,
    FailedRecord,
    Place,
    Prompt,
    ReasonCount,
    Row,
    StepProgress,
    Totals,
    Tree,
    Waiting,
)

__all__ = [
    "Call",
    "CallHistory",
    "FailedRecord",
    "Journal",
    "Place",
    "Prompt",
    "ReasonCount",
    "Row",
    "RunHeader",
    "RunMeta",
    "Scope",
    "StepProgress",
    "Totals",
    "Tree",
    "Waiting",
    "is_locked",
]
