"""Datasets of every format: found, counted, sampled, and loaded by the names in the card."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf import api
from mminf.card.datasets import Dataset, find_datasets
from mminf.card.rows import Row, sample_rows
from mminf.engine.result import write_sinks
from mminf.errors import OutputError
from mminf.inspection import read_recipe

from ..fuzz import fuzz
from .conftest import Run

ROWS = {
    "swift: a.jsonl": ("jsonl", False),
    "swift: {path: a.json}": ("json", False),
    "swift: {path: a, rows_per_file: 5}": ("jsonl", True),
    "llava: a.json": ("json", False),
    "jsonl: a": ("jsonl", False),
    "parquet: a.parquet": ("parquet", False),
    "parquet: {path: sub/a, rows_per_file: 5, embed_images: true}": ("parquet", True),
    "webdataset: {path: a, rows_per_file: 5}": ("tar", True),
}


def found_in(output: Path) -> list[Dataset]:
    return find_datasets(output, output, read_recipe(output))


@pytest.mark.parametrize(("sink", "kind"), ROWS.items())
def test_formats(run: Run, sink: str, kind: tuple[str, bool]) -> None:
    output = run(sinks=f"  - {sink}")
    (dataset,) = found_in(output)
    assert (dataset.format, dataset.is_folder, dataset.rows, dataset.part) == (*kind, 12, None)
    assert dataset.size == sum((output / name).stat().st_size for name in dataset.files) > 0
    rows = sample_rows(output, dataset)
    assert len(rows) == 12 and all(row.has_images for row in rows)
    assert all(row.user[0].startswith("What is shown in the ") for row in rows)
    assert all(row.assistant[0].startswith("It is a drawing of the") for row in rows)
    local = [row for row in rows if row.local_images]
    assert len(local) == (0 if kind[0] == "tar" or "embed" in sink else 12)


@pytest.mark.parametrize("sink", [sink for sink in ROWS if sink != "jsonl: a"])
def test_the_datasets_library_loads_the_folder(run: Run, sink: str, tmp_path: Path) -> None:
    """By the names and patterns in the header of the card, as from a hub."""
    import datasets

    output = run(sinks=f"  - {sink}")
    api.card(output)
    loaded = datasets.load_dataset(str(output), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 12
    if "embed" in sink:
        assert loaded[0]["images"][0].size == (32, 32)


def test_datasets_of_other_formats_are_not_listed(run: Run, tmp_path: Path) -> None:
    """The library reads all listed datasets with the loader of the first, and no file without an ending."""
    import datasets

    sinks = "  - jsonl: plain\n  - swift: a.jsonl\n  - parquet: b.parquet\n  - llava: c.json"
    output = run(sinks=sinks)
    api.card(output)
    for name in ("a", "c"):
        loaded = datasets.load_dataset(str(output), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded.num_rows == 12
    card = (output / "README.md").read_text()
    lines = card.split("from datasets import load_dataset\n\n")[1].split("\n```")[0].splitlines()
    assert lines == [
        'train_plain = load_dataset("json", data_files="data/plain", split="train")',
        'train_a = load_dataset("OWNER/NAME", "a", split="train")',
        'train_b = load_dataset("parquet", data_files="data/b.parquet", split="train")',
        'train_c = load_dataset("OWNER/NAME", "c", split="train")',
    ]
    for loader, name in (("json", "plain"), ("parquet", "b.parquet")):
        files = str(output / name)
        loaded = datasets.load_dataset(loader, data_files=files, split="train", cache_dir=str(tmp_path / "c"))
        assert loaded.num_rows == 12


def test_parts_load_as_splits(run: Run, tmp_path: Path) -> None:
    import datasets

    output = run(number=60, sinks="  - swift: a.jsonl", more="split: {shares: {train: 0.7, validation: 0.3}}")
    api.card(output)
    loaded = datasets.load_dataset(str(output), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"} and sum(part.num_rows for part in loaded.values()) == 36


def test_vectors_and_figures_are_no_rows(run: Run) -> None:
    output = run(sinks="  - swift: a.jsonl\n  - text_stats: {path: stats.json, reads: response}")
    datasets = found_in(output)
    assert [(dataset.path, dataset.format) for dataset in datasets] == [("a.jsonl", "jsonl"), ("stats.json", None)]
    api.card(output)
    assert "| `stats.json` | – | 12 |" in (output / "README.md").read_text()


def test_files_of_others_are_not_part_of_a_dataset(run: Run) -> None:
    output = run(sinks="  - jsonl: {path: a, rows_per_file: 5}")
    (output / "a" / "notes.jsonl").write_text("{}\n")
    (output / "b.jsonl").write_text("{}\n")
    (dataset,) = found_in(output)
    assert dataset.files == ("a/00000.jsonl", "a/00001.jsonl", "a/00002.jsonl", "a/manifest.json")


def test_an_export_that_is_older_than_the_outcomes_is_left_out(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its rows may be about images that were replaced, or records that were dropped since."""
    output, to = run(sinks="  - jsonl: a.jsonl"), tmp_path / "to"
    recipe = tmp_path / "drawings.yaml"
    other = mminf.load(recipe, settings=["sinks=[{jsonl: mine.jsonl}]"])
    for folder in (output, to):
        api.export(other, output, to=folder)
    mminf.run(recipe, output=output)  # nothing has changed
    assert [item.path for item in found_in(output)] == ["a.jsonl", "mine.jsonl"]
    script = tmp_path / "answers.py"
    script.write_text(script.read_text().replace("a drawing", "a sketch"))
    mminf.run(recipe, output=output)
    assert "sketch" in (output / "a.jsonl").read_text()
    assert [item.path for item in found_in(output)] == ["a.jsonl"]
    assert "left out: mine.jsonl, which was exported before the last run" in caplog.text
    assert not find_datasets(output, to, read_recipe(output))
    for folder in (output, to):
        api.export(mminf.load(recipe, settings=["sinks=[{jsonl: mine.jsonl}]"]), output, to=folder)
    assert [item.path for item in found_in(output)] == ["a.jsonl", "mine.jsonl"]
    assert [item.path for item in find_datasets(output, to, read_recipe(output))] == ["mine.jsonl"]


