"""Classifies failed calls by status and body, and says how to fix them. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import urlsplit

from mminf.errors import shorten_text
from mminf.lazy import lazy_pattern
from mminf.redact import hide_secrets, redact

Kind = Literal["busy", "down", "dead", "again", "key", "access", "credit", "address", "model", "call"]
"""busy: the server accepts no more calls for now; down: the server failed; dead: its
engine has died, and every call will fail until it is restarted; again: a retry may succeed; key, access,
credit, address, model: every call will fail; call: only this call fails.
"""
HOPELESS: dict[Kind, int] = {"key": 3, "credit": 3, "address": 3, "model": 3, "access": 10}
"""Kinds of failures that every call will have, with the number in a row that stops the run. A 403 may also concern one
prompt, because some firewalls answer 403.
"""
SHOWN = 300
_QUOTED = lazy_pattern(r"'[^']*'|\"[^\"]*\"|`[^`]*`|“[^”]*”")
"""Quoted text in an error may come from the prompt."""
_CREDIT_CODE = lazy_pattern(r"quota|billing|credit|arrear|balance|payment|fund", re.IGNORECASE)
_NO_CREDIT = lazy_pattern(
    r"\b(?:insufficient|out of|not enough|no more) (?:credits?|balance|funds|quota)\b|\bbalance (?:is )?too low\b"
    r"|exceeded your current quota|check your plan and billing|payment required",
    re.IGNORECASE,
)
_PASSES = lazy_pattern(r"per (?:second|minute|hour)|rate limit|(?:retry|try again) in|too many requests", re.IGNORECASE)
"""Shows that a 429 is temporary, even if its message mentions quotas."""
_MODEL_CODE = lazy_pattern(r"model_?not_?found|DeploymentNotFound|invalid_model", re.IGNORECASE)
_NO_MODEL = lazy_pattern(
    r"^\W*(?:error\W+)?(?:the |this |requested |an? )*(?:unknown model\b|no such model\b|invalid model name\b"
    r"|model\b.{0,120}?\b(?:do(?:es)? not exist|not exist|not found|is not available|no longer available))"
    r"|is not a valid model",
    re.IGNORECASE | re.DOTALL,
)
_KEY_CODE = lazy_pattern(
    r"(?:invalid|expired|incorrect|missing)_?(?:api_?)?key|authentication|unauthenticated", re.IGNORECASE
)
_NO_KEY = lazy_pattern(
    r"\b(?:invalid|incorrect|expired|wrong|missing) api[ _-]?key\b"
    r"|\bapi[ _-]?key (?:is |has )?(?:not valid|invalid|expired)",
    re.IGNORECASE,
)
_NO_ADDRESS = lazy_pattern(
    r"^\W*(?:not ?found|resource not found|no such (?:route|path|page)|unknown (?:url|path|endpoint|route)|invalid url"
    r"|unrecognized request url|cannot (?:post|get)|404|page not found|route .{0,80}not found)",
    re.IGNORECASE,
)
_DEAD = lazy_pattern(r"^\W*(?:EngineCore encountered an issue\b|EngineDeadError\b)")
"""Message of vLLM whose engine has died, with which `swift deploy` answers 400 to every call from then on."""
_BY_STATUS: dict[int, Kind] = {
    401: "key",
    402: "credit",
    405: "address",
    408: "again",
    409: "again",
    425: "again",
}
_BY_WORDS: tuple[tuple[Kind, frozenset[int], re.Pattern[str], re.Pattern[str]], ...] = (
    ("credit", frozenset({400, 403}), _CREDIT_CODE, _NO_CREDIT),
    ("key", frozenset({400, 403}), _KEY_CODE, _NO_KEY),
    ("model", frozenset({400, 404}), _MODEL_CODE, _NO_MODEL),
    ("dead", frozenset({400}), _DEAD, _DEAD),
)
"""Kinds with their statuses, and the patterns of the error's code and message that select them."""
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
"""HTTP statuses of error codes in answers with status 200."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A parsed failure of a call.

    Attributes:
        said: status and the server's message in one short line, without secrets.
        words: the complete message, for the parser of rejected parameters.
        parameter: the rejected parameter, if the error has a field for it.
        target: target of a redirect.
    """

    kind: Kind
    status: int
    said: str
    words: str = ""
    parameter: str | None = None
    target: str | None = None


def read_failure(status: int, content: bytes, *, after: str | None = None, target: str | None = None) -> Failure:
    """Parses the response to a failed call.

    Args:
        after: the Retry-After header.
        target: the Location header.
    """
    words = hide_secrets(content[: 1 << 16].decode("utf-8", "replace"))
    error = _error_of(words)
    message, parameter = _complaint(error)
    plain = message or ("" if isinstance(error, dict) else _without_markup(words))
    shown = shorten_text(" ".join((plain or words).split()), SHOWN)
    said = f"answered {status}: {shown}" if shown else f"answered {status}"
    kind = _kind(status, _code_of(error), _QUOTED.sub(" ", plain), after)
    return Failure(kind, status, said, plain, parameter, target)


def error_inside(answer: Any) -> tuple[int, bytes] | None:
    """Returns status and body of an error in an answer with status 200, or None; some servers and gateways send these.

    An answer that comes with an error is incomplete.
    """
    if not isinstance(answer, dict):
        return None
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = answer.get("error") or choice.get("error")
    if not error and choice.get("finish_reason") == "error":
        error = {"message": "the answer ended in an error"}
    if not error and not choice and (answer.get("object") == "error" or _status(answer.get("code"))):
        error = answer
    if not error:
        return None
    return _status_of(error), json.dumps({"error": error}).encode()


