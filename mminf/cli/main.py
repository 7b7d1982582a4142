"""The `mminf` command."""

from __future__ import annotations

import logging
import os
import sys
import traceback

import typer

from mminf.cli.command import App
from mminf.cli.contributed import add_commands
from mminf.cli.terminal import echo, echo_wrapped
from mminf.errors import MminfError, RecipeError, shorten_text
from mminf.executor.torchrun import LAUNCHER, end_with_parent
from mminf.terminal import printable

LINE = 500
"""Maximum length of a log line, in characters."""
PIPE_CLOSED = 141
"""Exit code if the reader of the output has closed the pipe, as shells have it for SIGPIPE."""

app = App(
    name="mminf",
    help="Synthesise training data for vision-language models: recipes of steps over ms-swift's engines.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from mminf import __version__

        echo(f"mminf {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of all commands."""


def _register() -> None:
    from mminf.cli import (
        card,
        convert,
        doctor,
        export,
        init,
        lists,
        marks,
        merge,
        pages,
        plan,
        plugin,
        preview,
        properties,
        push,
        records,
        render,
        repair,
        report,
        retry,
        run,
        schema,
        show,
        status,
        validate,
        view,
    )

    looking = (status, records, show, report, view, marks)
    publishing = (export, card, push)
    runs = (init, run, merge, validate, plan, preview, render, *looking, retry, *publishing, repair, properties)
    for module in (*runs, lists, pages, schema, doctor, plugin, convert):
        module.register(app)
    add_commands(app)


_register()


def main() -> None:
    """Runs the command. Errors that the user can fix are printed without a traceback; the exit code is 2."""
    if LAUNCHER in os.environ:
        end_with_parent()
    _log_to_stderr()
    try:
        app()
    except RecipeError as error:
        for problem in error.problems:
            echo_wrapped(f"error: {problem}", indent="  ", err=True)
        sys.exit(2)
    except MminfError as error:
        echo_wrapped(f"error: {error}", indent="  ", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(PIPE_CLOSED)
    except SystemExit:
        # Click ends with code 1 if the reader of the output has closed the pipe, and replaces the output.
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":
            sys.exit(PIPE_CLOSED)
        raise
    except OSError as error:  # an invalid path, or an unreachable store
        echo_wrapped(f"error: {error}", indent="  ", err=True)
        sys.exit(2)
    except Exception:  # a bug in mminf
        echo(traceback.format_exc().rstrip(), err=True)
        sys.exit(1)


class _ShortLines(logging.Formatter):
    """Shortens log lines, and removes secrets and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = shorten_text(record.message, LINE)
        return super().formatMessage(record)


def _log_to_stderr() -> None:
    """Adds a handler to mminf's logger, because ms-swift silences the handlers of the root logger."""
    log = logging.getLogger("mminf")
    handler = logging.StreamHandler()
    handler.setFormatter(_ShortLines("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    main()
