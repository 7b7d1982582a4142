"""The log of a run: the file `run.log` next to its journal.

It has what the terminal shows, except for the progress, and more: the beginning and the end of each run, the versions,
the stages, the reasons of failures. Messages that only this file needs go to the logger `mminf.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from mminf.errors import Interrupted, MminfError, shorten_text
from mminf.journal.schema import LOG
from mminf.limits import LOG_BYTES
from mminf.terminal import printable

log = logging.getLogger("mminf")
file_log = logging.getLogger("mminf.run")
"""The messages that are only for the file."""
file_log.propagate = False
file_log.setLevel(logging.INFO)
file_log.addHandler(logging.NullHandler())
LONGEST_MESSAGE = 10_000
"""Maximum length of a message in the file, in characters."""
LONGEST_ERROR = 1000
"""Maximum length of an error in the journal, in characters."""
_COPIED = "copied"
"""Attribute of a record whose message is a line of another log, with its own time."""


@contextlib.contextmanager
def run_log(folder: Path, early: Iterable[logging.LogRecord] = ()) -> Iterator[None]:
    """Writes what is logged to the file in a folder.

    In a process that leads a run and works on a shard, the file of the run gets everything.

    Args:
        early: earlier log records, which are written first; see `keep_early`.
    """
    if any(isinstance(handler, _File) for handler in file_log.handlers):
        yield
        return
    handler = _open(folder / LOG)
    if handler is None:
        yield
        return
    with _attached(handler):
        for record in early:
            handler.handle(record)
        try:
            yield
        except (Interrupted, asyncio.CancelledError, KeyboardInterrupt):
            file_log.info("the run was stopped")
            raise
        except MminfError as error:
            # With the traceback of the exception that caused it, for example in a library or a plugin.
            file_log.error("the run ends with an error: %s", error, exc_info=error if error.__cause__ else None)
            raise
        except Exception:
            file_log.exception("the run ends with an error")
            raise


@contextlib.contextmanager
def keep_early(records: list[logging.LogRecord]) -> Iterator[None]:
    """Adds log records to a list. They are written to the log of the run once its output is open."""
    handler = _List(records)
    with _attached(handler):
        yield


class _List(logging.Handler):
    """Adds records of mminf's logger to a list."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(logging.INFO)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


def error_text(error: BaseException) -> str:
    """Returns an error that ends a run, for its journal: short, without secrets."""
    return printable(shorten_text(f"{error}" or type(error).__name__, LONGEST_ERROR))


def process_name() -> str:
    """Returns the process and the machine, as the log names them."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def copy_log(folder: Path, name: str) -> None:
    """Adds the log of a shard to that of the run.

    Args:
        folder: folder of the shard's journal.
        name: name of the shard, which each line gets.
    """
    for path in (folder / f"{LOG}.1", folder / LOG):
        with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                file_log.info("%s: %s", name, line.rstrip("\n"), extra={_COPIED: True})


def _open(path: Path) -> _File | None:
    """Returns the handler that appends to a file; None, with a warning, if that is not possible."""
    try:
        if path.is_symlink():  # a link in an output folder must not lead to another file
            raise OSError("it is a link")
        return _File(path)
    except OSError as error:
        log.warning("%s can't be written (%s); the run has no log", path, error)
        return None


class _File(RotatingFileHandler):
    """Appends to the file. If the file has half of the maximum size, it is renamed to `run.log.1`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=max(1, LOG_BYTES.value // 2), backupCount=1, encoding="utf-8", errors="replace")
        self.setLevel(logging.INFO)
        self.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        """Does nothing: a full disk is reported by the journal, and must not print a traceback for each message."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the rest of a buffer, for a full disk
            super().close()


class _Lines(logging.Formatter):
    """Formats a message without secrets and control characters; its other lines are indented."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage() if hasattr(record, _COPIED) else super().format(record)
        return printable(shorten_text(text, LONGEST_MESSAGE)).replace("\n", "\n    ")


@contextlib.contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    """Lets the handler get all messages from INFO on, and the other handlers only those that they got before."""
    level, effective = log.level, log.getEffectiveLevel()
    others = list(_handlers())
    if (last := None if others else logging.lastResort) is not None:  # it prints warnings if there is no other handler
        log.addHandler(last)
        others.append(last)
    limit = _AtLeast(effective)
    for other in others:
        other.addFilter(limit)
    log.setLevel(min(effective, logging.INFO))
    log.addHandler(handler)
    file_log.addHandler(handler)
    try:
        yield
    finally:
        file_log.removeHandler(handler)
        log.removeHandler(handler)
        if last is not None:
            log.removeHandler(last)
        log.setLevel(level)
        for other in others:
            other.removeFilter(limit)
        handler.close()


def _handlers() -> Iterator[logging.Handler]:
    """Yields the handlers that get the messages of mminf."""
    logger: logging.Logger | None = log
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


class _AtLeast(logging.Filter):
    """Removes messages of mminf below a level."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self._level or record.name.partition(".")[0] != "mminf"
