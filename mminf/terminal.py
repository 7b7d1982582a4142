"""Removes secrets and control characters from text that is written to a terminal or a log."""

from __future__ import annotations

import re

from mminf.redact import redact

# Control characters except tab and line feed, marks that change the text direction, and lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns a text that is safe to print: `\\u001b` for an escape character, as in JSON, and `***` for a secret."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", redact(text))
