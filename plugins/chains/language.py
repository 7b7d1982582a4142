"""`language`: writes a text's language, or drops texts in another language than a given text."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, step

from .languages import find_language, find_other_language
from .texts import as_text, shorten, texts_of


class LanguageConfig(StepConfig):
    """Settings of `language`."""

    reads: Names = Field(description="Fields with the texts, or lists of texts.")
    same_as: str | None = Field(
        None,
        description="Field with a text, such as the request: a text in another language is dropped, unless this text "
        "names a language.",
    )
    writes: str | None = Field(None, description="Field for the language of the texts, as a code (`en`, `zh`).")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.same_as is None and self.writes is None:
            raise ValueError("give `same_as`, `writes`, or both")
        return self


@step("language")
class Language(Step[LanguageConfig]):
    """Drops texts in another language than a given text, or writes the language as a code.

    The language is found by its script and by frequent words, without a model. The codes are `zh`, `ja`, `ko`, `en`,
    `de`, `fr`, `es`, `it`, `pt`, `nl`; `und-Cyrl`, `und-Arab`, ... for other languages of a script; and `und` for a
    text without words. Code, formulas, addresses and quotations do not count. A text whose language is not certain, for
    example a name or a number, is kept. `degenerate` with `script_of` compares scripts only.
    """

    @property
    def gate(self) -> bool:
        return self.config.same_as is not None

    @property
    def reads(self) -> frozenset[str]:
        """The texts, and the text whose language they must have."""
        return super().reads.union([self.config.same_as] if self.config.same_as else [])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the language, or drops the record if one of its texts has another one."""
        if self.config.same_as is not None:
            expected = as_text(record[self.config.same_as])
            for name in self.config.reads:
                for text in texts_of(record[name]):
                    if (found := find_other_language(text, expected)) is not None:
                        return Drop(f"{name} {found}: {shorten(text)!r}")
        if self.config.writes is None:
            return {}
        return {self.config.writes: find_language("\n".join(as_text(record[name]) for name in self.config.reads)).code}
