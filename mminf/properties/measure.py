"""Measures the properties of a dataset in one pass."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mminf.answer.ground import tokens as find_words
from mminf.errors import shorten_text
from mminf.properties.costly import SAMPLE, Costly
from mminf.properties.duplicates import Distinct, normalised
from mminf.properties.figures import LanguageCount, Missing, Problems, Properties, Share, Texts
from mminf.properties.images import ImageCounts, ImageReader
from mminf.properties.numbers import Numbers
from mminf.properties.rows import BrokenRow, Conversation
from mminf.properties.tokenizer import REMEDY, Tokenizer
from mminf.properties.verbs import MODEL, NoParser, Parser, SpacyParser
from mminf.properties.words import Words

log = logging.getLogger("mminf")
_BATCH = 512
_TOLD = 100_000
"""After this many rows, the progress is logged."""


class TextCounts:
    """Collects texts of one kind, over all rows."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self._waiting: list[str] = []
        self._empty = 0
        self._lengths, self._tokens = Numbers(), Numbers()
        self._words, self._exact = Words(), Distinct()

    def add(self, text: str) -> None:
        words = find_words(text)
        self._lengths.add(len(words))
        self._empty += not words
        self._words.add(words)
        if text:
            self._exact.add(normalised(text))
        if self._tokenizer is not None:
            self._waiting.append(text)
            if len(self._waiting) >= _BATCH:
                self._count_tokens(self._tokenizer)

    def result(self, languages: tuple[LanguageCount, ...], near: Share) -> Texts:
        """Returns the figures.

        Args:
            languages: those of the texts of the sample.
            near: texts of the sample with a near-duplicate.
        """
        if self._tokenizer is not None:
            self._count_tokens(self._tokenizer)
        return Texts(
            texts=self._lengths.count,
            empty=self._empty,
            words=self._lengths.result(),
            tokens=None if self._tokenizer is None else self._tokens.result(),
            languages=languages,
            vocabulary=self._words.result(),
            exact=self._exact.result(),
            near=near,
        )

    def _count_tokens(self, tokenizer: Tokenizer) -> None:
        for count in tokenizer.count(self._waiting):
            self._tokens.add(count)
        self._waiting.clear()


def measure(
    rows: Iterable[Conversation | BrokenRow],
    *,
    path: str = "",
    folder: Path | None = None,
    tokenizer: Tokenizer | None = None,
    parser: Parser | str = MODEL,
    exact: bool = False,
    sample: int = SAMPLE,
    few: int | None = None,
) -> Properties:
    """Returns the properties of a dataset; its rows are read once.

    Args:
        rows: the rows, and those that can't be read.
        path: how the dataset is called.
        folder: folder or URI that relative image paths start from; the working directory by default.
        tokenizer: counts tokens; without it they are not measured.
        parser: a model of spaCy, or what parses instructions instead.
        exact: measure the costly figures for all rows.
        sample: number of rows for the costly figures otherwise.
        few: a smaller number of rows for them if there are more rows than that.
    """
    missing = [] if tokenizer is not None else [Missing("tokens", "no tokenizer", REMEDY)]
    found = _load_parser(parser, missing)
    costly = Costly(ImageReader(folder or Path()), found, None if exact else sample, few)
    instructions, responses = TextCounts(tokenizer), TextCounts(tokenizer)
    turns, images, shapes, broken = Numbers(), ImageCounts(), Counter[str](), Problems()
    for row in rows:
        if isinstance(row, BrokenRow):
            broken = Problems(broken.count + 1, broken.first or f"{row.where}: {shorten_text(row.reason, 300)}")
            continue
        shapes[row.shape] += 1
        turns.add(max(len(row.instructions), len(row.responses)))
        images.add(row.images)
        for text in row.instructions:
            instructions.add(text)
        for text in row.responses:
            responses.add(text)
        costly.add(row)
        if turns.count % _TOLD == 0:
            log.info("%s: %s rows are read", path, f"{turns.count:,}")
    drawn = costly.finish()
    asked, said = costly.languages
    return Properties(
        path=path,
        shapes=dict(shapes.most_common()),
        rows=turns.count,
        broken=broken,
        turns=turns.result(),
        instructions=instructions.result(asked, costly.near_instructions),
        responses=responses.result(said, costly.near_responses),
        verbs=costly.verbs(),
        images=costly.images(images),
        sample=drawn,
        tokenizer=None if tokenizer is None else tokenizer.name,
        missing=tuple(missing),
    )


def _load_parser(parser: Parser | str, missing: list[Missing]) -> Parser | None:
    """Returns the parser, or None and adds what is missing."""
    if not isinstance(parser, str):
        return parser
    try:
        return SpacyParser(parser)
    except NoParser as error:
        missing.append(Missing("root verbs", str(error), error.remedy))
        return None
