"""`task_types`: the types of instructions that suit an image, by its tags."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from mminf.step import Context, Json, Outcome, Range, Record, RecordError, Step, StepConfig, TemplateFolders, step

_ANY = "*"
_SHOWN = 2
"""Examples that a prompt shows."""
_LEAST = 1e-6
"""Weight of types that suit every image: they come after all types that share a tag."""


class TaskType(NamedTuple):
    """A type of instructions, with examples of our own."""

    group: str
    name: str
    keywords: frozenset[str]
    examples: tuple[str, ...]


class TaskTypesConfig(StepConfig):
    """Settings of `task_types`."""

    reads: str = Field("tags", description="Field with the image's tags: a list, or a text with commas.")
    writes: str = Field("turns", description="Field for a list of objects with `type`, `group`, and two examples.")
    file: str = Field("infinity_mm/tasks.txt", description="Text file in a template folder, one type per line.")
    n: int = Field(3, ge=1, description="Maximum number of types; each is of another group.")


@step("task_types")
class TaskTypes(Step[TaskTypesConfig]):
    """Selects types of instructions by the tags of an image.

    A type's weight is the sum of the inverse frequencies of its keywords that are among the tags (as in TF-IDF, which
    Infinity-MM uses). A type that suits every image has a very small weight. Types are drawn with these weights and the
    record's seed, at most one per group. Writes `type`, `group`, `first_example` and `second_example` of each.
    """

    def __init__(self, config: TaskTypesConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.types = read_types(folders.text(config.file), config.file)
        self._weights = weigh_keywords(self.types)

    def describe(self) -> dict[str, Json]:
        """Adds the types to the identity of the step."""
        return {**super().describe(), "types": [[*kind[:2], sorted(kind[2]), list(kind[3])] for kind in self.types]}

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        """The number of selected types."""
        return {self.config.writes: Range(1, self.config.n)}

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the selected types. Raises RecordError if the tags are no texts."""
        known = words_of(record[self.config.reads], self.config.reads)
        chosen = select_types(self.types, self._weights, known, self.config.n, ctx.random)
        return {self.config.writes: [_shown(kind, ctx.random) for kind in chosen]}


def read_types(text: str, name: str) -> list[TaskType]:
    """Reads the types: `group | type | keywords | example | example | ...` per line.

    Raises:
        ValueError: if a line has fewer than two examples, or there are no types.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        group, kind, keywords, *examples = (part.strip() for part in (f"{line}|||").split("|"))
        examples = [example for example in examples if example]
        if not (group and kind and keywords) or len(examples) < _SHOWN:
            raise ValueError(f"{name}:{number}: expected `group | type | keywords | example | example`")
        found.append(TaskType(group, kind, frozenset(_split(keywords)), tuple(examples)))
    if not found:
        raise ValueError(f"{name} contains no types")
    return found


def weigh_keywords(types: Sequence[TaskType]) -> dict[str, float]:
    """Returns the inverse frequency of each keyword: log(1 + types / types with the keyword)."""
    counts = Counter(keyword for kind in types for keyword in kind.keywords)
    return {keyword: math.log(1 + len(types) / count) for keyword, count in counts.items()}


def words_of(tags: object, name: str) -> set[str]:
    """Returns tags and their words, in lower case. Raises RecordError if they are no texts."""
    given = [tags] if isinstance(tags, str) else tags
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise RecordError(f"field {name!r} is neither a text nor a list of texts")
    found = {tag for text in given for tag in _split(str(text))}
    return found | {word for tag in found for word in tag.split()}


def select_types(
    types: Sequence[TaskType], weights: dict[str, float], known: set[str], n: int, rng: random.Random
) -> list[TaskType]:
    """Returns at most `n` types of different groups, drawn without replacement with their weights."""
    keys = []
    for kind in types:
        weight = sum(weights[keyword] for keyword in kind.keywords & known) or _LEAST * (_ANY in kind.keywords)
        if weight:
            # The highest of random ** (1 / weight) is a weighted draw (Efraimidis and Spirakis, 2006); as a logarithm.
            keys.append((math.log(rng.random() or 1e-300) / weight, kind))
    best: dict[str, TaskType] = {}
    for _, kind in sorted(keys, key=lambda item: -item[0]):
        best.setdefault(kind.group, kind)
    return list(best.values())[:n]


def _shown(kind: TaskType, rng: random.Random) -> dict[str, Json]:
    first, second = rng.sample(kind.examples, _SHOWN)
    return {"type": kind.name, "group": kind.group, "first_example": first, "second_example": second}


def _split(text: str) -> Iterable[str]:
    return (part for part in (part.strip().lower() for part in re.split(r"[,;|\n]", text)) if part)
