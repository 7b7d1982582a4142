"""The properties of a dataset, as charts and lines of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mminf.page.charts import histogram_chart, share_chart, sunburst_chart
from mminf.properties import Properties
from mminf.properties.figures import Distribution, Exact, Share, Texts, Verbs

if TYPE_CHECKING:
    from bokeh.plotting import figure

_LANGUAGES = 12
"""Number of languages that a chart shows."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table: a figure of instructions, and of responses."""

    name: str
    instructions: str
    responses: str


def property_charts(found: Properties) -> Iterator[figure]:
    """Yields the charts of a dataset: lengths, languages, root verbs, images."""
    for name, texts in (("instructions", found.instructions), ("responses", found.responses)):
        for unit, lengths in (("words", texts.words), ("tokens", texts.tokens)):
            if lengths is not None and lengths.count:
                histogram = lengths.histogram
                yield histogram_chart(f"length of {name}", unit, histogram.edges, histogram.counts)
    if found.instructions.languages:
        yield share_chart("languages of instructions", dict(languages_of(found.instructions)))
    if found.verbs is not None and found.verbs.verbs:
        yield sunburst_chart("root verbs of instructions, and their objects", _rings(found.verbs))
    if found.images.measured:
        for name, sizes in (("width of images", found.images.width), ("height of images", found.images.height)):
            yield histogram_chart(name, "pixels", sizes.histogram.edges, sizes.histogram.counts)
        yield histogram_chart("width / height of images", "", found.images.aspect.edges, found.images.aspect.counts)
    if found.turns.count and (found.turns.most or 0) > 1:
        yield histogram_chart("turns", "turns per row", found.turns.histogram.edges, found.turns.histogram.counts)


def text_lines(found: Properties) -> Iterator[Line]:
    """Yields the lines of the table of texts."""
    for name, write in _TEXT_LINES.items():
        one, other = write(found.instructions), write(found.responses)
        if one or other:
            yield Line(name, one, other)


def image_lines(found: Properties) -> Iterator[tuple[str, str]]:
    """Yields the lines of the table of images."""
    images = found.images
    yield "images per row", _spread(images.per_row)
    if images.measured:
        yield "width in pixels", _spread(images.width)
        yield "height in pixels", _spread(images.height)
        yield "landscape, portrait, square", ", ".join(map(_share, (images.landscape, images.portrait, images.square)))
        yield "exact duplicates", _share(images.exact)
        yield "near duplicates", _share(images.near)


def image_problems(found: Properties) -> Iterator[tuple[str, str]]:
    """Yields the lines about images that could not be measured, each with an example."""
    images = found.images
    for name, problem in (("missing", images.missing), ("unreadable", images.broken), ("not fetched", images.remote)):
        if problem.count:
            yield name, f"{problem.count:,}, such as {problem.first}"


def languages_of(texts: Texts) -> Iterator[tuple[str, float]]:
    """Yields the shares of the most frequent languages, and of the others."""
    shares = [(code, share.share or 0.0) for code, share in texts.language_shares]
    yield from shares[:_LANGUAGES]
    if rest := sum(share for _, share in shares[_LANGUAGES:]):
        yield "others", rest


def _rings(verbs: Verbs) -> dict[str, dict[str, int]]:
    """Returns the counts of nouns by verb; the rest of a verb has no name."""
    found: dict[str, dict[str, int]] = {}
    for verb in verbs.verbs:
        found[verb.lemma] = {noun.lemma: noun.count for noun in verb.nouns}
        if rest := verb.count - sum(noun.count for noun in verb.nouns):
            found[verb.lemma][" "] = rest
    return found


def _spread(numbers: Distribution | None) -> str:
    if numbers is None or numbers.mean is None or numbers.std is None:
        return ""
    return f"{numbers.mean:,.1f} ± {numbers.std:,.1f} ({numbers.least:,} to {numbers.most:,})"


def _share(share: Share) -> str:
    return "" if share.share is None else f"{100 * share.share:.1f} % of {share.of:,}"


def _exact(exact: Exact) -> str:
    said = _share(exact.repeated)
    return said if exact.one_in == 1 or not said else f"{said} (one in {exact.one_in} texts)"


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


_TEXT_LINES: dict[str, Callable[[Texts], str]] = {
    "texts": lambda texts: f"{texts.texts:,}",
    "without words": lambda texts: f"{texts.empty:,}" if texts.empty else "",
    "words": lambda texts: _spread(texts.words),
    "tokens": lambda texts: _spread(texts.tokens),
    "type-token ratio": lambda texts: _number(texts.vocabulary.ttr, 3),
    "type-token ratio, mean of texts": lambda texts: _number(texts.vocabulary.mean_ttr),
    "token entropy in bits, mean of texts": lambda texts: _number(texts.vocabulary.mean_entropy),
    "exact duplicates": lambda texts: _exact(texts.exact),
    "near duplicates": lambda texts: _share(texts.near),
}
