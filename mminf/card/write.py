"""Writes a card next to the datasets, without replacing one that the user has written or changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from mminf.card.collect import collect_facts, local_folder
from mminf.card.header import CardOptions
from mminf.card.render import render_card, resolve_recipe
from mminf.errors import OutputError
from mminf.output_names import CARD, RESOLVED
from mminf.plugin import discover

_MARK = re.compile(r"\n<!-- mminf card (\{[^\n]*\}) -->\s*\Z")


class Existing(NamedTuple):
    """A card that is there.

    Attributes:
        text: without the mark.
        options: those that mminf wrote it with.
        ours: whether mminf wrote it, and nobody has changed it since.
    """

    text: str
    options: CardOptions
    ours: bool


def card(
    output: str | Path,
    *,
    datasets: str | Path | None = None,
    license: str | None = None,  # noqa: A002 (what hubs call it)
    languages: Sequence[str] = (),
    pretty_name: str | None = None,
    force: bool = False,
    plugins: Sequence[str] = (),
) -> list[Path]:
    """Writes the card of a run's datasets, and its recipe with all settings. Returns their paths.

    Options that are not given are those of the card that is there, if mminf wrote it.

    Args:
        datasets: folder that `mminf export --to` has written; by default the output.
        license: id of the datasets' licence, as hubs name it, such as `cc-by-4.0`.
        languages: codes of the datasets' languages; by default those of the rows.
        force: also replace a README.md that mminf did not write, or that was changed since.
        plugins: plugin files or modules of the run.

    Raises:
        JournalError: if there is no run.
        OutputError: if the datasets are in a store, or the card of somebody else would be replaced.
    """
    discover(plugins)
    folder = local_folder(output, datasets)
    existing = read_card(folder / CARD)
    if existing is not None and not existing.ours and not force:
        raise OutputError(
            f"{folder / CARD} exists, and mminf did not write it, or it was changed since; use --force to replace it"
        )
    options = CardOptions(license, tuple(languages), pretty_name)
    options = options.over(existing.options) if existing is not None else options
    facts = collect_facts(output, datasets)
    _replace(folder / CARD, mark_card(render_card(facts, options), options))
    _replace(folder / RESOLVED, resolve_recipe(facts))
    return [folder / CARD, folder / RESOLVED]


def mark_card(text: str, options: CardOptions) -> str:
    """Returns a card with a mark that says that mminf wrote it, with which options, and a digest of its text."""
    found = json.dumps({**asdict(options), "digest": _digest(text)}, ensure_ascii=True)
    safe = found.replace(">", "\\u003e")  # it must not end the comment
    return f"{text}\n<!-- mminf card {safe} -->\n"


def read_card(path: Path) -> Existing | None:
    """Returns the card at a path, or None if there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return parse_card(text)


def parse_card(text: str) -> Existing:
    """Returns the text of a card, and whether mminf wrote it."""
    mark = _MARK.search(text)
    if mark is None:
        return Existing(text, CardOptions(), ours=False)
    body = text[: mark.start()]
    try:
        found = json.loads(mark[1])
        options = CardOptions(found.get("license"), tuple(found.get("languages") or ()), found.get("pretty_name"))
    except (ValueError, TypeError, RecursionError):
        return Existing(body, CardOptions(), ours=False)
    return Existing(body, options, ours=found.get("digest") == _digest(body))


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode("utf-8", "replace")).hexdigest()[:16]


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8", errors="replace")
    unfinished.replace(path)
