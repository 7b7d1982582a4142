"""Paths that a dataset of a run can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf.errors import RecipeError
from mminf.executor.marker import NONCE
from mminf.journal import lock, schema
from mminf.output_names import CARD, RESOLVED, check_dataset_path, conflicts

from ..fuzz import fuzz
from .runs import Make


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "output folder itself"), (".", "output folder itself"), ("./", "output folder itself"), ("..", "not below"),
        ("/tmp/x", "not below"), ("a/../../b", "not below"), ("~/x", "not below"), ("s3://b/x", "is a URI"),
        ("journal.sqlite", "reserved for the run"), ("JOURNAL.SQLITE-wal", "is reserved for the run"), ("images", "reserved"),
        ("Parts/x.jsonl", "reserved for the run"), ("a\0b", "control"), ("a\nb", "control"), ("x" * 300, "too long"),
        ("/".join(["x" * 100] * 20), "too long"), (".hidden", "begins with a dot"), ("a/.b", "begins with a dot"),
        ("é" * 120, "too long"), ("\x1b[2J", "control"), ("\ud800", "control"),
    ],
)  # fmt: skip
def test_names_that_no_dataset_can_have(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        check_dataset_path(path)
    assert len(str(told.value)) < 300


def test_a_recipe_with_such_a_name_is_refused_before_anything_runs(make: Make) -> None:
    for path in (
        "''",
        "'.'",
        "photos/..",
        "journal.sqlite",
        "s3://b/x",
        '"a\\0b"',
        "x" * 300,
        "[a]",
        "5.5.5/..//..",
        "null",
    ):
        with pytest.raises(RecipeError, match="path"):
            mminf.load(make(f"{{jsonl: {{path: {path}}}}}"))
    for sinks in (
        "{jsonl: a}, {jsonl: a/b}",
        "{jsonl: a/b}, {swift: ./a//b}",
        "{jsonl: a/b/c}, {jsonl: x}, {jsonl: a}",
    ):
        with pytest.raises(RecipeError, match=r"two sinks write|can't both be written"):
            mminf.load(make(sinks))
    for fine in ("a.jsonl", "a b/ü.json", "datasets/journal.jsonl", "x/images"):
        mminf.load(make(f"{{jsonl: {fine}}}"))


def test_all_of_the_runs_own_names_are_reserved() -> None:
    own = [
        schema.FILE,
        f"{schema.FILE}-wal",
        f"{schema.FILE}-shm",
        lock.LOCK_FILE,
        schema.SHARDS,
        NONCE,
        "images",
        "report.html",
        CARD,
        RESOLVED,
    ]
    for name in own:
        with pytest.raises(ValueError, match="reserved for the run|begins with a dot"):
            check_dataset_path(name)


@fuzz(500)
@given(st.text(max_size=60))
def test_what_is_accepted_lies_in_the_output_folder(text: str) -> None:
    try:
        path = check_dataset_path(text)
    except ValueError as error:
        assert len(str(error)) < 300
        return
    real = Path(os.path.normpath(f"/out/{path}"))
    assert real.is_relative_to("/out") and real != Path("/out")
    assert check_dataset_path(path) == path


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3), max_size=5))
def test_datasets_do_not_lie_in_each_other(paths: list[list[str]]) -> None:
    named = [Path(*parts) for parts in paths]
    clash = any(
        one == other or one in other.parents or other in one.parents
        for number, one in enumerate(named)
        for other in named[:number]
    )
    assert bool(list(conflicts(named))) == clash


def test_names_beside_a_dataset_are_taken(make: Make) -> None:
    for sinks in (
        "{jsonl: a.jsonl}, {jsonl: new-a.jsonl}",
        "{jsonl: b/a.images}, {jsonl: b/a}",
        "{jsonl: a.images/x}, {jsonl: a}",
    ):
        with pytest.raises(RecipeError, match="one needs the other's path"):
            mminf.load(make(sinks))
