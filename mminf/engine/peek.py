"""What is known of a recipe's input before it runs: its columns, its size, and the fields that it lacks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from mminf.engine.input import check_source, count_source, read_input
from mminf.engine.plan import find_field_problems
from mminf.engine.result import open_sinks
from mminf.errors import Problem, SourceError, UsageError
from mminf.recipe.model import Recipe
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import Source

PEEK = 1000


def open_source(recipe: Recipe, output: Path) -> Source:
    """Returns a recipe's source. Raises SourceError if it has none."""
    if recipe.source is None:
        raise SourceError("the recipe has no source; give one with --input")
    made: Source = SOURCES.get(recipe.source.type)(
        recipe.source.config, recipe.path.parent, (output / "images").absolute()
    )
    return made


def read_columns(source: Source) -> tuple[frozenset[str], bool]:
    """Returns the fields of the first records of a source, and whether the others have no more."""
    added = source.config.added
    if source.columns is not None:
        return source.columns | added, True
    columns: set[str] = set()
    rows = 0
    for row in itertools.islice(read_input(source), PEEK):
        rows += 1
        if isinstance(row, Record):
            columns |= set(row.fields)
    return frozenset(columns) | added, bool(columns) and rows < PEEK


def find_problems(recipe: Recipe, *, peek: bool) -> list[Problem]:
    """Returns the problems with the fields of a recipe, which may have other problems.

    Args:
        peek: the columns of its input are read, if its type has no fixed ones. A problem of the input is one of those
            that are returned.
    """
    output = Path("out") / recipe.name
    try:
        columns = _known_columns(recipe, output, peek=peek)
        return find_field_problems(recipe, columns, open_sinks(recipe, output))
    except UsageError as error:
        return [Problem("input", str(error))]


def _known_columns(recipe: Recipe, output: Path, *, peek: bool) -> frozenset[str] | None:
    if recipe.source is None:
        return None
    fixed = SOURCES.get(recipe.source.type).columns
    if fixed is not None or not peek:
        return None if fixed is None else fixed | recipe.source.config.added
    source = open_source(recipe, output)
    check_source(source)
    columns, complete = read_columns(source)
    return columns if complete else None


@dataclass(frozen=True, slots=True)
class InputCount:
    """The number of records of an input that a run takes; None if it is unknown, with the reason."""

    records: int | None
    reason: str = ""


def count_input(recipe: Recipe, limit: int | None = None) -> InputCount | None:
    """Returns the number of records that a run would take; None if the recipe has no source.

    Args:
        limit: overrides the recipe's limit.
    """
    if recipe.source is None:
        return None
    source = open_source(recipe, Path("out") / recipe.name)
    try:
        check_source(source)
        total = count_source(source)
    except SourceError as error:
        return InputCount(None, str(error))
    if total is None:
        return InputCount(None, f"counting {source.path} would read the whole input")
    limit = recipe.run.limit if limit is None else limit
    return InputCount(total if limit is None else min(total, limit))
