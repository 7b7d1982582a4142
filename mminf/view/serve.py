"""Starts the app on this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence

import uvicorn

from mminf.errors import UsageError
from mminf.journal.folders import list_shards
from mminf.journal.schema import FILE
from mminf.plugin import discover
from mminf.storage import is_remote, to_path
from mminf.view.app import make_app
from mminf.view.guard import make_token
from mminf.view.runs import RunView

HOST = "127.0.0.1"


def open_runs(outputs: Sequence[str], plugins: Sequence[str] = ()) -> list[RunView]:
    """Returns the runs in output folders.

    Args:
        plugins: plugin files or modules of the runs' sources, whose images the app shows.

    Raises:
        UsageError: if an output is in a store, or has no run.
    """
    discover(plugins)
    paths = [to_path(output) for output in outputs]
    for path in paths:
        if is_remote(path):
            raise UsageError(f"{path}: `mminf view` shows runs in local folders; copy the folder of the run first")
        if not (path / FILE).is_file() and not list_shards(path):
            raise UsageError(f"no run in {path}: {path / FILE} does not exist; start one with `mminf run`")
    names = [path.resolve().name for path in paths]
    labels = [str(path) if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)]
    return [RunView(path, label) for path, label in zip(paths, labels, strict=True)]


def serve(runs: Sequence[RunView], port: int, tell: Callable[[str], None]) -> None:
    """Serves the app until it is interrupted.

    Args:
        port: 0 for any free port.
        tell: called with the URL of the app, once it can be opened.

    Raises:
        UsageError: if the port is taken.
    """
    token = make_token()
    with contextlib.closing(listen(port)) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}/?token={token}"
        # No log of requests: the first one contains the token.
        config = uvicorn.Config(
            make_app(runs, token),
            access_log=False,
            log_level="warning",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        tell(url)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def listen(port: int) -> socket.socket:
    """Returns a socket that listens on a port of this machine. Raises UsageError if the port is taken."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} of {HOST} can't be used: {error}; choose another --port") from error
