"""Prints the properties of datasets in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mminf.properties import PathProperties, Properties
from mminf.properties.figures import Distribution, Exact, Histogram, Images, Problems, Share, Texts, Verbs, Vocabulary

WIDTH = 80
_LANGUAGES = 12
_BARS = " ▁▂▃▄▅▆▇█"
_LABEL = 18


def properties_lines(found: PathProperties) -> Iterator[str]:
    """Yields the lines of a report."""
    for number, properties in enumerate(found.datasets):
        if number:
            yield ""
        yield from _lines(properties)
    if found.skipped:
        yield ""
    for skipped in found.skipped:
        yield from _wrap(f"not measured: {skipped.path}: {skipped.reason}")


def _lines(found: Properties) -> Iterator[str]:
    shapes = ", ".join(f"{count:,} {name}" if len(found.shapes) > 1 else name for name, count in found.shapes.items())
    yield found.path
    yield from _wrap(f"{_number(found.rows, 'row')} ({shapes})")
    yield from _problems("rows that can't be read", found.broken)
    yield ""
    yield from _lengths(found)
    yield ""
    yield from _languages("instructions", found.instructions)
    yield from _languages("responses", found.responses)
    yield ""
    yield f"{'words':<{_LABEL}}TTR per text  bits per text  TTR of all  bits of all     types"
    yield _vocabulary("  instructions", found.instructions.vocabulary)
    yield _vocabulary("  responses", found.responses.vocabulary)
    yield from _incomplete(found)
    if not found.sample.all:
        yield ""
        yield from _wrap(
            f"Figures marked with * are about a sample of {found.sample.rows:,} rows (seed {found.sample.seed}); "
            "--exact measures all rows. A sample has fewer duplicates than the dataset."
        )
    yield ""
    mark = "" if found.sample.all else "*"
    yield f"{'duplicates':<{_LABEL}}  {'exact':<28}{'near' + mark}"
    yield _duplicates("  instructions", found.instructions.exact, found.instructions.near)
    yield _duplicates("  responses", found.responses.exact, found.responses.near)
    if found.images.per_row.most:
        yield _duplicates("  image names", found.images.names, None)
        yield _duplicates("  image files" + mark, Exact(found.images.exact, 1), found.images.near)
        yield ""
        yield from _images(found.images, mark)
    if found.verbs is not None:
        yield ""
        yield from _verbs(found.verbs, mark)
    for missing in found.missing:
        yield ""
        yield from _wrap(f"{missing.figure} are not measured: {missing.reason}")
        yield f"  {missing.remedy}"


def _lengths(found: Properties) -> Iterator[str]:
    yield _heading("")
    yield _distribution("instruction words", found.instructions.words)
    yield _distribution("response words", found.responses.words)
    if found.instructions.tokens is not None and found.responses.tokens is not None:
        yield _distribution("instruction tokens", found.instructions.tokens)
        yield _distribution("response tokens", found.responses.tokens)
    yield _distribution("turns per row", found.turns)
    yield _distribution("images per row", found.images.per_row)
    if found.tokenizer is not None:
        yield from _wrap(f"Tokens are those of {found.tokenizer}, without special tokens and images.")


def _heading(label: str) -> str:
    return f"{label:<{_LABEL}}{'count':>9}{'mean':>7}{'std':>7}{'median':>7}{'most':>7}  histogram"


def _distribution(label: str, found: Distribution) -> str:
    if found.mean is None or found.std is None or found.most is None or found.median is None:
        return f"{label:<{_LABEL}}{0:>9}"
    figures = "".join(f"{_short(value):>7}" for value in (found.mean, found.std, found.median, found.most))
    return f"{label:<{_LABEL}}{found.count:>9,}{figures}  {_bars(found.histogram)}".rstrip()


def _short(value: float) -> str:
    """Returns a number in at most six characters."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e5, "k")):
        if value >= size:
            return f"{value / (1000 if unit == 'k' else size):.3g}{unit}"
    return f"{value:,.1f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"


