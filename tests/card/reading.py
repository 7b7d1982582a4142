"""Reads the cards of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard

from mminf import api


def header_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = DatasetCard.load(output / "README.md").data.to_dict()
    return found


def card_of(output: Path, **options: Any) -> str:
    api.card(output, **options)
    return (output / "README.md").read_text()


def table(card: str, title: str) -> list[list[str]]:
    """The cells of the first table below a title."""
    lines = card.split(f"{title}\n", 1)[1].lstrip("\n").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found
