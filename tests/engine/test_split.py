"""Parts of datasets: shares, strata, and records that stay in their part."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.engine.output import read_exported
from mminf.engine.split import Splitter
from mminf.errors import OutputError, RecipeError, UsageError
from mminf.output_names import part_path
from mminf.recipe.config import SplitConfig
from mminf.record import Record

from ..conftest import read_rows
from ..fuzz import fuzz

SHARES = [
    {"train": 0.95, "validation": 0.05},
    {"train": 0.6, "validation": 0.4},
    {"train": 0.8, "validation": 0.1, "test": 0.1},
    {"a": 0.5, "b": 0.1, "c": 0.25, "d": 0.15},
    {"validation": 0.001, "train": 0.999},
    {"train": 1},
]
SEEDS = st.integers(-(2**40), 2**40)


def records(values: Iterable[object]) -> list[Record]:
    return [Record(f"r{n}", {} if value is None else {"kind": value}, n) for n, value in enumerate(values)]


def parts_of(shares: Mapping[str, float], found: list[Record], seed: int = 0) -> dict[str, str]:
    splitter = Splitter(SplitConfig(shares=dict(shares), stratify="kind", seed=seed))
    splitter.stratify(found)
    return {record.id: splitter.part(record.id) for record in found}


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("seed", [0, 7])
def test_sizes_are_close_to_the_shares(shares: dict[str, float], seed: int) -> None:
    splitter, number = Splitter(SplitConfig(shares=shares, seed=seed)), 20_000
    counts = Counter(splitter.part(f"images/{n}.jpg") for n in range(number))
    for name, share in shares.items():
        deviation = math.sqrt(number * share * (1 - share))
        assert abs(counts[name] - number * share) <= 4 * deviation
    assert set(counts) == set(shares)


@fuzz(100)
@given(st.sampled_from(SHARES), SEEDS, st.lists(st.sampled_from(["a", "b", 3, None, [1], True, 1]), max_size=200))
def test_every_stratum_has_its_shares(shares: dict[str, float], seed: int, values: list[object]) -> None:
    found = records([*values, "a"])
    parts = parts_of(shares, found, seed)
    block = math.ceil(1 / min(shares.values()))
    for value in {json.dumps(record.fields) for record in found}:
        chosen = [parts[record.id] for record in found if json.dumps(record.fields) == value]
        counts = Counter(chosen)
        whole = len(chosen) % block == 0
        for name, share in shares.items():
            most = 1 if whole else 1 + min(share, 1 - share) * block
            assert abs(counts[name] - Fraction(str(share)) * len(chosen)) <= most, (value, counts)


@fuzz(100)
@given(st.sampled_from(SHARES), SEEDS, st.lists(st.sampled_from("abc"), max_size=150), st.integers(0, 150))
def test_more_records_at_the_end_move_no_earlier_ones(
    shares: dict[str, float], seed: int, values: list[str], number: int
) -> None:
    found = records(values)
    before, after = parts_of(shares, found[:number], seed), parts_of(shares, found, seed)
    assert before == {record: after[record] for record in before}


def test_two_parts_are_exact_at_every_length() -> None:
    for length in range(0, 200, 3):
        counts = Counter(parts_of(SHARES[0], records(["x"] * length)).values())
        assert abs(counts["validation"] - length / 20) < 1, length


def test_without_a_stratum_no_record_ever_moves() -> None:
    splitter = Splitter(SplitConfig(shares=SHARES[0]))
    splitter.stratify(records("abcabc"))
    alone = Splitter(SplitConfig(shares=SHARES[0]))
    assert [splitter.part(f"r{n}") for n in range(50)] == [alone.part(f"r{n}") for n in range(50)]


def test_each_record_of_a_stratum_is_as_likely_in_each_part() -> None:
    """The place in the block does not matter: neither the first nor the last record is favoured."""
    found = records(["x"] * 20)
    counts: Counter[str] = Counter()
    for seed in range(2000):
        counts.update(name for name, part in parts_of(SHARES[0], found, seed).items() if part == "validation")
    assert sum(counts.values()) == 2000, "one of 20 in each draw"
    assert all(60 <= counts[f"r{n}"] <= 145 for n in range(20)), counts


def test_a_larger_share_keeps_what_was_in_the_last_part() -> None:
    small, large = (Splitter(SplitConfig(shares={"train": 1 - share, "validation": share})) for share in (0.05, 0.1))
    ids = [f"r{n}" for n in range(2000)]
    assert {i for i in ids if small.part(i) == "validation"} < {i for i in ids if large.part(i) == "validation"}


def test_a_new_record_among_the_others_moves_few() -> None:
    found = records(["x"] * 2000)
    before = parts_of(SHARES[0], found)
    after = parts_of(SHARES[0], [*found[:500], Record("new", {"kind": "x"}, 500), *found[500:]])
    moved = [record for record in before if before[record] != after[record]]
    assert not [record for record in moved if int(record[1:]) < 500]
    assert len(moved) < 100


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "at least 1 item"),
        ({"train": 0.9, "validation": 0.2}, "sum to 1.1, not to 1"),
        ({"train": 0.333, "b": 0.333, "c": 0.333}, "sum to 0.999, not to 1"),
        ({"train": 1.5, "validation": -0.5}, "greater than 0"),
        ({"train": 1, "validation": 0}, "greater than 0"),
        ({"train": float("nan")}, "greater than 0|less than or equal"),
        ({"Train": 1}, "should match pattern"),
        ({"a.b": 1}, "should match pattern"),
        ({"../x": 1}, "should match pattern"),
        ({"x" * 21: 1}, "should match pattern"),
    ],
)
def test_invalid_shares(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SplitConfig(shares=shares)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("oasis.jsonl", "oasis.train.jsonl"),
        ("sub/oasis.llava.json", "sub/oasis.llava.train.json"),
        ("rows", "rows.train"),
    ],
)
def test_names_of_parts(path: str, expected: str) -> None:
    assert part_path(Path(path), "train") == Path(expected)


# Whole runs

RECIPE = """
name: {name}
engines: {{s: {{backend: scripted, answer: hi}}}}
source: {{jsonl: rows.jsonl}}
{run}
steps:
  - set: {{answer: "q"}}
  - split: {{reads: parts, writes: piece}}
  - keep: {{name: odd, expression: "piece % 3 > 0"}}
