"""`mminf properties`: the table, JSON, and errors."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mminf.cli.main import app
from mminf.display.properties import properties_lines
from mminf.properties import BrokenRow, Conversation, PathProperties, Skipped, load_tokenizer, measure

from ..conftest import tiny_image
from ..properties.test_verbs import FirstWords

CHAT = {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A cat."}]}


def run(*options: str) -> Any:
    return CliRunner().invoke(app, ["properties", *options])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    tiny_image(tmp_path / "a.png", size=(40, 20))
    path = tmp_path / "rows.jsonl"
    rows = [{**CHAT, "images": ["a.png"]}, {**CHAT, "images": ["none.png"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


def test_the_table(dataset: Path) -> None:
    found = run(str(dataset), "--spacy-model", "none")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[:2] == [str(dataset), "2 rows (messages)"]
    assert "rows that can't be read: 1; the first: rows.jsonl:3: is not JSON" in found.stdout
    assert "instruction words         2    3.0    0.0      3      3  █" in lines
    assert "languages of instructions: en 100.0 %" in lines
    assert "  instructions       50.0 % (1 of 2)             50.0 % (1 of 2)" in lines
    assert "images that don't exist: 1; the first: rows.jsonl:2:" in found.stdout.replace("\n  ", " ")
    assert "  landscape 100.0 %, portrait 0.0 %, square 0.0 %" in lines
    assert lines[-5:] == [
        "tokens are not measured: no tokenizer",
        "  --tokenizer MODEL: a folder with tokenizer.json, or a model on this machine",
        "",
        "root verbs are not measured: spaCy's model none is not installed",
        "  python -m spacy download none",
    ]


def test_json(dataset: Path) -> None:
    found = run(str(dataset), "--json", "--tokenizer", "builtin:demo", "--exact", "--spacy-model", "none")
    assert found.exit_code == 0
    data = json.loads(found.stdout)
    assert data["path"] == str(dataset)
    assert data["datasets"][0]["rows"] == 2
    assert data["datasets"][0]["tokenizer"] == "builtin:demo"
    assert data["skipped"] == []


def test_errors_are_usage_errors(tmp_path: Path, dataset: Path) -> None:
    for options, message in (
        ([str(tmp_path / "none")], "no such file or folder"),
        ([str(tmp_path / "a.png")], "a.png contains no rows"),
        ([str(dataset), "--tokenizer", "none"], "tokenizer 'none' is not on this machine"),
    ):
        found = run(*options)
        assert found.exit_code != 0
        assert message in str(found.exception)


def wild_rows(number: int) -> Iterator[Conversation | BrokenRow]:
    draw = random.Random(1)
    words = [f"w{'x' * draw.randrange(12)}{n}" for n in range(3000)]
    for n in range(number):
        asked = " ".join(draw.choices(words, k=int(draw.paretovariate(0.4)) % 50_000))
        yield Conversation(
            "messages" if n % 2 else "conversations", (asked,) * (n % 5), ("图" * n,), ("none.png",) * (n % 4), f"r:{n}"
        )
    yield BrokenRow("r:0", "x" * 300 + " " + "y " * 100)


def test_no_line_is_wider_than_80_columns() -> None:
    found = measure(
        wild_rows(400), path="rows.jsonl", tokenizer=load_tokenizer("builtin:demo"), parser=FirstWords(), sample=300
    )
    lines = list(
        properties_lines(PathProperties("out", (found, found), (Skipped("out/x.jsonl", "has no rows " * 20),)))
    )
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("Figures marked with * are about a sample of 300 rows (seed 0)") for line in lines)
    assert any(line.startswith("root verbs*") for line in lines)
    assert any(line.startswith("not measured: out/x.jsonl: has no rows") for line in lines)


def test_a_dataset_without_texts_is_printed() -> None:
    found = measure([Conversation("messages", (), ("",), (), "r")], path="x", parser=FirstWords())
    text = "\n".join(properties_lines(PathProperties("x", (found,))))
    assert "instruction words         0" in text
    assert "  instructions    none" in text
    assert "images" not in text.replace("images per row", "")
