"""Renames or omits parameters that a server rejects by name, if the recipe does not depend on them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mminf.backend.failures import Failure
from mminf.errors import EngineError
from mminf.lazy import lazy_pattern

_WORDS = (
    r"(?:unsupported|not support\w*|n[o']t (?:be )?supported|unrecogni[sz]ed|unknown|unexpected|not permitted"
    r"|not allowed|extra (?:inputs?|parameters?|fields?|arguments?)|cannot find field|deprecated|not recogni[sz]ed"
    r"|not implemented|must not be set|invalid (?:parameter|argument|field))"
)
_NAMED = r"(?:parameters?|arguments?|fields?|propert(?:y|ies)|option|keyword|name|supplied)"
_REJECTED = lazy_pattern(rf"{_WORDS}|extra_forbidden|additional propert", re.IGNORECASE)
_UNKNOWN = lazy_pattern(
    r"unrecogni[sz]ed|unknown|unexpected|not permitted|extra|cannot find field|not recogni[sz]ed", re.IGNORECASE
)
"""The server does not know the name. Otherwise it may reject only the value."""
_NEUTRAL: dict[str, frozenset[Any]] = {
    "temperature": frozenset({1}),
    "top_p": frozenset({1}),
    "top_k": frozenset({-1, 0}),
    "min_p": frozenset({0}),
    "repetition_penalty": frozenset({1}),
    "frequency_penalty": frozenset({0}),
    "presence_penalty": frozenset({0}),
    "min_tokens": frozenset({0}),
}
"""Values without effect, as if the parameter was not sent."""
_FREE = {
    "seed": "answers are not reproducible",
    "structured_outputs": "mminf checks the answers",
    "structured_outputs_regex": "mminf checks the answers",
}
"""Parameters that recipes do not set, with the effect of omitting them."""
_SETTINGS = {
    "structured_outputs": "sampling.choices",
    "stop": "sampling.stop",
    "max_completion_tokens": "sampling.max_tokens",
    "reasoning_effort": "reasoning",
    "chat_template_kwargs": "reasoning",
}


class Change(NamedTuple):
    """A change of payloads: a parameter is renamed to `other`, or omitted if `other` is None.

    Attributes:
        why: the reason, for the log.
    """

    name: str
    other: str | None
    why: str


def rejected(failure: Failure, payload: Mapping[str, Any]) -> str | None:
    """Returns the parameter of a payload that a failure rejects, or None."""
    if failure.status not in (400, 422) or not _REJECTED.search(failure.words):
        return None
    known = [name for name in payload if name not in ("model", "messages")]
    if failure.parameter is not None:
        return failure.parameter if failure.parameter in known else None
    found = {name: place for name in known if (place := _place(name, failure.words)) is not None}
    return min(found, key=lambda name: found[name]) if found else None


def _place(name: str, words: str) -> int | None:
    """Returns the position where a message mentions the parameter, and not only the word; None if nowhere."""
    own, mark = re.escape(name), r"[\\'\"`]"
    quoted = rf"(?<![\w.-]){mark}{own}{mark}"
    called = rf"{_NAMED}:?\s+{mark}*{own}\b"
    judged = rf"(?<![\w.-]){own}\b{mark}*:?\s+(?:is |are )?{_WORDS}"
    found = re.search(rf"{quoted}|{called}|{judged}", words, re.IGNORECASE)
    return None if found is None else found.start()


def adapt(
    name: str,
    payload: Mapping[str, Any],
    failure: Failure,
    *,
    model: str,
    own: Mapping[str, Any],
    no_defaults: bool = True,
) -> Change:
    """Returns the change after which a server accepts the payload.

    Args:
        own: the engine's `extra_body`.
        no_defaults: the server has no other defaults for sampling parameters that are not sent; `vllm serve` uses those
            of the model. With such defaults, a value without effect is omitted only if the server does not know its
            name.

    Raises:
        EngineError: if the recipe needs the rejected parameter; the error names the setting.
    """
    value = payload[name]
    if name == "max_tokens" and ("max_completion_tokens" in failure.words or _UNKNOWN.search(failure.words)):
        return Change(name, "max_completion_tokens", "that is the server's name of it")
    if name in own:
        raise EngineError(f"model {model!r} {failure.said}; change the engine's `extra_body.{name}`")
    neutral = isinstance(value, int | float) and value in _NEUTRAL.get(name, ())
    if neutral and (no_defaults or _UNKNOWN.search(failure.words)):
        return Change(name, None, f"{value:g} has no effect")
    if name in _FREE:
        return Change(name, None, _FREE[name])
    setting = _SETTINGS.get(name, f"sampling.{name}")
    hint = f", or set the engine's `extra_body: {{{name}: null}}` to use the server's default" if name != "stop" else ""
    other = " (most models accept 1)" if name == "temperature" else ""
    raise EngineError(
        f"model {model!r} does not accept {name}={_short(value)} ({failure.said}); change `{setting}`{other} in the "
        f"steps that use it{hint}"
    )


def apply(payload: dict[str, Any], changes: Mapping[str, Change]) -> dict[str, Any]:
    """Returns a payload with the changes.

    A parameter that was omitted because its value had no effect is sent if its value now has one.
    """
    if not changes:
        return payload
    changed = dict(payload)
    for change in changes.values():
        if change.name not in changed:
            continue
        if change.other is None and change.name in _NEUTRAL and changed[change.name] not in _NEUTRAL[change.name]:
            continue
        value = changed.pop(change.name)
        if change.other is not None:
            changed.setdefault(change.other, value)
    return changed


def merge(payload: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a payload with the engine's `extra_body`; null removes a parameter, mappings are merged."""
    merged = dict(payload)
    for name, value in extra.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(dict(merged[name]), value)
        else:
            merged[name] = value
    return merged


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
