"""Citations of the papers that a recipe names, in BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mminf.content import content_file

_ARXIV = re.compile(
    r"\barxiv[:\s]\s*(\d{4}\.\d{4,5})(?:v\d+)?\b|\barxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper on arXiv.

    Attributes:
        title: None if the paper is not one of those of the bundled recipes.
        bibtex: its entry; None without a title.
    """

    arxiv: str
    title: str | None = None
    bibtex: str | None = None

    @property
    def link(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}"


def find_papers(text: str) -> list[Paper]:
    """Returns the papers that a text names as `arXiv NNNN.NNNNN`."""
    known = read_papers()
    ids = dict.fromkeys(found[1] or found[2] for found in _ARXIV.finditer(text))
    return [_paper(arxiv, known.get(arxiv)) for arxiv in ids]


def read_papers() -> Mapping[str, Mapping[str, Any]]:
    """Returns the papers of the bundled recipes, by arXiv id."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(content_file("citations.yaml").read_text(encoding="utf-8"))
    return found


def _paper(arxiv: str, known: Mapping[str, Any] | None) -> Paper:
    if known is None:
        return Paper(arxiv)
    authors = " and ".join([*known["authors"], *(["others"] if known.get("others") else [])])
    lines = [
        f"@article{{{known['key']},",
        f"  title = {{{{{known['title']}}}}},",
        f"  author = {{{authors}}},",
        f"  journal = {{arXiv preprint arXiv:{arxiv}}},",
        f"  year = {{{known['year']}}},",
        f"  url = {{https://arxiv.org/abs/{arxiv}}}",
        "}",
    ]
    return Paper(arxiv, known["title"], "\n".join(lines))
