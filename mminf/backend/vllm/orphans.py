"""Ends vLLM's engine process if the run that started it is killed.

The engine waits for requests forever, and would hold its memory, so that the same command could not load the model
again. vLLM loads `watch_parent` in each of its processes, as a plugin of the group `vllm.general_plugins`
(docs.vllm.ai, "Plugin System"). Its workers end with the engine process.

This module must not import anything large: it is imported before the model is loaded.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PARENT = "MMINF_ENGINE_PARENT"
_EVERY, _PATIENCE = 1.0, 3.0
"""Seconds between two looks at the parent, and in which the engine may shut down by itself."""


@contextmanager
def adopted() -> Iterator[None]:
    """Lets the processes that vLLM starts meanwhile end after this one."""
    before = os.environ.get(_PARENT)
    os.environ[_PARENT] = str(os.getpid())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PARENT]
        else:
            os.environ[_PARENT] = before


def watch_parent() -> None:
    """Watches the parent of this process in a thread, if it is a run of mminf; otherwise does nothing."""
    if os.environ.get(_PARENT) == (parent := str(os.getppid())):
        threading.Thread(target=_watch, args=(int(parent),), name="mminf-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:  # an orphan gets another parent
        time.sleep(_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)