def _bars(found: Histogram) -> str:
    """Returns one block per bin. Its height is relative to the largest bin; any value at all gives the lowest block."""
    most = max(found.counts, default=0)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] if most else " " for count in found.counts)


def _languages(label: str, texts: Texts) -> Iterator[str]:
    shown = [f"{code} {_percent(share)}" for code, share in texts.language_shares[:_LANGUAGES]]
    if (more := len(texts.languages) - len(shown)) > 0:
        shown.append(f"{more} more")
    yield from _list(f"languages of {label}", shown)


def _vocabulary(label: str, found: Vocabulary) -> str:
    if found.mean_ttr is None or found.mean_entropy is None or found.ttr is None or found.entropy is None:
        return f"{label:<{_LABEL}}none"
    figures = f"{found.mean_ttr:>12.2f}{found.mean_entropy:>15.2f}{found.ttr:>12.4f}{found.entropy:>13.2f}"
    return f"{label:<{_LABEL}}{figures}{found.types:>10,}"


def _incomplete(found: Properties) -> Iterator[str]:
    for label, texts in (("instructions", found.instructions), ("responses", found.responses)):
        if not (vocabulary := texts.vocabulary).complete:
            yield from _wrap(
                f"The words of all {label} together are those of the first {vocabulary.texts:,} texts, because there "
                f"are more than {vocabulary.types:,} distinct words."
            )


def _duplicates(label: str, exact: Exact, near: Share | None) -> str:
    part = "" if exact.one_in == 1 else "~"
    return f"{label:<{_LABEL}}  {part + _of(exact.repeated):<28}{_of(near) if near is not None else ''}".rstrip()


def _images(found: Images, mark: str) -> Iterator[str]:
    if found.measured:
        yield _heading(f"images{mark}")
        yield _distribution("  width", found.width)
        yield _distribution("  height", found.height)
        yield _distribution("  pixels", found.pixels)
        shares = (("landscape", found.landscape), ("portrait", found.portrait), ("square", found.square))
        yield f"  {', '.join(f'{name} {_percent(share)}' for name, share in shares)}"
        bins = zip(found.aspect.edges, found.aspect.edges[1:], found.aspect.counts, strict=False)
        filled = [(low, high, Share(count, found.measured)) for low, high, count in bins if count]
        ratios = [f"{low:.2f}-{high:.2f} {_percent(share)}" for low, high, share in filled]
        yield from _list("  width / height", ratios)
    yield from _problems("images that don't exist", found.missing)
    if found.missing.count:
        yield from _wrap("  --image-root sets the folder that relative image paths start from.")
    yield from _problems("images that can't be read", found.broken)
    yield from _problems("images at URLs or in stores, which are not fetched", found.remote)


def _verbs(found: Verbs, mark: str) -> Iterator[str]:
    yield f"root verbs{mark} of {_number(found.instructions, 'English instruction')} ({found.model})"
    for verb in found.verbs:
        nouns = ", ".join(f"{noun.lemma} {noun.count:,}" for noun in verb.nouns)
        yield f"  {verb.lemma:<14.14}{_of(Share(verb.count, found.instructions)):<28}{nouns}"[:WIDTH].rstrip()
    yield f"  {'other verbs':<14}{_of(Share(found.other, found.instructions))}"
    yield f"  {'no verb':<14}{_of(Share(found.instructions - found.with_verb, found.instructions))}"


def _problems(label: str, found: Problems) -> Iterator[str]:
    if found.count:
        yield from _wrap(f"{label}: {found.count:,}; the first: {found.first}")


def _of(found: Share) -> str:
    return f"{_percent(found):>7} ({found.count:,} of {found.of:,})" if found.of else "none"


def _percent(found: Share) -> str:
    """Returns a share with two decimals below 1 %, and one above."""
    if found.share is None:
        return "none"
    return f"{100 * found.share:.{2 if 0 < found.share < 0.01 else 1}f} %"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _list(label: str, items: list[str]) -> list[str]:
    """Returns lines with items, none of which is split."""
    whole = ", ".join(item.replace(" ", "\0") for item in items) or "none"
    return [line.replace("\0", " ") for line in _wrap(f"{label}: {whole}")]


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
