"""The costly figures: languages, near-duplicates, root verbs, image files. Of many rows, a sample is measured."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from mminf.properties.duplicates import NearTexts
from mminf.properties.figures import Images, LanguageCount, Sample, Share, Verbs
from mminf.properties.images import Found, ImageCounts, ImageFiles, ImageReader
from mminf.properties.languages import Languages
from mminf.properties.rows import Conversation
from mminf.properties.sample import Reservoir
from mminf.properties.verbs import Parser, RootVerbs

SAMPLE, SEED = 20_000, 0
_LONGEST_PATH = 4096
"""Maximum number of characters of a path. A longer text is the content of a file, as base64."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row of the sample. Images that the row contains were read, so that the sample is small."""

    instructions: tuple[str, ...]
    responses: tuple[str, ...]
    images: tuple[str | Found, ...]
    where: str


class Costly:
    """Measures all rows, or a sample of them after the last one.

    Args:
        reader: reads image files.
        parser: parses instructions; None: verbs are not measured.
        sample: number of rows of the sample; None: all rows are measured.
        few: a smaller number of rows that is measured if there are more rows than the sample has.
    """

    def __init__(
        self, reader: ImageReader, parser: Parser | None, sample: int | None = SAMPLE, few: int | None = None
    ) -> None:
        self._reader = reader
        self._few = few
        self._reservoir = None if sample is None else Reservoir[Conversation, _Kept](sample, self._keep, SEED)
        self._rows = 0
        self._instructions, self._responses = Languages(), Languages()
        self._near_instructions, self._near_responses = NearTexts(), NearTexts()
        self._verbs = None if parser is None else RootVerbs(parser)
        self._files = ImageFiles()

    def add(self, row: Conversation) -> None:
        if self._reservoir is None:
            self._measure(self._keep(row))
        else:
            self._reservoir.add(row)

    def finish(self) -> Sample:
        """Measures the sample. Returns its size."""
        if self._reservoir is None:
            return Sample(self._rows, self._rows, SEED)
        rows: Iterable[_Kept] = self._reservoir.drain()
        if self._few is not None and self._few < len(self._reservoir) < self._reservoir.seen:
            rows = random.Random(SEED).sample(list(rows), self._few)
        for row in rows:
            self._measure(row)
        return Sample(self._rows, self._reservoir.seen, SEED)

    @property
    def languages(self) -> tuple[tuple[LanguageCount, ...], tuple[LanguageCount, ...]]:
        """The languages of instructions, and those of responses."""
        return self._instructions.result(), self._responses.result()

    @property
    def near_instructions(self) -> Share:
        return self._near_instructions.result()

    @property
    def near_responses(self) -> Share:
        return self._near_responses.result()

    def verbs(self) -> Verbs | None:
        return None if self._verbs is None else self._verbs.result()

    def images(self, counts: ImageCounts) -> Images:
        """Returns the figures of the images.

        Args:
            counts: what was counted over all rows.
        """
        return self._files.result(counts)

    def _keep(self, row: Conversation) -> _Kept:
        images: list[str | Found] = []
        for value in row.images:
            if isinstance(value, str) and len(value) <= _LONGEST_PATH:
                images.append(value)
            else:
                images.append(self._reader.read(value))
        return _Kept(row.instructions, row.responses, tuple(images), row.where)

    def _measure(self, row: _Kept) -> None:
        self._rows += 1
        for text in row.instructions:
            self._near_instructions.add(text)
            if self._instructions.add(text) == "en" and self._verbs is not None:
                self._verbs.add(text)
        for text in row.responses:
            self._near_responses.add(text)
            self._responses.add(text)
        for value in row.images:
            self._files.add(self._reader.read(value) if isinstance(value, str) else value, row.where)
