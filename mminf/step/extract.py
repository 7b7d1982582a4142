"""`extract`: extracts fields from a text, by pattern, tags, JSON or lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mminf.answer.clean import short
from mminf.answer.ground import tokens
from mminf.config import Config
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
    """How to extract fields from a text: one of `regex`, `tags`, `keys`, `lines` and `plain_text`."""

    regex: str | None = Field(
        None, description="Python pattern; named groups become fields, otherwise the match is written to `writes`."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Field -> tag; all tags are required.")
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="Field -> key of the JSON object in the text (`a.b`: nested key; `.`: the whole).",
    )

    values: dict[str, list[str]] = Field(
        default_factory=dict, description="With `keys` or `tags`: field -> allowed values, in any case."
    )
    lines: str | None = Field(
        None,
        description="Field for the list of the text's lines, without numbers, bullets and introductory lines.",
    )
    plain_text: str | None = Field(
        None,
        description="Field for the whole text. An answer with <think> tags, or with a first line that introduces it "
        "(`Here is ...:`), is refused.",
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
    count: tuple[int, int] = Field((1, 1000), description="With `lines`: minimum and maximum number of items.")

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
        return self

    def fields(self, default: str) -> frozenset[str]:
        """Returns the fields that are written; `default` if a pattern has no named groups."""
        if self.regex is not None:
            return frozenset(re.compile(self.regex).groupindex) or frozenset([default])
        single = self.lines or self.plain_text
        return frozenset([single]) if single is not None else frozenset(self.tags or self.keys)

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
        return self._known({field: require_contents(_dig(value, key), field) for field, key in self.keys.items()})

    def _known(self, found: Fields) -> Fields:
        for field, allowed in self.values.items():
            value = found.get(field)
            known = {item.casefold(): item for item in allowed}
            if not isinstance(value, str) or value.strip().casefold() not in known:
                raise UnusableAnswer(f"{field} is {value!r:.60}, not one of {', '.join(allowed)}")
            found[field] = known[value.strip().casefold()]
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
        low, high = self.count
        if not low <= len(items) <= high:
            raise UnusableAnswer(f"{len(items)} items, not {low} to {high}")
        return items if self.item is None else [{self.item: item} for item in items]


def _dig(value: Json, key: str) -> Json:
    for part in key.split(".") if key != "." else []:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnusableAnswer(f"the JSON has no key {key!r}")
    return value


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

    async def run(self, record: Record, ctx: Context) -> Outcome:
        try:
            return self.config.apply(str(record[self.config.reads]), self.config.writes)
        except UnusableAnswer as miss:
            if self.config.otherwise == "drop":
                return Drop(str(miss))
            raise RecordError(str(miss)) from miss
