"""Reads runs, and writes the page about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mminf.page.collect import DatasetReport, RunReport, collect
from mminf.page.gallery import MOST
from mminf.page.render import render_page
from mminf.plugin import discover
from mminf.storage import to_path


def report(
    output: str | Path,
    *others: str | Path,
    html: str | Path | None = None,
    plugins: Sequence[str] = (),
    exact: bool = False,
) -> list[RunReport | DatasetReport]:
    """Returns figures and some records of runs or datasets, and writes them as a page that needs no network.

    Args:
        html: the page's file; None: no page is written.
        exact: measure the costly properties for all rows, not for a sample.
        plugins: plugin files or modules of the runs' sources, whose images the page shows.

    Raises:
        JournalError: if there is neither a run nor a dataset.
        SourceError: if a dataset has no conversations.
    """
    discover(plugins)
    places = [output, *others]
    names = [to_path(str(place)).name or str(place) for place in places]
    labels = [str(place) if names.count(name) > 1 else name for place, name in zip(places, names, strict=True)]
    found = [
        collect(place, label, MOST // len(places), exact=exact) for place, label in zip(places, labels, strict=True)
    ]
    if html is not None:
        target = Path(html)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.unfinished")
        unfinished.write_text(render_page(found, f"mminf: {', '.join(labels)}"), encoding="utf-8")
        unfinished.replace(target)
    return found
