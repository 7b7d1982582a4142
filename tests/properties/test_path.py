"""Files, folders and runs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import mminf
from mminf import api
from mminf.errors import SourceError, UsageError
from mminf.properties import PathProperties, Properties

from ..conftest import tiny_image

CHAT = {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A cat."}]}


def measured(path: object, **options: Any) -> PathProperties:
    return api.properties(path, spacy_model="none", **options)  # type: ignore[arg-type]


def one(path: object, **options: Any) -> Properties:
    (found,) = measured(path, **options).datasets
    return found


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_formats_have_the_same_figures(tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png")
    llava = {
        "image": "a.png",
        "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cat."}],
    }
    (tmp_path / "llava.json").write_text(json.dumps([llava] * 3, indent=2))
    write(tmp_path / "swift.jsonl", *[{**CHAT, "images": ["a.png"]}] * 3)
    (tmp_path / "sharegpt.json.gz").write_bytes(gzip.compress(json.dumps([{**llava, "id": 1}] * 3).encode()))
    data = (tmp_path / "a.png").read_bytes()
    embedded = {**CHAT, "images": [{"bytes": data, "path": "a.png"}]}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([embedded] * 3), tmp_path / "rows.parquet")
    found = [one(tmp_path / name) for name in ("llava.json", "swift.jsonl", "sharegpt.json.gz", "rows.parquet")]
    assert {item.rows for item in found} == {3}
    assert len({(item.instructions, item.responses, item.images) for item in found}) == 1
    assert found[0].images.measured == 3
    assert [next(iter(item.shapes)) for item in found] == ["conversations", "messages", "conversations", "messages"]


def test_relative_images_start_at_the_dataset_or_at_image_root(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    tiny_image(tmp_path / "a.png")
    rows = write(tmp_path / "data" / "rows.jsonl", {**CHAT, "images": ["a.png"]})
    assert one(rows).images.missing.first == f"rows.jsonl:1: {tmp_path / 'data' / 'a.png'}"
    assert one(rows, image_root=tmp_path).images.measured == 1


def test_broken_rows_are_skipped_and_the_first_is_named(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(CHAT) + '\n{"text": "hi"}\n{"messages"\n' + json.dumps(CHAT))
    found = one(rows)
    assert (found.rows, found.broken.count) == (2, 2)
    assert str(found.broken.first).startswith("rows.jsonl:2: has none of `messages` (ms-swift)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "rows.jsonl contains no rows"),
        ('{"text": "hi"}\n' * 3, "none of the rows is a conversation: rows.jsonl:1: has none of `messages`"),
        ('{"text": "hi"}\n' * 300, "none of the first 100 rows is a conversation: rows.jsonl:1: has none of"),
        ("{\n", "rows.jsonl is not JSON"),
    ],
)
def test_a_file_without_conversations_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(SourceError, match=message):
        measured(tmp_path / "rows.jsonl")


def test_paths_that_are_no_datasets_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none.jsonl: no such file or folder"):
        measured(tmp_path / "none.jsonl")
    with pytest.raises(SourceError, match=r"contains no datasets: files that end in .jsonl, "):
        measured(tmp_path)
    with pytest.raises(UsageError, match="tokenizer 'org/none' is not on this machine"):
        measured(write(tmp_path / "rows.jsonl", CHAT), tokenizer="org/none")


def test_a_folder_is_one_dataset(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path / name, CHAT, CHAT)
    write(tmp_path / "manifest.json", {"rows": 4, "files": []})
    write(tmp_path / ".hidden.jsonl", CHAT)
    found = one(tmp_path)
    assert (found.path, found.rows) == (str(tmp_path), 4)


RECIPE = """
name: asked
engines: {llm: {backend: scripted, model: builtin:demo, script: SCRIPT}}
source: {images: IMAGES}
steps:
  - generate: {engine: llm, prompt: "Ask.", writes: instruction}
  - generate: {name: answer, engine: llm, prompt: "{{ instruction }}", writes: response}
sinks:
  - swift: rows.jsonl
  - llava: {path: sharded, rows_per_file: 5}
  - jsonl: {path: plain.jsonl, columns: [instruction]}
"""


@pytest.fixture
def run(tmp_path: Path, images: Path, write_recipe: Callable[..., Path]) -> Path:
    """The output folder of a run with two chat datasets and another one."""
    (tmp_path / "script.py").write_text('def answer(request):\n    return f"What is in picture {request.seed % 7}?"\n')
    recipe = write_recipe(RECIPE.replace("SCRIPT", str(tmp_path / "script.py")).replace("IMAGES", str(images)))
    mminf.run(recipe, output=tmp_path / "out")
    return tmp_path / "out"


def test_each_dataset_of_a_run_is_measured(run: Path) -> None:
    found = measured(run)
    assert [Path(item.path).name for item in found.datasets] == ["rows.jsonl", "sharded"]
    assert [item.rows for item in found.datasets] == [12, 12]
    assert found.datasets[0].instructions == found.datasets[1].instructions
    assert found.datasets[0].images.measured == 12
    assert [Path(item.path).name for item in found.skipped] == ["plain.jsonl"]
    assert found.skipped[0].reason.startswith("none of the rows is a conversation: plain.jsonl:1: has none of")
    assert found.to_json()["path"] == str(run)


def test_tokens_of_a_run_are_those_of_its_model(run: Path) -> None:
    found = measured(run).datasets[0]
    assert found.tokenizer == "builtin:demo"
    assert found.instructions.tokens is not None
    assert found.instructions.tokens.count == 12


def test_a_dataset_that_is_not_written_is_skipped(run: Path) -> None:
    (run / "rows.jsonl").unlink()
    found = measured(run)
    assert [Path(item.path).name for item in found.datasets] == ["sharded"]
    assert found.skipped[0].reason.startswith("is not written yet; `mminf export`")
    (run / "sharded" / "manifest.json").unlink()
    for file in (run / "sharded").iterdir():
        file.unlink()
    with pytest.raises(SourceError, match="no dataset of the run has conversations: rows.jsonl: is not written yet"):
        measured(run)


def test_exported_datasets_are_measured(run: Path, tmp_path: Path) -> None:
    recipe = mminf.load(tmp_path / "recipe.yaml")
    api.export(recipe, run, to=tmp_path / "exported")
    found = measured(tmp_path / "exported")
    assert [Path(item.path).name for item in found.datasets] == ["rows.jsonl", "sharded"]
    assert len(found.skipped) == 1


def test_a_dataset_in_a_store_is_read(memory: Any) -> None:
    (memory / "rows.jsonl").write_text(json.dumps({**CHAT, "images": ["a.png"]}))
    found = one("memory://bucket/rows.jsonl")
    assert (found.rows, found.images.remote.count) == (1, 1)


def test_real_rows(real_images: Path) -> None:
    rows = real_images.parent / "input.jsonl"
    found = one(rows)
    assert (found.rows, found.broken.count, found.shapes) == (24, 0, {"instruction": 24})
    assert {item.code for item in found.instructions.languages} >= {"en", "zh"}
    assert found.images.measured == 24
