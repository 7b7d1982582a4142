"""Removes secrets and control characters from text that is written to a terminal or a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mminf.redact import redact

if TYPE_CHECKING:
    from rich.console import Console

# Control characters except tab and line feed, marks that change the text direction, and lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns a text that is safe to print: `\\u001b` for an escape character, as in JSON, and `***` for a secret."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", redact(text))


def make_console() -> Console:
    """Returns a console of the standard output. If its reader has gone, BrokenPipeError ends the command."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Is called while a BrokenPipeError is handled; rich would exit with code 1."""
            raise BrokenPipeError

    return Piped(highlight=False)
