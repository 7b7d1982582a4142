"""`extract`: extracts fields from a text, by pattern, tags, JSON or lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mminf.answer.clean import short
from mminf.answer.ground import tokens
from mminf.config import Config
from mminf.cost import Range
from mminf.errors import RecordError, UnusableAnswer
from mminf.recipe.config import StepConfig
from mminf.record import Fields, Json, Record
from mminf.step.base import Drop, Outcome, Step, step
from mminf.step.context import Context
from mminf.step.parse import (
    parse_json,
    parse_lines,
    parse_plain_text,
    parse_regex,
    parse_tag,
    require_contents,
    why_not_prose,
)


def check_pattern(value: str) -> str:
    """Returns a Python pattern. Raises ValueError if it is not valid."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a valid pattern: {error}") from error
    return value


class Extraction(Config):
    """How to extract fields from a text: one of `regex`, `tags`, `keys`, `lines` and `plain_text`.

    With `keys`, `objects` extracts a list of objects.
    """

    regex: str | None = Field(
        None, description="Python pattern; named groups become fields, otherwise the match is written to `writes`."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Field -> tag; all tags are required.")
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="Field -> key of the JSON object in the text (`a.b`: nested key; `.`: the whole).",
    )

    objects: str | None = Field(
        None,
        description="With `keys`: field for the list of the objects in the text. `keys` are keys of each object; their "
        "values are texts or lists of texts, and not empty. Numbers become texts.",
    )
    values: dict[str, list[str] | dict[str, list[str]]] = Field(
        default_factory=dict,
        description="With `keys` or `tags`: field -> allowed values, as a list, or as a mapping of each value to its "
        "synonyms. Case, hyphens and spaces are ignored. In a list, each item must be allowed.",
    )
    lines: str | None = Field(
        None,
        description="Field for the list of the text's lines, without numbers, bullets and introductory lines.",
    )
    plain_text: str | None = Field(
        None,
        description="Field for the whole text, without a heading that only names it (`**Rewritten text:**`). An answer "
        "with <think> tags, or with a first line that introduces it (`Here is ...:`), is refused.",
    )
    words: tuple[int, int] | None = Field(
        None,
        description="With `plain_text`: minimum and maximum number of words; a character of a script without spaces "
        "counts as a word.",
    )
    paragraph: bool = Field(False, description="With `plain_text`: a text of several paragraphs or a list is refused.")
    spanning: bool = Field(
        False,
        description="With `lines`: an item continues on the following lines that have no number or bullet, up to an "
        "empty line; items without numbers and bullets are separated by empty lines.",
    )
    matching: str | None = Field(None, description="With `lines`: Python pattern; items without a match are left out.")
    item: str | None = Field(None, description="With `lines`: items become objects with the text in this field.")
    count: tuple[int, int] = Field(
        (1, 1000), description="With `lines` or `objects`: minimum and maximum number of items."
    )

    @field_validator("regex", "matching")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        return value if value is None else check_pattern(value)

    @model_validator(mode="after")
    def _one_way(self) -> Extraction:
        if sum(map(bool, (self.regex, self.tags, self.keys, self.lines, self.plain_text))) != 1:
            raise ValueError("give exactly one of regex, tags, keys, lines, plain_text")
        for name, limits in (("count", self.count), ("words", self.words)):
            if limits is not None and not 0 <= limits[0] <= limits[1]:
                raise ValueError(f"{name} {list(limits)} is not [minimum, maximum]")
        if self.plain_text is None and (self.words is not None or self.paragraph):
            raise ValueError("`words` and `paragraph` need `plain_text`")
        if self.lines is None and self.spanning:
            raise ValueError("`spanning` needs `lines`")
        if self.objects and not self.keys:
            raise ValueError("`objects` needs `keys`, the keys of each object")
        return self

    def fields(self, default: str) -> frozenset[str]:
        """Returns the fields that are written; `default` if a pattern has no named groups."""
        if self.regex is not None:
            return frozenset(re.compile(self.regex).groupindex) or frozenset([default])
        single = self.lines or self.plain_text or self.objects
        return frozenset([single]) if single is not None else frozenset(self.tags or self.keys)

    def list_lengths(self) -> dict[str, Range]:
        """Returns the length of the list that is written, if one is."""
        name = self.lines or self.objects
        return {} if name is None else {name: Range(*self.count)}

    def apply(self, text: str, default: str) -> Fields:
        """Returns the fields. Raises UnusableAnswer if one is missing."""
        if self.regex is not None:
            found = require_contents(parse_regex(text, self.regex), default)
            return found if isinstance(found, dict) else {default: found}
        if self.tags:
            return self._known({field: parse_tag(text, tag) for field, tag in self.tags.items()})
        if self.lines is not None:
            return {self.lines: self._items(text)}
        if self.plain_text is not None:
            return {self.plain_text: self._checked(parse_plain_text(text, self.plain_text))}
        value = parse_json(text)
        if self.objects is not None:
            return {self.objects: self._counted([self._object(item) for item in _object_list(value, text)], text)}
        return self._from_keys(value)

    def _from_keys(self, value: Json) -> Fields:
        return self._known({field: require_contents(_dig(value, key), field) for field, key in self.keys.items()})

    def _object(self, item: Json) -> Fields:
        found = {field: _as_texts(value) for field, value in self._from_keys(item).items()}
        if empty := [field for field, value in found.items() if not value]:
            raise UnusableAnswer(f"an object has no text for {', '.join(empty)}")
        return found

    def _known(self, found: Fields) -> Fields:
        for field, allowed in self.values.items():
            spelled = _spellings(allowed)
            value = found.get(field)
            items = value if isinstance(value, list) and value else [value]
            for item in items:
                if not isinstance(item, str) or _plain(item) not in spelled:
                    raise UnusableAnswer(f"{field} is {item!r:.60}, not one of {', '.join(allowed)}")
            meant: list[Json] = [spelled[_plain(str(item))] for item in items]
            found[field] = meant if isinstance(value, list) else meant[0]
        return found

    def _checked(self, text: str) -> str:
        if self.paragraph and (reason := why_not_prose(text)) is not None:
            raise UnusableAnswer(f"{self.plain_text} {reason}: {short(text)}")
        if self.words is not None:
            low, high = self.words
            count = len(tokens(text))
            if not low <= count <= high:
                raise UnusableAnswer(f"{self.plain_text} has {count} words, not {low} to {high}")
        return text

    def _items(self, text: str) -> Sequence[Json]:
        items = parse_lines(text, spanning=self.spanning)
        if self.matching is not None:
            items = [item for item in items if re.search(self.matching, item)]
        return self._counted(items if self.item is None else [{self.item: item} for item in items], text)

    def _counted(self, items: Sequence[Json], text: str) -> Sequence[Json]:
        low, high = self.count
        if not low <= len(items) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            only = f" that match {self.matching!r}" if self.matching is not None and self.lines is not None else ""
            raise UnusableAnswer(f"{len(items)} items{only}, not {wanted}, in {short(text)}")
        return items


