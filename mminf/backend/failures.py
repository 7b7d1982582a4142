"""What a server means by refusing a call: a status and a body, and what to do about them. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import urlsplit

from mminf.errors import shorten_text
from mminf.redact import hide_secrets, redact

Kind = Literal["busy", "down", "again", "key", "access", "credit", "address", "model", "call"]
"""busy: takes no more calls for now; down: the server's own failure; again: the same call may pass; key, access,
credit, address, model: every call will fail; call: this call's own fault.
"""
HOPELESS: dict[Kind, int] = {"key": 3, "credit": 3, "address": 3, "model": 3, "access": 10}
"""Kinds of failures that other calls will meet as well, and how many in a row stop the run. A 403 may also be about one
prompt: firewalls answer so.
"""
SHOWN = 300
_NO_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|credit|fund|balance)|exceeded your current quota|billing[_ ](?:hard[_ ])?limit"
    r"|(?:no|not enough|out of) (?:credits?|balance|funds)|credit balance is too low|payment required",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model[_ ]not[_ ]found|(?:unknown|no such|invalid) model\b|not a valid model|DeploymentNotFound"
    r"|\bmodel:? [`'\"]?[\w./:@-]+[`'\"]?,? (?:is |was )?(?:does not exist|not found)",
    re.IGNORECASE,
)
_NO_KEY = re.compile(r"invalid[_ ]api[_ ]?key|incorrect api key|api key (?:is )?not valid", re.IGNORECASE)


_CODES = {
    "insufficient_quota": 429,
    "billing_hard_limit_reached": 402,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "overloaded_error": 503,
    "unavailable": 503,
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "unsupported_parameter": 400,
    "unsupported_value": 400,
}
"""What errors are called in answers whose own status is 200."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal, read.

    Attributes:
        said: status and the server's words in one short line, without secrets.
        words: all of its words, for the parser of rejected parameters.
        parameter: that it names as the fault, where it has a field for that.
        target: where it redirects to.
    """

    kind: Kind
    status: int
    said: str
    words: str = ""
    parameter: str | None = None
    target: str | None = None


def read_failure(status: int, content: bytes, *, after: str | None = None, target: str | None = None) -> Failure:
    """Returns what a refusal means.

    Args:
        after: the Retry-After header.
        target: the Location header.
    """
    words = hide_secrets(content[: 1 << 16].decode("utf-8", "replace"))
    error = _error_of(words)
    shown = shorten_text(" ".join((_message(error) or _without_markup(words)).split()), SHOWN)
    said = f"answered {status}: {shown}" if shown else f"answered {status}"
    named = error.get("param") if isinstance(error, dict) else None
    kind = _kind(status, _signs(error, words), after)
    return Failure(kind, status, said, words, named if isinstance(named, str) else None, target)


def error_inside(answer: Any) -> tuple[int, bytes] | None:
    """Returns status and body of an error that a server, or a gateway before it, puts into an answer with status 200.

    None if there is no error in it.
    """
    if not isinstance(answer, dict):
        return None
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if choice is not None:
        error = choice.get("error")
        if not error and choice.get("finish_reason") != "error":
            return None
    elif not (error := answer.get("error")) and answer.get("object") != "error":
        return None
    error = error or (answer if choice is None else {"message": "the answer ended in an error"})
    codes = [error.get(name) for name in ("code", "type", "status")] if isinstance(error, dict) else []
    return next((status for code in codes if (status := _status(code))), 502), json.dumps({"error": error}).encode()


def fix(failure: Failure, *, url: str, key_env: str, has_key: bool, model: str, models: Sequence[str]) -> str:
    """Returns what to do about a failure that every call will meet.

    Args:
        url: the address as the recipe has it.
        key_env: environment variable of the key.
        models: names that the server lists.
    """
    if failure.target is not None:
        return (
            f"it redirects to {redact(shorten_text(failure.target, 120))}, where nothing is sent; put the right "
            "address into the engine's `base_url`"
        )
    if failure.kind == "key":
        return f"put {'a valid key' if has_key else 'the key'} into the environment variable {key_env}"
    if failure.kind == "access":
        return f"the key in {key_env} may not use this model or address"
    if failure.kind == "credit":
        return "the server has no credit or quota left for this key; add some, or use another key or server"
    if failure.kind == "model" and model in models:
        return f"it lists {model!r}, and does not answer for it; start the model there, or name another"
    if failure.kind == "model" or (failure.kind == "address" and models and model not in models):
        return f"it does not serve {model!r}{similar(model, models)}"
    if failure.kind == "address" and not re.search(r"/v\d|/deployments/", urlsplit(url).path):
        return f"add /v1: `base_url: {url.rstrip('/')}/v1`"
    return f"correct the engine's `base_url`; calls go to {url.rstrip('/')}/chat/completions"


def similar(name: str, names: Sequence[str]) -> str:
    """Returns `; did you mean 'a', 'b'?` for names like this one, or the first of all names."""
    close = dict.fromkeys(other for other in names if _contains(name, other) or _contains(other, name))
    close |= dict.fromkeys(get_close_matches(name, names, n=3, cutoff=0.5))
    if close:
        return f"; did you mean {', '.join(repr(other) for other in list(close)[:3])}?"
    shown = ", ".join(names[:8])
    return f"; it serves {shown}{', ...' if len(names) > 8 else ''}" if names else ""


def _contains(name: str, other: str) -> bool:
    short = other.lower().rpartition("/")[2]
    return len(short) > 2 and short in name.lower()


class Streak:
    """Counts failures in a row that every call will meet.

    Attributes:
        is_over: there were as many in a row as stop it.
    """

    def __init__(self) -> None:
        self._kind: Kind | None = None
        self._count = 0
        self.is_over = False

    def add(self, kind: Kind, most: int) -> bool:
        """Counts a failure. Returns whether there were `most` of its kind in a row."""
        self._count = self._count + 1 if kind == self._kind else 1
        self._kind = kind
        self.is_over = self._count >= most
        return self.is_over

    def end(self) -> None:
        """Starts again: a call was answered."""
        self._kind, self._count, self.is_over = None, 0, False


def _kind(status: int, signs: str, after: str | None) -> Kind:
    if _NO_CREDIT.search(signs) and status in (400, 402, 403, 429):
        return "credit"
    if status == 429 or (status == 503 and after is not None):
        return "busy"
    if status >= 500:
        return "down"
    if status in (408, 409, 425):
        return "again"
    if status == 401 or (status in (400, 403) and _NO_KEY.search(signs)):
        return "key"
    if status in (400, 404) and _NO_MODEL.search(signs):
        return "model"
    named: dict[int, Kind] = {402: "credit", 403: "access", 404: "address", 405: "address"}
    return "address" if 300 <= status < 400 else named.get(status, "call")


def _status(code: Any) -> int | None:
    """Returns the HTTP status that an error's code names, by number or by word, or None."""
    if isinstance(code, str) and (named := _CODES.get(code.lower())) is not None:
        return named
    try:
        number = int(code) if isinstance(code, int | str) else 0
    except ValueError:
        return None
    return number if 400 <= number < 600 else None


def _error_of(words: str) -> Any:
    try:
        body = json.loads(words)
    except (ValueError, RecursionError):
        return None
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        return body.get("error") or body
    return None


def _message(error: Any) -> str | None:
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return None
    for name in ("message", "detail", "error_description", "msg"):
        if value := error.get(name):
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return None


def _signs(error: Any, words: str) -> str:
    """What says which kind of failure it is: code, type and message, or all of a body that is no JSON."""
    if not isinstance(error, dict):
        return str(error or words)[:2000]
    return " ".join(str(error.get(name) or "") for name in ("code", "type", "status", "message", "detail"))[:2000]


def _without_markup(words: str) -> str:
    return re.sub(r"<[^<>]{0,500}>", " ", words) if "<" in words[:200] else words
