"""A model that can't be loaded is tried alone only if the others may have taken its memory."""

from __future__ import annotations

import errno

import pytest

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
        ([RuntimeError("Engine core initialization failed")], True),
        ([MemoryError()], True),
        ([OSError(errno.ENOMEM, "Cannot allocate memory")], True),
        ([ValueError("x"), RuntimeError("CUDA out of memory")], True),
        ([RuntimeError("NetworkError"), ConnectionError("Failed to resolve")], False),
        ([FileNotFoundError(errno.ENOENT, "no config.json")], False),
        ([ValueError("matches more than one model type")], False),
        ([], False),
    ],
)
def test_errors_that_may_be_of_memory(causes: list[BaseException], wanted: bool) -> None:
    assert may_be_memory(error_of(*causes)) is wanted
