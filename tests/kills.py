"""Kills a process at any of its calls of mminf's functions: deterministic, and in any thread."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType


def in_child(work: Callable[[], object], die_at: int | None = None) -> int:
    """Runs work in a child, which kills itself at its nth call of one of mminf's functions.

    Returns:
        The number of calls, or -1 if the child was killed.
    """
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        calls = 0

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal calls
            if event == "call" and "/mminf/" in frame.f_code.co_filename:
                calls += 1
                if calls == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        threading.setprofile(count)
        sys.setprofile(count)
        try:
            work()
            sys.setprofile(None)
            os.write(writer, str(calls).encode())
        except BaseException as error:  # told to the parent
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return -1
    assert said.isdecimal(), said
    return int(said)