sinks: [{sinks}]
"""
DATASETS = "{jsonl: o.jsonl}, {jsonl: {path: sub/lost.jsonl, dropped_by: odd}}"
SPLIT = "split: {shares: {train: 0.7, validation: 0.3}, stratify: kind, seed: 5}"


@pytest.fixture
def make(write_recipe: Callable[..., Path], rows: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a recipe over sixty rows, whose items become records; some of them are dropped."""
    rows(*({"id": f"r{n}", "q": f"q{n}", "kind": "ab"[n % 2], "parts": [n, n + 1, n + 2]} for n in range(60)))

    def write(run: str = "", sinks: str = DATASETS, name: str = "r") -> Path:
        return write_recipe(RECIPE.format(run=run, sinks=sinks, name=name))

    return write


def roots(path: Path) -> set[str]:
    return {row["id"].split("/")[0] for row in read_rows(path)}


def test_all_rows_of_a_source_record_are_in_one_part(make: Callable[..., Path], tmp_path: Path) -> None:
    written = api.run(make(SPLIT), output=tmp_path / "out").written
    assert [item.path for item in written] == [
        "o.train.jsonl",
        "o.validation.jsonl",
        "sub/lost.train.jsonl",
        "sub/lost.validation.jsonl",
    ]
    assert [(item.part, item.whole) for item in written[1:3]] == [
        ("validation", "o.jsonl"),
        ("train", "sub/lost.jsonl"),
    ]
    out = tmp_path / "out"
    train = roots(out / "o.train.jsonl") | roots(out / "sub" / "lost.train.jsonl")
    validation = roots(out / "o.validation.jsonl") | roots(out / "sub" / "lost.validation.jsonl")
    assert not train & validation and len(train) + len(validation) == 60
    kinds = Counter(row["kind"] for row in {row["q"]: row for row in read_rows(out / "o.validation.jsonl")}.values())
    assert all(abs(kinds[kind] - 9) < 2 for kind in "ab"), "of 30 each"
    assert sum(item.rows for item in written) == 180 and not (out / "o.jsonl").exists()


def test_export_divides_as_a_run_does(make: Callable[..., Path], tmp_path: Path) -> None:
    out, command = tmp_path / "out", ["--output", str(tmp_path / "out"), "--split"]
    api.run(make(), output=out)
    options = ["train=0.7, validation=0.3", "--stratify", "kind", "--split-seed", "5"]
    result = CliRunner().invoke(app, ["export", str(make()), *command, *options])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == f"{out / 'o.train.jsonl'}: {len(read_rows(out / 'o.train.jsonl'))} rows"
    api.run(make(SPLIT, name="other"), output=tmp_path / "other")
    for name in ("o.train.jsonl", "o.validation.jsonl", "sub/lost.train.jsonl", "sub/lost.validation.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    noted = read_exported(out)["o.train.jsonl"]
    assert (noted.part, noted.split) == (
        "train",
        {"shares": {"train": 0.7, "validation": 0.3}, "stratify": "kind", "seed": 5},
    )
    assert len(read_rows(out / "o.jsonl")) == 120, "the dataset of the run is still there"
    again = CliRunner().invoke(app, ["export", str(make()), *command, *options])
    assert again.exit_code == 0, "an export replaces its own files"


def test_options_of_export_replace_the_recipes_split(make: Callable[..., Path], tmp_path: Path) -> None:
    api.run(make(SPLIT), output=tmp_path / "out")
    command = ["export", str(make(SPLIT)), "--output", str(tmp_path / "out"), "--to", str(tmp_path / "to")]
    assert CliRunner().invoke(app, [*command, "--split", "all=1"]).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "to").glob("*.jsonl")) == ["o.all.jsonl"]
    assert (tmp_path / "to" / "sub" / "lost.all.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train=0.9,validation=0.2"], "sum to 1.1, not to 1"),
        (["--split", "train"], "is not NAME=SHARE"),
        (["--split", "train=x,validation=0.2"], "'train=x' is not NAME=SHARE"),
        (["--split", "train=0.5,train=0.5"], "is there twice"),
        (["--split", "train=0.5,train 2=0.5"], "must contain at most 20 of the characters"),
        (["--split", ""], "is not NAME=SHARE"),
        (["--split", "train=nan"], "split.shares"),
        (["--stratify", "kind"], "need --split"),
        (["--split-seed", "3"], "need --split"),
        (["--split", "train=0.5,test=0.5", "--stratify", "kin"], "no accepted record has a field 'kin'; did you mean 'kind'?"),
    ],
)  # fmt: skip
def test_invalid_options(make: Callable[..., Path], tmp_path: Path, options: list[str], message: str) -> None:
    out = tmp_path / "out"
    api.run(make(), output=out)
    before = sorted(out.rglob("*"))
    result = CliRunner().invoke(app, ["export", str(make()), "--output", str(out), *options])
    assert isinstance(result.exception, UsageError) and message in str(result.exception)
    assert sorted(out.rglob("*")) == before


