"""Starts the app in a thread, and Chromium of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from mminf.view.app import make_app
from mminf.view.serve import listen, open_runs

from .conftest import TOKEN

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def why_not() -> str | None:
    """Returns why tests in a browser can't run here, or None."""
    if CHROMIUM is None:
        return "Chromium is not installed, so that the app is not tested in a browser: `apt-get install chromium`"
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed, so that the app is not tested in a browser: `pip install playwright`"
    return None


REASON = why_not()
needs_browser = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@contextlib.contextmanager
def served(*outputs: Path) -> Iterator[str]:
    """Serves the app, and yields its URL with the token."""
    with contextlib.closing(listen(0)) as listener:
        app = make_app(open_runs([str(output) for output in outputs]), TOKEN)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until = time.monotonic() + 30
            while not server.started and time.monotonic() < until:
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/?token={TOKEN}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
