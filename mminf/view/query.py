"""What a search asks for: its conditions, and where it continues."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import NamedTuple

from mminf.errors import UsageError
from mminf.marks import VALUES
from mminf.sharding.scan import Position
from mminf.states import RecordStatus

WAITING = "waiting"
"""The outcome of a record that is done in a stage, and that a later stage has not processed yet."""
STATES = (RecordStatus.DONE, RecordStatus.DROPPED, RecordStatus.FAILED, WAITING)
MARKED = (*VALUES, "note", "any", "none")


class Range(NamedTuple):
    """The values of a field with numbers that are wanted, both ends included."""

    field: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Query:
    """The records that are wanted.

    Attributes:
        text: a text in the id, the reason, or any text of the fields, in any case of letters.
        state: one of `STATES`; empty: all.
        step: the step that dropped or failed the record; empty: all.
        ranges: ranges of scores; a record without a score is left out.
        mark: one of `MARKED`; empty: all.
    """

    text: str = ""
    state: str = ""
    step: str = ""
    ranges: tuple[Range, ...] = ()
    mark: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (("state", self.state, STATES), ("mark", self.mark, MARKED)):
            if value and value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {value[:40]!r}")


class Cursor(NamedTuple):
    """The last outcome that was read: the name of its journal, and its position in it."""

    journal: str
    position: Position

    def text(self) -> str:
        """Returns the cursor as a text for a URL."""
        return base64.urlsafe_b64encode(json.dumps([self.journal, *self.position]).encode()).decode("ascii")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Returns the cursor of a text. Raises UsageError if it is not one."""
        try:
            journal, seq, path, root, stage = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError("not a position of a search") from error
        numbers = all(type(number) is int and abs(number) < 2**63 for number in (seq, stage))
        if not numbers or not all(isinstance(name, str) for name in (journal, path, root)):
            raise UsageError("not a position of a search")
        return cls(journal, Position(seq, path, root, stage))


def parse_range(text: str) -> Range:
    """Returns the range of `field:low:high`; an empty end is open. Raises UsageError."""
    try:
        field, low, high = text.rsplit(":", 2)
        found = Range(field, float(low or -math.inf), float(high or math.inf))
    except ValueError as error:
        raise UsageError(f"a range of scores is field:low:high, not {text[:80]!r}") from error
    if not field or math.isnan(found.low) or math.isnan(found.high):
        raise UsageError(f"a range of scores is field:low:high, not {text[:80]!r}")
    return found