def test_an_unknown_field_is_reported_before_the_run(make: Callable[..., Path], tmp_path: Path) -> None:
    recipe = make("split: {shares: {train: 0.5, test: 0.5}, stratify: kin}")
    with pytest.raises(RecipeError, match=r"stratify: no step and no column provides 'kin'; did you mean 'kind'\?"):
        api.run(recipe, output=tmp_path / "out")
    with pytest.raises(RecipeError, match=r"sum to 1\.5"):
        mminf.load(make("split: {shares: {train: 0.5, test: 1.0}}"))


def test_a_run_without_accepted_records(make: Callable[..., Path], tmp_path: Path) -> None:
    recipe = make(SPLIT, sinks="{jsonl: {path: o.jsonl, where: 'piece > 1000'}}")
    assert [item.rows for item in api.run(recipe, output=tmp_path / "out").written] == [0, 0]
    (tmp_path / "rows.jsonl").write_text("")
    assert [item.rows for item in api.run(recipe, output=tmp_path / "none").written] == [0, 0]


def test_parts_protect_files_of_others(make: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    api.run(make(), output=out)
    (out / "o.validation.jsonl").write_text("mine")
    with pytest.raises(OutputError, match=r"o\.validation\.jsonl exists, and no run into"):
        api.export(mminf.load(make(SPLIT)), out)
    with pytest.raises(OutputError, match=r"o\.validation\.jsonl exists, and no run into"):
        api.run(make(SPLIT), output=out)


def test_the_whole_of_a_divided_dataset_is_not_ours(make: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    api.run(make(SPLIT), output=out)
    (out / "o.jsonl").write_text("mine")
    with pytest.raises(OutputError, match=r"o\.jsonl exists, and no run into"):
        api.run(make(), output=out)


def test_a_target_bounds_the_records_that_are_balanced(make: Callable[..., Path], tmp_path: Path) -> None:
    few = api.run(make(f"{SPLIT}\ntarget: 40"), output=tmp_path / "few").written
    assert few[0].rows + few[1].rows == 40
    small, large = roots(tmp_path / "few" / "o.validation.jsonl"), tmp_path / "large"
    api.run(make(SPLIT), output=large)
    assert small <= roots(large / "o.validation.jsonl"), "more records move no earlier ones"


SINKS = [
    "{jsonl: {path: o, rows_per_file: 7}}",
    "{parquet: o.parquet}",
    "{webdataset: o}",
    "{jsonl: o.json}",
]


@pytest.mark.parametrize("sink", SINKS)
def test_every_format_is_divided(make: Callable[..., Path], tmp_path: Path, sink: str) -> None:
    written = api.run(make(SPLIT, sinks=sink), output=tmp_path / "out").written
    assert [item.part for item in written] == ["train", "validation"] and sum(item.rows for item in written) == 120
    assert all((tmp_path / "out" / item.path).exists() for item in written)


def test_figures_over_all_rows_are_not_divided(make: Callable[..., Path], tmp_path: Path) -> None:
    sinks = "{jsonl: o.jsonl}, {text_stats: {path: stats.json, reads: q}}"
    written = api.run(make(SPLIT, sinks=sinks), output=tmp_path / "out").written
    assert [item.path for item in written] == ["o.train.jsonl", "o.validation.jsonl", "stats.json"]
    assert (written[2].rows, written[2].part, written[2].whole) == (120, None, None)


def test_a_marker_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / ".mminf-datasets.json").write_text('{"a.jsonl": 3, "b": null, "c": {"rows": "x", "part": 4}}')
    assert [tuple(item) for item in read_exported(tmp_path).values()] == [(3, *[None] * 6), (None,) * 7, (None,) * 7]
