"""Parts of regular expressions that the readers of this plugin share."""

from __future__ import annotations

import re

# Scripts that are written without spaces.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"


def any_of(alternatives: str) -> str:
    """Returns a pattern for any of the comma-separated alternatives; a space matches any white space."""
    return "(?:" + "|".join(re.sub(" +", r"\\s+", one.strip()) for one in alternatives.split(",")) + ")"
