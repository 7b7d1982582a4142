"""Attempts that `mminf retry` has written off, so that the next run uses new seeds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mminf.journal.database import Database
from mminf.journal.meta import RunMeta
from mminf.journal.schema import checksum_sql, insert

_ADD = (
    f"{insert('retries')} "
    "ON CONFLICT (record, step) DO UPDATE SET attempts = attempts + excluded.attempts, checksum = CASE "
    f"WHEN checksum = {checksum_sql('retries')} "
    f"THEN {checksum_sql('retries', {'attempts': 'attempts + excluded.attempts'})} ELSE checksum END"
)


class WrittenOff(NamedTuple):
    """Attempts of a step at a record that count as used."""

    record: str
    step: str
    attempts: int


class Retries:
    """The attempts that were written off.

    Args:
        base: database of the main journal, for a shard.
    """

    def __init__(self, database: Database, meta: RunMeta, base: Database | None = None) -> None:
        self._database = database
        self._meta = meta
        self._databases = [database] if base is None else [base, database]

    def by_step(self) -> dict[tuple[str, str], int]:
        """Returns the number of written-off attempts by record and step."""
        found = {}
        for database in self._databases:
            for row in database.all(database.select("retries", "")):
                record, step, attempts = database.verify("retries", row)
                found[record, step] = attempts
        return found

    def failed(self, *, step: str | None, ids: Iterable[str]) -> list[tuple[str, str]]:
        """Returns id and step of the failed records of this run.

        Args:
            step: only records that failed in this step.
            ids: only these records and their children; all records if empty.
        """
        sql = "SELECT id, step FROM rows WHERE run >= ?1 AND state = 'failed' AND (?2 IS NULL OR step = ?2)"
        wanted = list(ids)
        found = self._database.all(sql, self._meta.since, step)
        return [(record, at) for record, at in found if not wanted or _is_named(record, wanted)]

    def write_off(self, marked: Iterable[WrittenOff]) -> None:
        """Adds attempts to those that were written off before."""
        for item in marked:
            self._database.execute(_ADD, *item)


def _is_named(record: str, ids: list[str]) -> bool:
    return any(record == name or record.startswith(f"{name}/") for name in ids)
