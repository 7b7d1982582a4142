"""Adds the marks of a file to the records of a source."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from mminf.errors import shorten_text
from mminf.marks import FIELDS, mark_fields
from mminf.record import Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Source

log = logging.getLogger("mminf")


def add_marks(
    source: Source, rows: Iterator[Record | BadRow], *, shard: Shard | None = None, whole: bool = True
) -> Iterator[Record | BadRow]:
    """Yields rows of a source; records get the fields `mark` and `note` if the source has a file with marks.

    Args:
        shard: the shard that the rows belong to; None: all rows.
        whole: the rows are all of the input, so that marks without a record are noticed.

    Raises:
        UsageError: if the file with marks can't be read.
    """
    marks = source.marks()
    if marks is None:
        yield from rows
        return
    left = {record for record in marks if shard is None or shard.owns(record)}
    total, told = len(left), False
    for row in rows:
        left.discard(row.id)
        if isinstance(row, BadRow):
            yield row
            continue
        if not told and (own := sorted(FIELDS & row.fields.keys())):
            told = True
            log.warning("the marks of %s replace the column %s of the rows", source.config.marks, ", ".join(own))
        yield replace(row, fields={**row.fields, **mark_fields(marks.get(row.id))})
    if whole and left:
        log.warning(
            "%d of %d marks in %s are of ids that the input does not contain, such as %r",
            len(left),
            total,
            source.config.marks,
            shorten_text(min(left), 80),
        )
