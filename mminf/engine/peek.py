"""What is known of a recipe's input before it runs: its columns, its size, and the fields that it lacks."""

from __future__ import annotations

import itertools
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mminf.engine.input import check_source, count_source, read_input
from mminf.engine.plan import find_field_problems
from mminf.engine.result import open_sinks
from mminf.errors import Problem, SourceError, UsageError
from mminf.recipe.model import Recipe
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.sink.base import Sink
from mminf.source.base import Source

log = logging.getLogger("mminf")
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
    """Returns the problems with the fields of a recipe that has other problems.

    Args:
        recipe: what is valid of it.
        peek: the columns of its input are read, if its type has no fixed ones. An input that can't be read is one of
            the problems.
    """
    problems: list[Problem] = []
    columns, sinks = fixed_columns(recipe), list[Sink]()
    with tempfile.TemporaryDirectory() as folder:  # some sources write the images of their records
        if peek and columns is None and recipe.source is not None:
            try:
                columns = _peek(recipe, Path(folder))
            except UsageError as error:
                problems.append(Problem("input", str(error)))
            except Exception as error:  # a plugin may raise anything; the other problems matter more
                log.debug("the columns of the input are not known: %s", error)
        try:
            sinks = open_sinks(recipe, Path(folder))
        except Exception as error:  # as above
            log.debug("the fields that sinks need are not known: %s", error)
        return [*problems, *find_field_problems(recipe, columns, sinks)]


def fixed_columns(recipe: Recipe) -> frozenset[str] | None:
    """Returns the columns that a recipe's input has whatever it contains; None if they depend on that."""
    if recipe.source is None or (columns := SOURCES.get(recipe.source.type).columns) is None:
        return None
    found: frozenset[str] = columns | recipe.source.config.added
    return found


def _peek(recipe: Recipe, folder: Path) -> frozenset[str] | None:
    source = open_source(recipe, folder)
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