def fix(failure: Failure, *, url: str, key_env: str, has_key: bool, model: str, models: Sequence[str]) -> str:
    """Returns how to fix a failure that every call will have.

    Args:
        url: the address in the recipe.
        key_env: environment variable of the key.
        models: names that the server lists.
    """
    if failure.target is not None:
        return (
            f"it redirects to {redact(shorten_text(failure.target, 120))}, which mminf does not follow; set the "
            "engine's `base_url` to the correct address"
        )
    if failure.kind == "key":
        return f"set the environment variable {key_env} to {'a valid key' if has_key else 'the key'}"
    if failure.kind == "access":
        return f"the key in {key_env} has no access to this model or address"
    if failure.kind == "credit":
        return "this key has no credit or quota left; add credit, or use another key or server"
    if failure.kind == "model" and model in models:
        return f"it lists {model!r} but does not serve it; start the model there, or use another one"
    if failure.kind == "model" or (failure.kind == "address" and models and model not in models):
        return f"it does not serve {model!r}{similar(model, models)}"
    if failure.kind == "address" and (added := add_version(url)) is not None:
        return added
    return f"correct the engine's `base_url`; calls are sent to {url.rstrip('/')}/chat/completions"


def add_version(url: str) -> str | None:
    """Returns advice to add `/v1` to the address of a server that was not found, or None if it has a version."""
    if re.search(r"/v\d|/deployments/", urlsplit(url).path):
        return None
    return f"add /v1: `base_url: {url.rstrip('/')}/v1`"


def similar(name: str, names: Sequence[str]) -> str:
    """Returns `; did you mean 'a', 'b'?` for similar names, or the first names if none is similar."""
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
    """Counts failures in a row that every call will have.

    Attributes:
        is_over: the limit is reached.
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
        """Resets the count, because a call was answered."""
        self._kind, self._count, self.is_over = None, 0, False


def _kind(status: int, code: str, message: str, after: str | None) -> Kind:
    """Decides by the status, then by the error's code, then by its message outside of quotes."""
    if status == 429:
        return _kind_of_429(code, message, after)
    if status >= 500:
        return "busy" if status == 503 and after is not None else "down"
    if 300 <= status < 400:
        return "address"
    if (known := _BY_STATUS.get(status)) is not None:
        return known
    for kind, statuses, codes, messages in _BY_WORDS:
        if status in statuses and (codes.search(code) or messages.search(message)):
            return kind
    if status == 404:  # a 404 with another message concerns a part of the call, such as an image
        return "address" if not message.strip() or _NO_ADDRESS.search(message.strip()) else "call"
    return "access" if status == 403 else "call"


def _kind_of_429(code: str, message: str, after: str | None) -> Kind:
    if _CREDIT_CODE.search(code):
        return "credit"
    passes = after is not None or _PASSES.search(message)
    return "credit" if _NO_CREDIT.search(message) and not passes else "busy"


def _status_of(error: Any) -> int:
    """Returns the status of an error inside an answer; if it is unknown, 502, which is retried."""
    if isinstance(error, dict):
        for name in ("code", "status", "type"):
            if status := _status(error.get(name)):
                return status
    message, _ = _complaint(error)
    plain = _QUOTED.sub(" ", message or "")
    for status, pattern in ((401, _NO_KEY), (402, _NO_CREDIT), (404, _NO_MODEL)):
        if pattern.search(plain):
            return status
    return 502


def _status(code: Any) -> int | None:
    """Returns the HTTP status of an error's code, which is a number or a name, or None."""
    if isinstance(code, bool):
        return None
    if isinstance(code, str) and (named := _CODES.get(code.lower())) is not None:
        return named
    try:
        number = int(code) if isinstance(code, int | str) else 0
    except ValueError:
        return None
    return number if 400 <= number < 600 else None


def _code_of(error: Any) -> str:
    """Returns an error's code, type and status, without numbers."""
    if not isinstance(error, dict):
        return ""
    names = (error.get(name) for name in ("code", "type", "status"))
    return " ".join(name for name in names if isinstance(name, str) and not name.isdecimal())[:200]


def _complaint(error: object) -> tuple[str | None, str | None]:
    """Returns an error's message, without the request that it may quote, and the parameter that it names."""
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return None, None
    named = error.get("param")
    parameter = _parameter(named) if isinstance(named, str) else None
    for name in ("message", "detail", "error_description", "msg"):
        value = error.get(name)
        if isinstance(value, str) and value:
            return value, parameter
        if isinstance(value, list):
            return _said_by_all(value), parameter or _rejected_extra(value)
        if isinstance(value, dict):
            return _complaint(value)
    return None, parameter


def _said_by_all(errors: Sequence[object]) -> str | None:
    """Returns the messages of a list of errors, as FastAPI sends it."""
    said = [_complaint(item)[0] for item in errors[:5] if isinstance(item, dict)]
    return "; ".join(text for text in said if text) or None


def _rejected_extra(errors: Sequence[object]) -> str | None:
    """Returns the name of the first unexpected field in a list of errors."""
    extra = next((item for item in errors if isinstance(item, dict) and "extra" in str(item.get("type"))), {})
    place = extra.get("loc")
    return str(place[-1]) if isinstance(place, list) and place else None


def _parameter(name: str) -> str | None:
    """Returns the name of a parameter without its path: `body.seed`, `$.seed`, `messages[0]`."""
    return name.removeprefix("$").removeprefix(".").removeprefix("body.").partition("[")[0].partition(".")[0] or None


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


def _without_markup(words: str) -> str:
    return re.sub(r"<[^<>]{0,500}>", " ", words) if "<" in words[:200] else words
