"""`language`: writes a text's language, or drops texts in another language than a given text."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mminf.step import (
    Context,
    Drop,
    Names,
    Outcome,
    Record,
    Step,
    StepConfig,
    find_language,
    find_not_in,
    find_other_language,
    known_languages,
    step,
)

from .texts import as_text, shorten, texts_of


class LanguageConfig(StepConfig):
    """Settings of `language`."""

    reads: Names = Field(description="Fields with the texts, or lists of texts.")
    same_as: str | None = Field(
        None,
        description="Field with a text, such as the request: a text in another language is dropped, unless this text "
        "names a language.",
    )
    expected: str | None = Field(None, description="A language, as a code: a text in another language is dropped.")
    writes: str | None = Field(None, description="Field for the language of the texts, as a code (`en`, `zh`).")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.same_as is self.expected is self.writes is None:
            raise ValueError("give `same_as`, `expected` or `writes`")
        if self.same_as is not None and self.expected is not None:
            raise ValueError("give either `same_as` or `expected`")
        if self.expected is not None and self.expected not in known_languages():
            raise ValueError(f"{self.expected!r} is not one of {', '.join(sorted(known_languages()))}")
        return self


@step("language")
class Language(Step[LanguageConfig]):
    """Drops texts in another language than a given text, or writes the language as a code.

    The language is found by the script and by py3langid, a model that is a part of the installation. Codes are those of
    ISO 639-1; `und-Cyrl`, `und-Latn`, ... if only the script is certain; and `und` for a text without words. Code,
    formulas, addresses and quotations do not count. A text is only dropped if its language is certain: names, numbers
    and short answers are kept.
    """

    @property
    def gate(self) -> bool:
        return self.config.same_as is not None or self.config.expected is not None

    @property
    def reads(self) -> frozenset[str]:
        """The texts, and the text whose language they must have."""
        return super().reads.union([self.config.same_as] if self.config.same_as else [])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the language, or drops the record if one of its texts has another one."""
        if self.gate:
            for name in self.config.reads:
                for text in texts_of(record[name]):
                    if (found := self._find_fault(text, record)) is not None:
                        return Drop(f"{name} {found}: {shorten(text)!r}")
        if self.config.writes is None:
            return {}
        return {self.config.writes: find_language("\n".join(as_text(record[name]) for name in self.config.reads))}

    def _find_fault(self, text: str, record: Record) -> str | None:
        if self.config.expected is not None:
            return find_not_in(text, self.config.expected)
        return find_other_language(text, as_text(record[self.config.same_as or ""]))
