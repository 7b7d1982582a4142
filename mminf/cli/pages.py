"""`mminf help`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import typer

from mminf.cli.terminal import echo, echo_wrapped
from mminf.errors import UsageError, nearest

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("help")(show_page)


def show_page(
    ctx: typer.Context, topic: str | None = typer.Argument(None, help="A page; all pages are listed without it.")
) -> None:
    """Show a page of the documentation, which is installed with mminf, or list the pages.

    `mminf COMMAND --help` describes the options of a command.

    Example:

        mminf help

        mminf help oasis
    """
    pages = _pages()
    if topic is None:
        for name, path in pages.items():
            echo_wrapped(f"{name:20} {_title(path)}", indent=" " * 21)
        return
    topic = topic.partition("#")[0].removeprefix("docs/").removesuffix(".md")  # as pages refer to each other
    found = pages.get(topic) or pages.get(f"reference/{topic}")
    if found is None and topic in getattr(ctx.find_root().command, "commands", {}):
        raise UsageError(f"{topic!r} is a command, not a page; `mminf {topic} --help` describes it")
    if found is None:
        raise UsageError(f"no page {topic!r}{nearest(topic, pages)}; `mminf help` lists the pages")
    _show(found.read_text(encoding="utf-8"))


def _pages() -> Mapping[str, Path]:
    from mminf.content import content_folder

    folder = content_folder("docs")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.md"))}


def _title(path: Path) -> str:
    """Returns the first heading of a page, and its first sentence if that adds something."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("<!--")]
    heading = next((line.lstrip("# ") for line in lines if line.startswith("# ")), path.stem)
    return _LINK.sub(r"\1", heading)


def _show(text: str) -> None:
    """Prints Markdown: laid out in a terminal, as it is elsewhere."""
    import sys

    if not sys.stdout.isatty():
        for line in text.splitlines():
            echo(line)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    page = Markdown(_LINK.sub(r"\1", text))
    if console.height >= len(text.splitlines()):
        console.print(page)
        return
    with console.pager(styles=True):
        console.print(page)
