"""`mminf view`."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from mminf.cli.options import PLUGIN, RUN_FOLDER
from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("view")(view)


def view(
    output: Annotated[str, RUN_FOLDER],
    others: Annotated[list[str] | None, typer.Argument(help="Output folders of other runs, shown next to it.")] = None,
    port: int = typer.Option(0, "--port", min=0, max=65535, help="Port on this machine; 0: any free port."),
    open_browser: bool = typer.Option(False, "--open", help="Open the page in the browser of this machine."),
    plugins: list[str] = PLUGIN,
) -> None:
    """Look at the records of a run in the browser, and mark them as good or bad. The run may be active.

    The app listens on this machine only, and prints its address, which contains a secret token. From another machine,
    use a tunnel: `ssh -L 8765:127.0.0.1:8765 MACHINE` with `--port 8765`. Ctrl-C ends it.

    Example:

        mminf view out/oasis

        mminf view out/oasis out/oasis_72b --port 8765
    """
    from mminf.errors import UsageError

    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"`mminf view` needs {' and '.join(missing)}; install it with `pip install 'mminf[view]'`")
    from mminf.view.serve import open_runs, serve

    def tell(url: str) -> None:
        echo("Open this address; Ctrl-C ends the app:")
        typer.echo(url)  # `echo` would hide the token
        if open_browser:
            import webbrowser

            webbrowser.open(url)

    serve(open_runs([output, *(others or [])], plugins), port, tell)
