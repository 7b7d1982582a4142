"""Limits for input from outside: one table, whose entries are named in errors.

A limit is far above what real data has, and keeps one odd input from taking all memory or time. The environment
variable `MMINF_<NAME>` changes one for a process and those that it starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from mminf.errors import UsageError

_values: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Args:
        name: as in errors and in docs/limits.md.
        default: used if the environment variable is not set.
        unit: bytes, seconds, characters, ...
        about: what it applies to.
    """

    name: str
    default: int
    unit: str
    about: str

    @property
    def variable(self) -> str:
        """The environment variable that changes the limit."""
        return f"MMINF_{self.name.upper()}"

    @property
    def value(self) -> int:
        """The current limit. Raises UsageError if its environment variable is not a positive integer.

        The environment variable is read at the first access.
        """
        found = _values.get(self.name)
        if found is None:
            found = _values[self.name] = self._read()
        return found

    def _read(self) -> int:
        given = os.environ.get(self.variable)
        if given is None:
            return self.default
        if not (given.isascii() and given.isdecimal()) or len(given) > 18 or int(given) < 1:
            raise UsageError(f"{self.variable} must be a positive integer, not {given[:40]!r}")
        return int(given)

    def __str__(self) -> str:
        return f"at most {self.value:,} {self.unit} (limit {self.name}; {self.variable} changes it)"


def read_again() -> None:
    """Discards the values that were read from the environment."""
    _values.clear()


MIB = 2**20
ANSWER_BYTES = Limit("answer_bytes", 32 * MIB, "bytes", "a server's answer, unpacked")
LISTING_BYTES = Limit("listing_bytes", 8 * MIB, "bytes", "a server's list of models, unpacked")
LINE_BYTES = Limit("line_bytes", 256 * MIB, "bytes", "a line of a text, JSON Lines, CSV or TSV file, unpacked")
ROW_LINES = Limit("row_lines", 10_000, "lines", "a row of a CSV or TSV file; quoted cells can contain line breaks")
JSON_BYTES = Limit("json_bytes", 1024 * MIB, "bytes", "a JSON file, which is read whole")
BATCH_BYTES = Limit("batch_bytes", 1024 * MIB, "bytes", "a batch of Parquet rows, unpacked")
IMAGE_BYTES = Limit(
    "image_bytes", 256 * MIB, "bytes", "an image file, an image embedded in a row, and a member of a tar"
)
SAMPLE_BYTES = Limit("sample_bytes", 1024 * MIB, "bytes", "all files of a sample in a tar together")
IMAGE_SECONDS = Limit("image_seconds", 120, "seconds", "fetching an image, with all tries and redirects")
IMAGE_REDIRECTS = Limit("image_redirects", 5, "redirects", "fetching an image")
RECIPE_BYTES = Limit("recipe_bytes", 4 * MIB, "bytes", "a recipe, and a value of `--set`")
RECIPE_VALUES = Limit("recipe_values", 100_000, "values", "a recipe, with its aliases and merged keys expanded")
RECIPE_DEPTH = Limit("recipe_depth", 64, "levels", "nested values in a recipe, and nested parts of an expression")
EXPRESSION_WORK = Limit(
    "expression_work", 5_000_000, "items", "created or visited by one evaluation of an expression or template"
)
EXPRESSION_SECONDS = Limit("expression_seconds", 10, "seconds", "one evaluation of an expression or template")
EXPRESSION_DIGITS = Limit("expression_digits", 1000, "digits", "a number in an expression or template")
REASON_CHARACTERS = Limit("reason_characters", 400, "characters", "the reason why a record failed or was dropped")
LOG_BYTES = Limit("log_bytes", 16 * MIB, "bytes", "the log of a run, `run.log` and `run.log.1` together")

LIMITS = (
    ANSWER_BYTES,
    LISTING_BYTES,
    LINE_BYTES,
    ROW_LINES,
    JSON_BYTES,
    BATCH_BYTES,
    IMAGE_BYTES,
    SAMPLE_BYTES,
    IMAGE_SECONDS,
    IMAGE_REDIRECTS,
    RECIPE_BYTES,
    RECIPE_VALUES,
    RECIPE_DEPTH,
    EXPRESSION_WORK,
    EXPRESSION_SECONDS,
    EXPRESSION_DIGITS,
    REASON_CHARACTERS,
    LOG_BYTES,
)
"""All limits, in the order of docs/limits.md."""