def test_an_outdated_export_in_another_folder_is_left_out(run: Run, tmp_path: Path) -> None:
    """It has the paths of the recipe, but runs don't write there."""
    output, to, recipe = run(sinks="  - jsonl: a.jsonl"), tmp_path / "to", tmp_path / "drawings.yaml"
    api.export(mminf.load(recipe), output, to=to)
    assert [item.path for item in find_datasets(output, to, read_recipe(output))] == ["a.jsonl"]
    script = tmp_path / "answers.py"
    script.write_text(script.read_text().replace("a drawing", "a sketch"))
    mminf.run(recipe, output=output)
    assert [item.path for item in found_in(output)] == ["a.jsonl"]
    assert not find_datasets(output, to, read_recipe(output))


def test_an_export_of_equal_records_is_not_outdated(run: Run, tmp_path: Path) -> None:
    """Records beyond the target, and new times of files, change no row."""
    output, recipe = run(number=60, sinks="  - jsonl: a.jsonl", more="target: 5"), tmp_path / "drawings.yaml"
    api.export(mminf.load(recipe, settings=["sinks=[{jsonl: mine.jsonl}]"]), output)
    api.probe(api.prepare(mminf.load(recipe), output=output), records=20)
    os.utime(tmp_path / "a.png", (1, 1))
    mminf.run(recipe, output=output)
    assert [item.path for item in found_in(output)] == ["a.jsonl", "mine.jsonl"]


