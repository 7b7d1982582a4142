"""Digests of image files, so that a file that has not changed is not read again."""

from __future__ import annotations

from mminf.image import DigestCache, ImageStat
from mminf.journal.codec import clean
from mminf.journal.database import Database


class ImageDigests(DigestCache):
    """The table of digests.

    Args:
        base: database of the main journal, for a shard.
    """

    def __init__(self, database: Database, base: Database | None = None) -> None:
        self._database = database
        databases = [database] if base is None else [database, base]
        self._searched = [item for item in databases if item.one("SELECT 1 FROM images LIMIT 1") is not None]

    def get(self, stat: ImageStat) -> str | None:
        where, values = "WHERE uri = ? AND size = ? AND mtime_ns = ?", (clean(stat.uri), stat.size, stat.mtime_ns)
        for database in self._searched:
            if (row := database.find("images", where, *values)) is not None:
                return str(row[3])
        return None

    def put(self, stat: ImageStat, digest: str) -> None:
        self._database.insert("images", clean(stat.uri), stat.size, stat.mtime_ns, digest)
