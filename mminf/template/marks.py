"""Marks in a rendered text: where a turn starts and where an image is placed.

A mark contains a random number of this process, so that the text of a record can't forge one.
"""

from __future__ import annotations

import re
import secrets

NONCE = secrets.token_hex(8)
_ESCAPED = re.compile(rf"\\u0002({NONCE}:\w+:[\w.]*)\\u0003", re.IGNORECASE)
MARK = re.compile(rf"\x02{NONCE}:(image|images|role|tag|lead):([\w.]*)\x03", re.IGNORECASE)


def make_mark(kind: str, value: str) -> str:
    """Returns the mark of an image, a media tag or the start of a turn."""
    return f"\x02{NONCE}:{kind}:{value}\x03"


def has_marks(text: str) -> bool:
    """Returns whether a text has marks, or pieces of marks that a filter cut."""
    return "\x02" in text or has_pieces(text)


def has_pieces(text: str) -> bool:
    """Returns whether a text without marks has a piece of a mark that a filter cut."""
    return NONCE[:6] in text


def restore_marks(json_text: str) -> str:
    """Returns the JSON of a value with its marks, whose first and last character JSON escapes."""
    return _ESCAPED.sub("\x02\\1\x03", json_text) if NONCE in json_text else json_text