def test_an_export_of_an_active_run_is_outdated_at_its_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = run(sinks="  - jsonl: a.jsonl"), tmp_path / "drawings.yaml"
    script = tmp_path / "answers.py"

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        written = write_sinks(*arguments, **options)
        monkeypatch.undo()
        script.write_text(script.read_text().replace("a drawing", "a sketch"))
        mminf.run(recipe, output=output)
        return written

    monkeypatch.setattr("mminf.engine.export.write_sinks", meanwhile)
    api.export(mminf.load(recipe, settings=["sinks=[{jsonl: mine.jsonl}]"]), output)
    assert [item.path for item in found_in(output)] == ["a.jsonl"]


def test_a_smaller_dataset_beside_a_complete_one_is_left_out(run: Run, tmp_path: Path) -> None:
    output = run(sinks="  - jsonl: a.jsonl")
    (tmp_path / "answers.py").write_text("def answer(request):\n    raise ValueError('broken')\n# another model\n")
    mminf.run(tmp_path / "drawings.yaml", output=output, overrides={"max_same_failures": None})
    assert (output / "new-a.jsonl").exists()
    api.export(mminf.load(tmp_path / "drawings.yaml"), output)
    assert [dataset.path for dataset in found_in(output)] == ["a.jsonl"]
    with pytest.raises(OutputError, match=r"a.jsonl is from an earlier run: .* wrote fewer rows to new-a.jsonl"):
        api.card(output)
    assert not (output / "README.md").exists(), "it would describe the last run"
    (output / "new-a.jsonl").unlink()
    with pytest.raises(OutputError, match="a.jsonl is from an earlier run"):
        api.card(output, datasets=output)
    api.export(mminf.load(tmp_path / "drawings.yaml"), output, force=True)
    api.card(output)


def test_exported_datasets_are_found(run: Run, tmp_path: Path) -> None:
    output = run(sinks="  - jsonl: a.jsonl")
    api.export(mminf.load(tmp_path / "drawings.yaml", settings=["sinks=[{llava: b.json}]"]), output)
    assert [dataset.path for dataset in found_in(output)] == ["a.jsonl", "b.json"]


# Sampled rows


def jsonl(path: Path, rows: list[Any]) -> Dataset:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset(path.name, "jsonl", (path.name,), len(rows), path.stat().st_size, path.name, None, None)


def test_rows_of_large_files_are_from_all_over_it(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n}", "response": "x" * 900} for n in range(10_000)]
    dataset = jsonl(tmp_path / "a.jsonl", rows)
    numbers = [int(row.user[0]) for row in sample_rows(tmp_path, dataset, 100)]
    assert len(numbers) == 100 and numbers == sorted(numbers) and max(numbers) > 9800
    assert all(60 < after - before < 140 for before, after in itertools.pairwise(numbers))


@fuzz(50)
@given(st.lists(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["messages", "images", "image", "role", "content", "conversations", "instruction", "id"]), inner)), max_size=5))  # fmt: skip
def test_odd_rows_are_read_without_an_error(values: list[Any]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dataset = jsonl(Path(folder) / "a.jsonl", values)
        found = sample_rows(Path(folder), dataset)
    assert len(found) == sum(isinstance(value, dict) for value in values)
    assert all(isinstance(text, str) for row in found for text in (*row.user, *row.assistant, *row.images))


@pytest.mark.parametrize("content", ["", "\n\n", "[]", "[\n\n]\n", "{", "\x00\xff", "null\n3\n"])
def test_files_without_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    for kind in ("jsonl", "json", "parquet", "tar", None):
        dataset = Dataset("a.jsonl", kind, ("a.jsonl",), None, 1, "a.jsonl", None, None)
        assert sample_rows(tmp_path, dataset) == []


def test_images_of_rows() -> None:
    row = Row(
        (), (), ("a/b.png", "https://x.org/c.png", "s3://b/c.png", "data:image/png;base64,xx", "file:///d.png"), True
    )
    assert row.local_images == ("a/b.png", "file:///d.png")
