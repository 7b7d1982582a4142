"""Cuts answers at stop strings."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The part of a template that ms-swift repeats before the answer.
_THOUGHT_PREFIX = re.compile(r"(?:\s*</?think>\s*)+")
_LONGEST = 16  # maximum number of characters after a stop string, from the same token


def cut_stop(text: str, stops: Sequence[str], min_tokens: int) -> str:
    """Returns an answer up to the stop string that ended it; ms-swift returns the stop string as well.

    With `min_tokens`, earlier occurrences may be part of the answer. Only an occurrence at the end, with no more than a
    token's text after it, has ended it.
    """
    start = len(found[0]) if (found := _THOUGHT_PREFIX.match(text)) else 0
    if not min_tokens:
        places = [place for stop in stops if (place := text.find(stop, start)) >= 0]
        return text[: min(places)] if places else text
    places = [
        place for stop in stops if (place := text.rfind(stop, start)) >= 0 and len(text) - place - len(stop) <= _LONGEST
    ]
    return text[: max(places)] if places else text
