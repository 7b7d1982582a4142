"""The one exit for text that goes to a terminal or a log: without secrets, and without what steers a terminal."""

from __future__ import annotations

import re

from mminf.redact import redact

# Control characters but tab and line feed; marks that change the direction of what follows; halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns a text to show: `\\u001b` for an escape character, which is as JSON has it, and `***` for a secret."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", redact(text))
