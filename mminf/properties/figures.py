"""The figures of a dataset, as frozen values. `to_json` writes them as JSON values, for reports."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import ClassVar

from mminf.record import Json


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a number: `count` of `of`."""

    count: int
    of: int
    derived: ClassVar[tuple[str, ...]] = ("share",)

    @property
    def share(self) -> float | None:
        """The quotient; None if there is nothing to divide by."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values per bin.

    Attributes:
        edges: one more than there are bins; a bin contains its lower edge and not its upper edge.
        counts: number of values per bin.
    """

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of integers.

    Attributes:
        count: number of values. The other figures are None if it is 0.
        std: standard deviation of the population.
        median: the smallest value that at least half of the values don't exceed.
        histogram: the last bin is wider if few values are far above the others.
    """

    count: int
    mean: float | None
    std: float | None
    least: int | None
    median: int | None
    most: int | None
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class LanguageCount:
    """Number of texts in a language: an ISO 639-1 code, or `und` for texts without words."""

    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Type-token ratio and entropy of words.

    Attributes:
        mean_ttr: mean of the texts' type-token ratios (distinct words / words).
        mean_entropy: mean of the texts' entropies in bits.
        types: number of distinct words in all counted texts together.
        words: number of words in them.
        texts: number of these texts. It is smaller than the number of all texts if there are too many distinct words.
        complete: whether all texts were counted.
        ttr: types / words.
        entropy: entropy of the words of these texts together, in bits.
    """

    mean_ttr: float | None
    mean_entropy: float | None
    types: int
    words: int
    texts: int
    complete: bool
    ttr: float | None
    entropy: float | None


@dataclass(frozen=True, slots=True)
class Exact:
    """Texts that equal an earlier one.

    Attributes:
        repeated: texts that have an earlier equal, of the texts that were compared.
        one_in: which part of all different texts was compared: 1 for all, 4 for a quarter, chosen by a digest.
    """

    repeated: Share
    one_in: int


@dataclass(frozen=True, slots=True)
class Texts:
    """Figures of one kind of texts: instructions or responses.

    Attributes:
        texts: number of texts.
        empty: number of texts without a word.
        words: lengths in words.
        tokens: lengths in tokens; None without a tokenizer.
        languages: number of texts of the sample per language, the most frequent first.
        near: texts of the sample with a near-duplicate before them.
    """

    texts: int
    empty: int
    words: Distribution
    tokens: Distribution | None
    languages: tuple[LanguageCount, ...]
    vocabulary: Vocabulary
    exact: Exact
    near: Share

    @property
    def language_shares(self) -> list[tuple[str, Share]]:
        """The languages with their shares of the texts whose language was found."""
        whole = sum(language.count for language in self.languages)
        return [(language.code, Share(language.count, whole)) for language in self.languages]


@dataclass(frozen=True, slots=True)
class Noun:
    """A direct object (lemma), and the number of instructions with it."""

    lemma: str
    count: int


@dataclass(frozen=True, slots=True)
class Verb:
    """A root verb (lemma), the number of instructions with it, and its most frequent direct objects."""

    lemma: str
    count: int
    nouns: tuple[Noun, ...]


@dataclass(frozen=True, slots=True)
class Verbs:
    """Root verbs of the first sentences of English instructions.

    Attributes:
        model: name and version of spaCy's model.
        instructions: number of English instructions of the sample.
        with_verb: number of those whose first sentence has a verb as its root.
        verbs: verbs with more than 1 % of the English instructions, the most frequent first.
        other: number of instructions with another verb.
    """

    model: str
    instructions: int
    with_verb: int
    verbs: tuple[Verb, ...]
    other: int


@dataclass(frozen=True, slots=True)
class Problems:
    """How many items could not be measured, and the first of them."""

    count: int = 0
    first: str | None = None


@dataclass(frozen=True, slots=True)
class Images:
    """Figures of images. `names` is about all rows, the figures below it are about the sample.

    Attributes:
        per_row: number of images per row.
        names: images whose path or content was in an earlier row or earlier in the row.
        measured: number of images whose file was read.
        width, height, pixels: sizes of the upright images, in pixels.
        aspect: width / height.
        landscape, portrait, square: shares of images that are wider than high, higher than wide, or neither.
        exact: images with the same file content as an earlier one.
        near: images whose perceptual hash differs from that of an earlier one by at most 4 of 64 bits.
        missing: images whose file does not exist.
        broken: images that can't be read or decoded.
        remote: images at URLs and in stores, which are not fetched.
    """

    per_row: Distribution
    names: Exact
    measured: int
    width: Distribution
    height: Distribution
    pixels: Distribution
    aspect: Histogram
    landscape: Share
    portrait: Share
    square: Share
    exact: Share
    near: Share
    missing: Problems
    broken: Problems
    remote: Problems


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows that the costly figures are about.

    Attributes:
        rows: number of these rows.
        of: number of all rows.
        seed: seed of the draw.
        all: whether these are all rows.
    """

    rows: int
    of: int
    seed: int
    derived: ClassVar[tuple[str, ...]] = ("all",)

    @property
    def all(self) -> bool:
        return self.rows == self.of


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that was not measured, why, and what to do."""

    figure: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Properties:
    """All figures of a dataset.

    Attributes:
        path: the file or folder.
        shapes: number of rows per shape, such as `messages`.
        rows: number of rows that were measured.
        broken: rows that could not be read; they are not among `rows`.
        turns: number of turns of the user per row, or of the assistant if there are more.
        verbs: None if spaCy or its model is missing.
        sample: the rows that languages, near-duplicates, root verbs and image files are about.
        tokenizer: the tokenizer that tokens were counted with.
        missing: what was not measured.
    """

    path: str
    shapes: dict[str, int]
    rows: int
    broken: Problems
    turns: Distribution
    instructions: Texts
    responses: Texts
    verbs: Verbs | None
    images: Images
    sample: Sample
    tokenizer: str | None
    missing: tuple[Missing, ...]

    def to_json(self) -> dict[str, Json]:
        """Returns the figures as JSON values. A share also has its quotient, `share`."""
        found = to_json(self)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True, slots=True)
class Skipped:
    """A dataset of a run that was not measured, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class PathProperties:
    """The properties of the datasets of a run, or of one dataset."""

    path: str
    datasets: tuple[Properties, ...]
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Returns the figures as JSON values, as `Properties.to_json`."""
        found = to_json(self)
        assert isinstance(found, dict)
        return found


def to_json(value: object) -> Json:
    """Returns a figure as JSON values."""
    if is_dataclass(value):
        names = [item.name for item in fields(value)] + list(getattr(value, "derived", ()))
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    assert value is None or isinstance(value, str | int | float)
    return value
