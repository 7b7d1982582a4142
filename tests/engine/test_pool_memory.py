"""A model that can't be loaded is tried alone only if the others may have taken its memory."""

from __future__ import annotations

import errno

import pytest
import requests

from mminf.engine.pool import may_be_memory
from mminf.errors import EngineError


def error_of(*causes: BaseException) -> EngineError:
    """Returns an error with a chain of causes."""
    error = last = EngineError("model 'm' can't be loaded")
    for cause in causes:
        last.__cause__ = cause
        last = cause  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("causes", "wanted"),
    [
        ([requests.ConnectionError("Failed to resolve")], False),
        ([FileNotFoundError("no file"), RuntimeError("CUDA out of memory")], True),
        ([ValueError("Make sure you have enough GPU RAM")], True),
        ([OSError(errno.ENOSPC, "No space left on device: /dev/shm")], True),
        ([RuntimeError("Engine core initialization failed")], True),
        ([MemoryError()], True),
        ([OSError(errno.ENOMEM, "Cannot allocate memory")], True),
        ([ValueError("x"), RuntimeError("CUDA out of memory")], True),
        ([RuntimeError("NetworkError"), ConnectionError("Failed to resolve")], False),
        ([FileNotFoundError(errno.ENOENT, "no config.json")], False),
        ([], True),
    ],
)
def test_errors_that_may_be_of_memory(causes: list[BaseException], wanted: bool) -> None:
    assert may_be_memory(error_of(*causes)) is wanted


def test_what_was_handled_when_an_error_was_raised_counts_unless_it_is_hidden() -> None:
    def raised(hidden: bool) -> EngineError:
        try:
            try:
                raise FileNotFoundError("no quantised weights")
            except FileNotFoundError:
                if hidden:
                    raise RuntimeError("CUDA error") from None
                raise RuntimeError("CUDA error")  # noqa: B904 (as libraries do)
        except RuntimeError as error:
            return error_of(error)

    assert may_be_memory(raised(hidden=True)) and not may_be_memory(raised(hidden=False))


def test_advice_about_memory_is_no_cause() -> None:
    error = EngineError("model 'm' can't be loaded: a common cause is too little memory")
    error.__cause__ = ConnectionError("Failed to resolve")
    assert not may_be_memory(error)
