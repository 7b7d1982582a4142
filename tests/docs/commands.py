"""The commands of the documentation, and what stands for their models and inputs in tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mminf.content import builtin_recipes

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPT = "{backend: demo_script}"
ENCODER = "{backend: demo_encoder}"
WITH_ENGINES = ("run", "plan", "preview", "render", "export", "merge", "retry")


class Typed(NamedTuple):
    """A command of a page: its words after `mminf`, and the line of the page."""

    page: Path
    line: int
    words: list[str]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line} mminf {' '.join(self.words)}"


def console_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a page's console blocks, with their numbers; continued lines are joined."""
    inside, joined, first = False, "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
            continue
        if not inside:
            continue
        first = first if joined else number
        joined += line
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
        else:
            yield first, joined
            joined = ""


def typed_commands(page: Path) -> Iterator[Typed]:
    """Yields the mminf commands in the console blocks of a page."""
    for number, line in console_lines(page):
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words[:1] == ["mminf"]:
            yield Typed(page, number, words[1:])


def inline_commands(page: Path) -> Iterator[Typed]:
    """Yields the mminf commands in code spans of a page; they may be parts of commands."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for span in re.findall(r"`([^`]+)`", line):
            words = span.replace("\\|", "|").split("|")[0]
            if found := re.match(r"(?:[A-Z_]+=\S* )*mminf (.+)", words):
                try:
                    yield Typed(page, number, shlex.split(found[1]))
                except ValueError:  # a part of a command, cut within a quotation
                    continue


def engines_of(recipe: str, words: list[str]) -> dict[str, Any]:
    """Returns the engines of a recipe and of the profiles that a command names."""
    path = builtin_recipes().get(recipe) or Path(recipe)
    if not path.is_file():
        return {}
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    named = ",".join(words[i + 1] for i, word in enumerate(words) if word == "--profile").split(",")
    engines = dict(data.get("engines") or {})
    for profile in filter(None, named):
        engines |= (data.get("profiles", {}).get(profile) or {}).get("engines", {})
    return engines


def without_models(words: list[str]) -> list[str]:
    """Returns a command with the demo's script in place of the models of its recipe."""
    if words[0] not in WITH_ENGINES or len(words) < 2:
        return words
    found = list(words)
    for name, body in engines_of(words[1], words).items():
        found += ["--set", f"engines.{name}={ENCODER if body.get('backend') == 'encoder' else SCRIPT}"]
    return found
