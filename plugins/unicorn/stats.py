"""`text_stats`: lengths, type-token ratio and token entropy of a field's texts."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from pydantic import Field

from mminf.sink import Problem, RecipeError, Record, Sink, SinkConfig, sink
from mminf.step import lazy_pattern

_TOKEN = lazy_pattern(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")


class TextStatsConfig(SinkConfig):
    """Settings of `text_stats`."""

    reads: str = Field(description="Field with the text.")


@sink("text_stats")
class TextStats(Sink):
    """A JSON file: number of texts; words (mean, min, max); mean TTR and mean token entropy (bits) of the texts.

    The paper's 0.68 and 6.07 (Unicorn, table 6) must be means over texts: a corpus of a million has a much lower TTR.
    """

    config: TextStatsConfig
    Config = TextStatsConfig
    divisible = False

    @property
    def reads(self) -> frozenset[str]:
        """The field with the text."""
        return frozenset([self.config.reads])

    def row(self, record: Record) -> dict[str, float]:
        """Returns the figures of one text."""
        return text_stats(record.text(self.config.reads))

    def check(self) -> None:
        """Raises RecipeError if the figures would be split into several files."""
        if self.config.rows_per_file is not None:
            raise RecipeError([Problem(f"sink {self.config.path}", "text_stats writes one file: omit rows_per_file")])

    def count_file(self, path: Path) -> int | None:
        """Returns the number of texts that the figures in a file are about."""
        try:
            return int(json.loads(path.read_bytes())["texts"])
        except (ValueError, TypeError, KeyError):
            return None

    def write_file(self, file: IO[bytes], rows: Iterable[Mapping[str, object]], first: int) -> None:
        """Writes the means over all texts, as one JSON object."""
        texts = 0
        sums: Counter[str] = Counter()
        least: float = math.inf
        most: float = 0
        for row in rows:
            found = {name: value for name, value in row.items() if isinstance(value, int | float)}
            texts += 1
            sums.update(found)
            least, most = min(least, found["words"]), max(most, found["words"])
        means = {name: round(sums[name] / texts, 4) if texts else None for name in ("words", "ttr", "entropy")}
        figures = {
            "field": self.config.reads,
            "texts": texts,
            "words": {"mean": means["words"], "min": least if texts else None, "max": most if texts else None},
            "ttr": means["ttr"],
            "entropy": means["entropy"],
        }
        file.write((json.dumps(figures, indent=2) + "\n").encode())


def text_stats(text: str) -> dict[str, float]:
    """Returns words, type-token ratio and token entropy (bits) of a text; a CJK character counts as a word."""
    tokens = [token.casefold() for token in _TOKEN.findall(text)]
    counts = Counter(tokens)
    total = len(tokens)
    entropy = -sum(n / total * math.log2(n / total) for n in counts.values()) if total else 0.0
    words = sum(1 for token in tokens if token[0].isalnum())
    return {"words": words, "ttr": len(counts) / total if total else 0.0, "entropy": entropy}
