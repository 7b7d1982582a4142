"""Properties of datasets that a card shows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mminf import properties
from mminf.card.datasets import Dataset
from mminf.errors import SourceError
from mminf.properties import Properties

FEW = 1000
"""Number of rows for languages, near-duplicates, root verbs and image files, if there are more than 20,000."""
_UNKNOWN = "und"


def measure_datasets(folder: Path, datasets: Sequence[Dataset], models: Sequence[str]) -> list[Properties]:
    """Returns the properties of each dataset with conversations, its parts together.

    Args:
        folder: folder of the datasets.
        models: the models of the run; the first one whose tokenizer is on this machine counts tokens.
    """
    tokenizer = properties.find_tokenizer(models)
    found = []
    for whole in dict.fromkeys(dataset.whole for dataset in datasets):
        names = [part.path for part in datasets if part.whole == whole and part.format is not None]
        parts = [part for part in (_open(folder / name) for name in names) if part is not None]
        if parts:
            rows = itertools.chain.from_iterable(parts)
            path = ", ".join(names)
            found.append(properties.measure(rows, path=path, folder=parts[0].folder, tokenizer=tokenizer, few=FEW))
    return found


def _open(path: Path) -> properties.Dataset | None:
    try:
        dataset = properties.Dataset(path)
        dataset.check()
    except SourceError:
        return None  # no rows, or no conversations
    return dataset


def count_languages(found: Sequence[Properties]) -> Mapping[str, int]:
    """Returns the number of texts by language."""
    counts: Counter[str] = Counter()
    for one in found:
        for texts in (one.instructions, one.responses):
            counts.update({language.code: language.count for language in texts.languages})
    return counts


def common_languages(counts: Mapping[str, int], least: float = 0.01) -> list[str]:
    """Returns the codes of the languages of at least this share of the texts, the most frequent first."""
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [code for code, count in ranked if code != _UNKNOWN and count >= least * total]
