"""Groups of reasons: records that were dropped or failed for the same reason, with other values.

The form of a reason is the reason without the values of its record: `solvability < 3` for `solvability 2 < 3`. It is
computed from the text alone, so it also exists for journals of earlier versions, and for steps of plugins. The
statements of `keep` have a fixed syntax (`mminf.template.statement`). In the reasons of other steps, quoted texts,
paths and words with digits are values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mminf.lazy import lazy_pattern
from mminf.states import RecordStatus

MOST_FORMS = 1000
"""Maximum number of forms of a step that are counted separately."""
OTHER = "other reasons"

_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_CUT = r"(['\"])(?!(?:(?!\1).){0,78}\1).{79}"
"""The beginning of a quoted text, of which a format such as `{text!r:.80}` has cut the end."""
_VALUE = rf"(?:-?\d[\w.+…-]*|-?inf|nan|true|false|none|{_QUOTED}|\[[^\[\]]*\]|\{{[^{{}}]*\}}|\([^()]*\))"
_OWN_VALUE = lazy_pattern(
    rf"(?<=[\w)\]'\"])(?<!\bnot)(?<!\bin)(?<!\bis)(?<!\band)(?<!\bor) (?:= )?{_VALUE}"
    r"(?=$| (?:[<>]=?|==|is|and) |, not )"
)
_FIELDS = lazy_pattern(r"(?:(?<= is true)|(?<= is false)) \((?:no )?\w+(?:=|[,)]).*?\)(?=$| and )", re.DOTALL)
_EARLIER = lazy_pattern(r"(not .*) \((?:\w+=|no \w).*", re.DOTALL)
"""The reasons of `keep` in journals of earlier versions: `not x > 2 (x=1)`."""
_ITEMS = lazy_pattern(r"(none of )\d+( items is left; the first: )(.*)", re.DOTALL)
_DUPLICATE = lazy_pattern(r"(^duplicate of ).+", re.DOTALL)
"""The id of a record in a reason of `deduplicate`; it can be any text."""
_OF_A_RECORD = lazy_pattern(rf"(?<!\w)(?:{_QUOTED})(?!\w)|(?<!\w){_CUT}|[^\s;,()]*(?:\d|\w/\w)[^\s;,()]*")


class ReasonGroup(NamedTuple):
    """Records that a step dropped or failed for reasons of the same form. `example` is one of the reasons."""

    step: str
    state: RecordStatus
    form: str
    rows: int
    example: str = ""


def reason_form(reason: str, *, statement: bool) -> str:
    """Returns a reason without the values of its record.

    Args:
        statement: a `keep` has dropped the record.
    """
    if not statement:
        reason = _DUPLICATE.sub(r"\1…", reason)
        return " ".join(_OF_A_RECORD.sub("…", reason).split())
    if (items := _ITEMS.fullmatch(reason)) is not None:
        return f"{items[1]}…{items[2]}{reason_form(items[3], statement=True)}"
    if (earlier := _EARLIER.fullmatch(reason)) is not None:
        return earlier[1]
    return _OWN_VALUE.sub("", _FIELDS.sub("", reason))


def group_reasons(
    counted: Iterable[tuple[str | None, RecordStatus, str | None, int]], types: dict[str, str]
) -> list[ReasonGroup]:
    """Returns the groups of dropped and failed records: in the order of the steps, the largest group first.

    Args:
        counted: step, state, reason and number of records; the reasons may be streamed, since only forms are kept.
        types: types of the steps by name, in their order.
    """
    forms: dict[tuple[str, RecordStatus], dict[str, int]] = {}
    examples: dict[tuple[str, RecordStatus, str], str] = {}
    for step, state, reason, number in counted:
        name = step or ""
        found = forms.setdefault((name, state), {})
        statement = types.get(name) == "keep" and state is RecordStatus.DROPPED
        form = reason_form(reason or "", statement=statement)
        if form not in found and len(found) >= MOST_FORMS:
            form = OTHER
        found[form] = found.get(form, 0) + number
        examples.setdefault((name, state, form), reason or "")
    order = {name: number for number, name in enumerate(types)}
    places = sorted(forms, key=lambda place: (order.get(place[0], -1), place))
    return [
        ReasonGroup(step, state, form, rows, examples[step, state, form])
        for step, state in places
        for form, rows in sorted(forms[step, state].items(), key=lambda item: (-item[1], item[0]))
    ]


def step_types(recipe: object) -> dict[str, str]:
    """Returns the types of the steps by name, from a recipe as the journal stores it."""
    steps = recipe.get("steps") if isinstance(recipe, dict) else None
    found: dict[str, str] = {}
    for item in steps if isinstance(steps, list) else []:
        for kind, config in item.items() if isinstance(item, dict) else ():
            if isinstance(config, dict):
                found[str(config.get("name") or kind)] = str(kind)
    return found


def tell_failure(step: str | None, record: str, reason: str | None) -> str:
    """Returns a line about a record that failed. The reason of a row of a source may begin with its id."""
    said = reason or "no reason is known"
    return f"failed at {step}: {said if said.startswith(record) else f'{record}: {said}'}"
