"""`mminf preview`: what it shows of records, their steps, children, ends and rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app

from ..conftest import tiny_image

RECIPE = """
name: previewed
engines: {m: {backend: scripted, script: SCRIPT}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: ask, engine: m, prompt: "{{ images }}List {{ text }}", extract: {lines: found}}
  - generate: {name: never, engine: m, when: text == "never", prompt: "hi"}
  - split: {reads: found, writes: item}
  - check: {name: good, engine: m, prompt: "Good? {{ item }}"}
  - keep: {name: kept, expression: good}
  - keep: {name: also, expression: item is string}
  - deduplicate: {reads: item}
sinks:
  - jsonl: {path: out.jsonl, columns: [id, item]}
  - jsonl: {path: bad.jsonl, columns: [id, good], dropped_by: kept}
"""
SCRIPT = """
import os

def answer(request):
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(request.turns[-1].text + "\\n")
    text = request.turns[-1].text
    if text.startswith("Good"):
        return "No" if "[red]bad[/red]" in text else "Yes"
    if "fails" in text:
        raise ValueError("the server said \\x1b[31mno")
    return "1. A first thing\\n2. A [red]bad[/red] thing\\n3. A " + "very " * 90 + "long thing"
"""


@pytest.fixture
def preview(
    write_recipe: Callable[[str], Path],
    rows: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls_log: Path,
) -> Callable[..., Any]:
    """Runs the command over four rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    tiny_image(tmp_path / "a.png", size=(40, 30))
    (tmp_path / "script.py").write_text(SCRIPT)
    path = write_recipe(RECIPE.replace("SCRIPT", str(tmp_path / "script.py")))
    rows(
        {"id": "one", "images": ["a.png"], "text": "things"},
        {"id": "two", "images": ["a.png"], "text": "fails"},
        {"id": "three", "images": ["gone.png"], "text": "things"},
        {"id": "four", "images": ["a.png"], "text": "other things"},
    )
    return lambda *arguments: CliRunner().invoke(app, ["preview", str(path), *arguments])


def test_three_records_are_shown_in_80_columns(preview: Callable[..., Any], tmp_path: Path, calls_log: Path) -> None:
    shown = preview()
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split(" ─")[0] for line in lines if "─" in line] == [
        "one (1 of 3)",
        "two (2 of 3)",
        "three (3 of 3)",
    ]
    text = " ".join(shown.output.split())
    assert "image a.png: 40 × 30 input text things" in text
    assert 'ask found ["A first thing", "A [red]bad[/red] thing"' in text
    assert "never skipped: its condition is false" in text
    assert "split makes 3 records" in text
    assert "outcome dropped at kept: good " in text
    assert "…" in text, "long values are shortened"
    assert 'row of out.jsonl {"id": "one/0", "item": "A first thing"}' in text
    assert 'row of bad.jsonl {"id": "one/1", "good": false}' in text
    assert "failed: scripted: the server said" in text and "\x1b" not in shown.output
    assert "gone.png: image" in text and "outcome failed at ask" in text
    assert lines[-1] == "3 records with their children: 2 done, 1 dropped (kept 1), 2 failed (ask 2)"
    assert not (tmp_path / "out").exists()


def test_each_part_of_a_record_has_its_own_steps(preview: Callable[..., Any]) -> None:
    lines = preview("--records", "1").output.splitlines()
    assert [line for line in lines if line.startswith("/")] == ["/0", "/1", "/2"]
    first = lines[lines.index("/0") : lines.index("/1")]
    assert [line.split()[0] for line in first if line and not line.startswith(" ")] == [
        "/0",
        "good",
        "passed",
        "outcome",
        "row",
    ]


ORDERED = """
name: ordered
engines: {slow: {backend: scripted, answer: a, latency: 0.3}, fast: {backend: scripted, answer: b}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: late, engine: slow, prompt: "{{ text }}", writes: one}
  - generate: {name: early, engine: fast, prompt: "{{ text }}", writes: two}
sinks: [{jsonl: out.jsonl}]
"""


def test_steps_are_shown_in_the_order_of_the_recipe(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    """Steps that don't read each other's fields run at the same time, and end in any order."""
    rows({"id": "a", "text": "x"})
    shown = api.preview(api.prepare(api.load(write_recipe(ORDERED)), output=tmp_path / "out"))
    assert [step.step for step in shown[0].steps] == ["late", "early"]


def test_steps_over_all_records_are_outcomes(preview: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"id": name, "images": ["a.png"], "text": "x"}) + "\n" for name in "ab")
    )
    text = " ".join(preview().output.split())
    assert "outcome dropped at deduplicate: duplicate of a/0" in text


def test_the_later_run_finds_the_answers(preview: Callable[..., Any], tmp_path: Path, calls_log: Path) -> None:
    shown = preview("--output", "out", "--records", "1")
    assert "prompts and raw answers: mminf show out one" in shown.output
    assert not (tmp_path / "out" / "out.jsonl").exists()
    before = calls_log.read_text().splitlines()
    assert len(before) == 4
    mminf.run(tmp_path / "recipe.yaml", output=tmp_path / "out")
    later = calls_log.read_text().splitlines()[len(before) :]
    assert "List things" not in later[:1]
    assert len(later) == 1 + 4, "`two` fails, `three` makes no call, `four` makes four"
    assert api.status(tmp_path / "out")["state"] == "finished"


def test_an_input_without_records(preview: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    shown = preview()
    assert (shown.exit_code, "the input contains no record" in shown.output) == (1, True)


def test_rows_that_are_not_records(preview: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "fails", "images": ["a.png"]}\n[1]\n')
    shown = preview()
    text = " ".join(shown.output.split())
    assert not shown.exception, shown.exception
    assert "outcome failed at source: rows.jsonl:2 is not a JSON object, but list" in text


@pytest.mark.parametrize("number", ["0", "101"])
def test_the_number_of_records_is_limited(preview: Callable[..., Any], number: str) -> None:
    assert preview("--records", number).exit_code == 2


def test_from_python(preview: Callable[..., Any], tmp_path: Path) -> None:
    (one,) = api.preview(api.prepare(api.load(tmp_path / "recipe.yaml"), output=tmp_path / "x"), records=1)
    assert (one.id, one.fields) == ("one", {"text": "things"})
    assert [outcome.state for outcome in one.outcomes] == ["done", "dropped", "done"]
    assert next(step for step in one.steps if step.step == "ask").fields["found"]
