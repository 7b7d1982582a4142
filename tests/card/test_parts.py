"""Cards of datasets that were divided into parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app

from .conftest import Run
from .reading import card_of, header_of, table


def test_parts_are_splits(run: Run) -> None:
    output = run(number=60)
    recipe = mminf.load(
        output.parent / "drawings.yaml", overrides={"split": {"shares": {"train": 0.75, "validation": 0.25}}}
    )
    api.export(recipe, output)
    card = card_of(output)
    assert header_of(output)["configs"][0]["data_files"] == [
        {"split": "train", "path": "chats.train.jsonl"},
        {"split": "validation", "path": "chats.validation.jsonl"},
    ]
    assert "Shares: train 75.0 %, validation 25.0 %; seed 0." in card
    rows = [row[:2] for row in table(card, "## Datasets")[2:]]
    assert rows[:2] == [["`chats.train.jsonl`", "train"], ["`chats.validation.jsonl`", "validation"]]
    assert "`chats.jsonl`" not in card, "the dataset before it was divided has the same rows"
    assert 'validation_chats = load_dataset("OWNER/NAME", "chats", split="validation")' in card
    assert "--dataset data/chats.train.jsonl --val_dataset data/chats.validation.jsonl" in card


def test_a_split_of_the_recipe_is_described(run: Run) -> None:
    more = "split: {shares: {train: 0.75, validation: 0.25}, stratify: kind, seed: 4}"
    card = card_of(run(more=more))
    assert "Shares: train 75.0 %, validation 25.0 %, for each value of `kind`; seed 4." in card


def test_parts_in_another_folder(run: Run, tmp_path: Path) -> None:
    output = run(number=60)
    recipe = mminf.load(tmp_path / "drawings.yaml", overrides={"split": {"shares": {"train": 0.75, "test": 0.25}}})
    api.export(recipe, output, to=tmp_path / "to")
    result = CliRunner().invoke(app, ["card", str(output), "--datasets", str(tmp_path / "to")])
    assert result.exit_code == 0, result.output
    assert [item["split"] for item in header_of(tmp_path / "to")["configs"][0]["data_files"]] == ["train", "test"]
    assert not (output / "README.md").exists()


def divide(output: Path, **shares: float) -> None:
    recipe = mminf.load(output.parent / "drawings.yaml", overrides={"split": {"shares": shares}})
    api.export(recipe, output)


def listed(output: Path) -> dict[str, str]:
    (config, *_) = header_of(output)["configs"]
    return {item["split"]: item["path"] for item in config["data_files"]}


def test_parts_older_than_the_dataset_are_left_out(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    output = run()
    divide(output, train=0.75, test=0.25)
    os.utime(output / "chats.train.jsonl", (1, 1))
    api.card(output)
    assert listed(output) == {"train": "chats.jsonl"}
    assert caplog.text.count("left out: ") == 1, "once for each dataset"
    assert "older than chats.jsonl" in caplog.text


def test_parts_of_an_earlier_split_are_left_out(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    output = run(number=60)
    divide(output, train=0.9, validation=0.1)
    divide(output, train=0.75, test=0.25)
    api.card(output)
    assert listed(output) == {"train": "chats.train.jsonl", "test": "chats.test.jsonl"}
    assert "left out: chats.validation.jsonl, of an earlier split" in caplog.text
    plan = api.plan_push(output, "hub:me/x")
    assert "chats.validation.jsonl" not in [upload.path for upload in plan.uploads]
    rows = sum(len((output / f"chats.{part}.jsonl").read_text().splitlines()) for part in ("train", "test"))
    assert sum(dataset.rows or 0 for dataset in plan.datasets if dataset.whole == "chats.jsonl") == rows


def test_parts_of_a_dataset_are_measured_together(run: Run) -> None:
    output = run(more="split: {shares: {train: 0.5, validation: 0.5}}")
    lines = {
        name: values for name, *values in table(card_of(output), "### `chats.train.jsonl, chats.validation.jsonl`")
    }
    written = sum(len((output / f"chats.{part}.jsonl").read_text().splitlines()) for part in ("train", "validation"))
    assert lines["texts"] == [f"{written}", f"{written}"]


def test_the_datasets_of_the_recipe_come_before_exports(run: Run) -> None:
    """The first one is the default of `load_dataset`, also if it is divided after an export in another format."""
    output = run(number=20)
    other = mminf.load(output.parent / "drawings.yaml", overrides={"sinks": [{"jsonl": "all.jsonl"}]})
    api.export(other, output)
    divide(output, train=0.5, test=0.5)
    card_of(output)
    assert list(listed(output)) == ["train", "test"]
