"""Every error that mminf raises on purpose.

MminfError
├── UsageError               an error that the user can fix: printed without a traceback, exit code 2
│   ├── RecipeError          all problems of a recipe, each with file and line
│   ├── PluginError          a plugin that is missing or broken
│   ├── SourceError          an input that can't be read at all
│   ├── JournalError         a journal that is missing, damaged, locked or of an unknown version
│   │   └── LockedError      a journal that another process is writing
│   ├── OutputError          a dataset that can't be written, or would replace files that mminf did not write
│   └── EngineError          a model or backend that can't be loaded or does not support what a step needs
│       └── EngineDied       a loaded model whose process has ended; it is restarted, at most three times
├── RecordError              fails one record, and no other
│   ├── NoUsableAnswer       no attempt gave an answer that can be used; a step's `failure` keeps its record
│   ├── MissingField         the record lacks a field that a step reads
│   ├── ImageError           an image that is missing, broken, too large or not allowed
│   └── RequestError         the backend refused or failed this one request
├── UnusableAnswer           the model's answer can't be used; retried with another seed
├── Interrupted              the run is draining: no new call is started
└── EngineNotLoaded          the call's engine is not loaded, and there is no room for it now
"""

from __future__ import annotations

import os
import sysconfig
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


class MminfError(Exception):
    """Base of every error that mminf raises on purpose."""


class UsageError(MminfError):
    """Something that the user can fix; printed without a traceback."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a recipe: its position, and what is wrong or how to fix it."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class RecipeError(UsageError):
    """A recipe that can't run, with all its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        given: object = problems
        if isinstance(given, str):
            raise TypeError("RecipeError takes a list: RecipeError([Problem(where, message)])")
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginError(UsageError):
    """A plugin that can't be found or can't be imported."""


class SourceError(UsageError):
    """An input that can't be read at all (a single bad row fails only itself)."""


class JournalError(UsageError):
    """A journal that is missing, damaged, locked by another process, or of an unknown version."""


class LockedError(JournalError):
    """A journal that another process is writing."""


class OutputError(UsageError):
    """A dataset that can't be written, or that would replace files that mminf did not write."""


class EngineError(UsageError):
    """A model or a backend that can't be loaded, or does not support what a step needs."""


class EngineDied(EngineError):
    """The process of a loaded engine has ended, and all its calls in flight are lost."""


class RecordError(MminfError):
    """Fails one record. A retry would not help."""


class NoUsableAnswer(RecordError):
    """The model gave no answer that can be used, in any attempt."""


class MissingField(RecordError):
    """The record lacks a field that a step reads."""


class ImageError(RecordError):
    """An image that is missing, broken, too large, or not allowed."""


class RequestError(RecordError):
    """The backend refused this request, or failed on it alone."""


class UnusableAnswer(MminfError):
    """The model's answer can't be used; the step is retried with another seed."""


class Interrupted(MminfError):
    """The run is draining, so no new call is started; unfinished records stay pending."""


class EngineNotLoaded(MminfError):
    """A call needs an engine for which there is no room; its record continues after a swap."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the closest known name, or the list of known names."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def shorten_text(text: str, limit: int = 120) -> str:
    """Returns a text of at most `limit` characters: the beginning and the end of a longer text."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 1]}…{text[len(text) - end :]}"


def reason_of(error: Exception) -> str:
    """Returns the text of an exception; of an OSError without its number and path, which the message has anyway."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def tell_bug(error: BaseException) -> str:
    """Returns what is known of an exception that nobody expected: its type, its text, and `file:line` of the plugin."""
    return f"{type(error).__name__}: {error} ({_find_line(error)})"


def raised_in(error: BaseException) -> str | None:
    """Returns `file:line` of a plugin that called the function which raised an exception; None if mminf called it."""
    *_, caller = [None, *traceback.extract_tb(error.__traceback__)[:-1]]
    if caller is None or caller.filename.startswith(_OURS) or _is_library(caller.filename):
        return None
    return f"{Path(caller.filename).name}:{caller.lineno}"


def _find_line(error: BaseException) -> str:
    """Returns `file:line` of the innermost frame of an exception that is neither mminf's own nor a library's."""
    if isinstance(error.__cause__, StopIteration):  # Python replaces it by a RuntimeError in a generator
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OURS) and not _is_library(frame.filename)]
    if not frames:
        return "no line"
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _is_library(filename: str) -> bool:
    return filename.startswith(("<", _STANDARD)) or f"{os.sep}site-packages{os.sep}" in filename


_OURS, _STANDARD = f"{Path(__file__).parent}{os.sep}", f"{sysconfig.get_path('stdlib')}{os.sep}"

_RENAMED = {"AskAgain": "UnusableAnswer", "Parked": "EngineNotLoaded"}
"""Names of earlier versions; they will be removed in version 0.2."""


def __getattr__(name: str) -> type[Exception]:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{name} is now called {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
    found: type[Exception] = globals()[_RENAMED[name]]
    return found
