"""`mminf help`: the pages are there, offline."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mminf.cli.main import app

from ..conftest import ROOT
from .in_terminal import run

PAGES = sorted(path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md"))


def test_all_pages_are_listed() -> None:
    listed = CliRunner().invoke(app, ["help"]).output
    assert len(PAGES) > 20 and all(f"{page} " in listed for page in PAGES)
    assert "Looking at a run and its data" in listed


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_printed_as_it_is(page: str) -> None:
    printed = CliRunner().invoke(app, ["help", page]).output
    assert printed.rstrip("\n") == (ROOT / "docs" / f"{page}.md").read_text().rstrip("\n")


def test_a_page_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "cat")
    shown = run("help", "cost")
    assert "Three commands show what a recipe does" in " ".join(shown.split()) and "](" not in shown


def test_an_unknown_page() -> None:
    assert "did you mean 'oasis'" in str(CliRunner().invoke(app, ["help", "oasi"]).exception)
    for topic in ("oasis.md", "docs/oasis.md#models", "oasis#models"):
        assert CliRunner().invoke(app, ["help", topic]).output == CliRunner().invoke(app, ["help", "oasis"]).output
    assert "`mminf run --help` describes it" in str(CliRunner().invoke(app, ["help", "run"]).exception)