def _spellings(allowed: Iterable[str]) -> dict[str, str]:
    """Returns the allowed value of each spelling; a mapping has synonyms of its values."""
    found = {_plain(value): value for value in allowed}
    for value, synonyms in allowed.items() if isinstance(allowed, Mapping) else ():
        found |= {_plain(synonym): value for synonym in synonyms if _plain(synonym) not in found}
    return found


def _plain(value: str) -> str:
    """Returns a value without case, hyphens, underscores, and a full stop at its end."""
    return " ".join(re.sub(r"[-_\s]+", " ", value.casefold()).rstrip(". ").split())


def _object_list(value: Json, text: str) -> list[Json]:
    """Returns a JSON list of objects; it may be the only list in an object. An object without lists is one item."""
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and _are_objects(item)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list) or not _are_objects(value):
        raise UnusableAnswer(f"no list of objects in {short(text)}")
    return value


def _are_objects(items: list[Json]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _as_texts(value: Json) -> Json:
    """Returns a text, a number as text, or a list of these; None for everything else, and for empty texts."""
    if isinstance(value, list):
        texts = [None if isinstance(item, list) else _as_texts(item) for item in value]
        return None if None in texts else texts
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def _dig(value: Json, key: str) -> Json:
    for part in key.split(".") if key != "." else []:
        if isinstance(value, dict) and (name := _find_key(value, part)) is not None:
            value = value[name]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnusableAnswer(f"the JSON has no key {key!r}")
    return value


def _find_key(value: Mapping[str, Json], key: str) -> str | None:
    """Returns the key of an object in its own spelling: exact, or the only one that differs in case and hyphens."""
    if key in value:
        return key
    found = [name for name in value if _plain(name) == _plain(key)]
    return found[0] if len(found) == 1 else None


class ExtractConfig(Extraction, StepConfig):
    reads: str = Field(description="Field with the text.")
    writes: str = Field("extracted", description="Field for the match of a pattern without named groups.")
    otherwise: Literal["drop", "fail"] = Field(
        "drop", description="Drop or fail a record from which a field can't be extracted."
    )


@step("extract")
class Extract(Step[ExtractConfig]):
    """Extracts fields from a text by pattern, tags, JSON or lines.

    To retry an answer that can't be read, use the option `extract` of the step that calls the model instead.
    """

    @property
    def gate(self) -> bool:
        return True

    @property
    def writes(self) -> frozenset[str]:
        return self.config.fields(self.config.writes)

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        return self.config.list_lengths()

    async def run(self, record: Record, ctx: Context) -> Outcome:
        try:
            return self.config.apply(record.text(self.config.reads), self.config.writes)
        except UnusableAnswer as miss:
            if self.config.otherwise == "drop":
                return Drop(str(miss))
            raise RecordError(str(miss)) from miss
