"""Keeps secrets out of everything that is stored or shown.

Secrets are: values of environment variables that are read as keys (`api_key_env`, `${NAME}` in `headers`), those of
variables that are named like keys (`HF_TOKEN`, `AWS_SECRET_ACCESS_KEY`), and passwords in addresses.
"""

from __future__ import annotations

import html
import json
import os
import re
from functools import cache, lru_cache
from urllib.parse import quote, quote_plus

SHOWN = "***"
SHORTEST, SHORTEST_GUESS = 8, 12
"""Minimum lengths of a secret, and of a secret that is only guessed by its variable's name: shorter values (`EMPTY`,
`none`) are also ordinary words."""
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$", re.IGNORECASE
)
_AUTH_NAMES = frozenset(
    {"code", "authorization", "proxy_authorization", "cookie", "auth", "x_auth", "sig", "signature"}
)
_USER_INFO = re.compile(r"(\b[a-zA-Z][\w+.-]{0,20}://)[^/\s@'\"<>?#]+@")
_SIGNED = re.compile(
    r"([?&;](?:[\w.-]*(?:signature|token|secret|password|credential|api[_-]?key|access[_-]?key|hmac)[\w.-]*"
    r"|key|sig|pwd|pass|auth|code)=)[^&\s'\"<>#]+",
    re.IGNORECASE,
)
_kept: set[str] = set()


def read_secret(name: str) -> str | None:
    """Returns an environment variable's value, or None if it is unset or empty, and registers it as a secret."""
    if value := os.environ.get(name):
        keep_secret(value)
    return value or None


def keep_secret(value: str) -> None:
    """Adds a value that is never stored or shown."""
    if len(value) >= SHORTEST:
        _kept.add(value)


def hide_secrets(text: str) -> str:
    """Returns a text with `***` in place of every registered secret; used for model answers."""
    return _hide(text, frozenset(_kept))


def redact(text: str) -> str:
    """Returns a text to store as a reason, or to show: without secrets, and without passwords in addresses."""
    text = _hide(text, _guessed() | _kept)
    if "://" in text:
        text = _USER_INFO.sub(rf"\1{SHOWN}@", text)
        text = _SIGNED.sub(rf"\1{SHOWN}", text)
    return text


def is_secret_name(name: str) -> bool:
    """Returns whether a header, parameter or variable is named like one that contains a key."""
    name = name.replace("-", "_")
    return bool(_SECRET_NAME.search(name)) or name.lower() in _AUTH_NAMES


@cache
def _guessed() -> frozenset[str]:
    """Returns the values of variables that are named like keys, read at the first call."""
    return frozenset(value for name, value in os.environ.items() if _SECRET_NAME.search(name) and _looks_secret(value))


def _looks_secret(value: str) -> bool:
    return len(value) >= SHORTEST_GUESS and not value.isalpha() and not value.startswith(("/", ".", "~"))


def _hide(text: str, secrets: frozenset[str]) -> str:
    return _pattern(secrets).sub(SHOWN, text) if secrets else text


@lru_cache(maxsize=16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Returns a pattern for secrets, plain and as escaped in JSON, HTML and URLs; longer ones first."""
    spelled = {text for value in secrets for text in _spellings(value)}
    return re.compile("|".join(re.escape(text) for text in sorted(spelled, key=lambda text: (-len(text), text))))


def _spellings(value: str) -> set[str]:
    escaped = json.dumps(value)[1:-1]
    quoted = {quote(value, safe=""), quote_plus(value)}
    lower = {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), text) for text in quoted}
    return {value, escaped, escaped.replace("/", "\\/"), html.escape(value), *quoted, *lower}
