"""`mminf status` and `mminf show` on a terminal with 80 columns, and what a run prints at its end."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import EngineError, JournalError
from mminf.redact import keep_secret

from ..journal.versions import make_version_2
from . import in_terminal
from .conftest import FOLDER, RECIPE, make_run


def call(*arguments: str) -> str:
    return CliRunner().invoke(app, arguments).output


def test_status_names_the_unit_of_every_number(small: Path) -> None:
    lines = in_terminal.lines("status", str(small))
    text = "\n".join(lines)
    assert re.match(r"small: finished \(run 1, started \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, took \d+\.\d s\)", lines[0])
    assert "  source records: 41 in total, 0 pending" in lines
    assert "  rows: 13 done, 24 dropped, 4 failed" in lines
    assert " ".join(text.split()).count(f"dataset {small}/out.jsonl: 13 rows") == 1
    titles = next(number for number, line in enumerate(lines) if line.startswith("step "))
    assert lines[titles - 1].split() == ["prompt", "generated", "rows", "rows"]
    assert lines[titles].split() == ["step", "calls", "tokens", "tokens", "dropped", "failed"]
    (asked,) = [line.split() for line in lines if line.startswith("ask_a_question_about_the_image  ")]
    assert asked[1:] == ["18", "54", "1,890", "0", "3"]


def test_status_shows_why_records_were_dropped(small: Path) -> None:
    text = "\n".join(in_terminal.lines("status", str(small)))
    assert "\nrich: 19 rows dropped\n  16 rows: n <= 1\n   3 rows: kind is 'caption'\n" in text
    assert "\ndeduplicate: 5 rows dropped\n  5 rows: duplicate of …\n" in text
    assert "\nask_a_question_about_the_image: 3 rows failed\n  3 rows: scripted: the answer to … is refused" in text
    command = text.partition("to list such records:\n")[2]
    assert shlex.split(command.replace("\\\n", "")) == [
        *f"mminf list {small} --dropped --step rich --reason".split(),
        "n <= 1",
    ], "to paste"


def test_a_reason_of_many_values_has_an_example(
    tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[[str], Path]
) -> None:
    rows(*({"id": str(n), "text": f"{n} of {n + 1} in '{n}'"} for n in range(3)))
    script = tmp_path / "s.py"
    script.write_text("def answer(request):\n    raise ValueError(f'got {request.turns[-1].text}')\n")
    recipe = write_recipe(
        f"name: r\nengines: {{s: {{backend: scripted, script: {script}}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        "steps: [generate: {engine: s, prompt: '{{ text }}', writes: n, attempts: 1}]\nsinks: [jsonl: out.jsonl]\n"
    )
    mminf.run(recipe, output=tmp_path / "out")
    text = call("status", str(tmp_path / "out"))
    assert "3 rows: scripted: got … of … in …\n" in text, text
    assert re.search(r"such as: .*got \d of \d in '\d'", text), text


def test_many_reasons_of_a_step_are_summed_up(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    rows(*({"id": str(number), "kind": "k" * (number + 1)} for number in range(30)))
    # One condition per record, each with its own reason.
    conditions = " and ".join(f"kind != '{'k' * (number + 1)}'" for number in range(30))
    recipe = f'source: {{jsonl: rows.jsonl}}\nsteps: [keep: "{conditions}"]\nsinks: [jsonl: o.jsonl]\n'
    mminf.run(write_recipe(recipe), output=tmp_path / "out")
    text = call("status", str(tmp_path / "out"))
    assert text.count("1 row: kind is ") == 9
    assert "21 rows: 21 other reasons" in text


def test_status_as_json_has_the_same(small: Path) -> None:
    found = json.loads(call("status", str(small), "--json"))
    assert (found["done"], found["dropped"], found["failed"], found["total"], found["pending"]) == (13, 24, 4, 41, 0)
    assert 0 <= found["seconds"] < 60
    assert abs(found["started_at"] - time.time()) < 600
    assert found["datasets"] == [{"path": "out.jsonl", "rows": 13, "exists": True, "instead": None}]
    (rich,) = (reason for reason in found["reasons"] if reason["reason"] == "n <= 1")
    assert (rich["step"], rich["state"], rich["rows"]) == ("rich", "dropped", 16)
    assert rich["example"] in ("n 0 <= 1", "n 1 <= 1")
    assert sum(reason["rows"] for reason in found["reasons"]) == 28


def test_status_of_a_removed_dataset(small: Path) -> None:
    (small / "out.jsonl").unlink()
    assert "out.jsonl: 13 rows; the file was removed" in call("status", str(small))


def test_status_of_an_unfinished_run(tmp_path: Path) -> None:
    unfinished = RECIPE.replace("max_same_failures: null", "max_same_failures: null\nbudget: {calls: 9}")
    output = make_run(tmp_path, unfinished)
    text = call("status", str(output))
    assert "small: interrupted (run 1" in text
    assert re.search(r"source records: 41 in total, \d+ pending", text)
    assert "out.jsonl: not written yet" in text
    assert "run the same command to resume" in text
    mminf.run(tmp_path / "recipe.yaml", output=output, settings=["budget=null"])
    assert "calls and tokens are those of all 2 runs, rows those of the last one" in call("status", str(output))


def test_status_of_a_run_that_ended_with_an_error_says_which(tmp_path: Path) -> None:
    keep_secret("sk-12345678901234567890")
    script = "raise RuntimeError('no key sk-12345678901234567890')\n"
    (tmp_path / "fails.py").write_text(script)
    (tmp_path / "rows.jsonl").write_text('{"q": "a"}\n')
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "engines: {e: {backend: scripted, script: SCRIPT}}\nsource: {jsonl: rows.jsonl}\n"
        "steps: [{generate: {name: ask, engine: e, prompt: '{{ q }}'}}]\nsinks: [{jsonl: o.jsonl}]\n".replace(
            "SCRIPT", str(tmp_path / "fails.py")
        )
    )
    output = tmp_path / "out"
    with pytest.raises(EngineError):
        mminf.run(recipe, output=output)
    found = mminf.status(output)
    assert found["state"] == "failed"
    assert found["error"] is not None and "no key ***" in found["error"]
    assert "  ended by an error: " in call("status", str(output))
    mminf.run(recipe, output=output, settings=["engines.e={backend: scripted, answer: x}"])
    assert mminf.status(output)["error"] is None
    assert "ended by an error" not in call("status", str(output))


def test_a_run_has_no_error_of_its_caller(tmp_path: Path) -> None:
    try:
        raise ValueError("of the caller")
    except ValueError:
        output = make_run(tmp_path)
    assert mminf.status(output)["error"] is None


def test_status_of_a_killed_run_has_no_end(small: Path) -> None:
    with sqlite3.connect(small / "journal.sqlite") as connection:
        connection.execute("UPDATE meta SET value = 'running', checksum = NULL WHERE key = 'state'")
    make_version_2(small)  # without checksums
    found = api.status(small)
    assert (found["state"], found["seconds"]) == ("killed", None)
    assert re.match(r"small: killed \(run 1, started [\d-]+ [\d:]+\)\n", call("status", str(small)))


def test_a_journal_of_an_earlier_version_lacks_what_it_did_not_store(small: Path) -> None:
    make_version_2(small)
    with sqlite3.connect(small / "journal.sqlite") as connection:
        connection.execute("DELETE FROM meta WHERE key IN ('started_at', 'finished_at', 'datasets')")
        connection.execute("UPDATE rows SET reason = 'not n > 1 and kind (n=0, kind=1)' WHERE reason LIKE 'n %'")
    text = call("status", str(small))
    assert text.startswith("small: finished (run 1)\n")
    assert "16 rows: not n > 1 and kind\n" in text
    assert "rows: 13 done, 24 dropped, 4 failed" in text
    assert call("show", str(small), f"{FOLDER}/part-0/00002.jpg").startswith("== ")
    with sqlite3.connect(small / "journal.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'version'")
    with pytest.raises(JournalError, match="has journal version 1"):
        api.status(small)


def test_show_is_short(small: Path) -> None:
    lines = in_terminal.lines("show", str(small), f"{FOLDER}/part-0/00003.jpg")
    text = "\n".join(lines)
    assert text.startswith(f"== {FOLDER}/part-0/00003.jpg: dropped at\n   deduplicate: duplicate of")
    assert text.count("dropped at") == 1, "only the outcome in the last stage"
    assert "   kind: qa\n" in text
    assert "\n   n 3\n" in text, "numbers are on one line"
    assert "   [user] Ask about 1.\n   Be\n   … (29 characters)\n" in text
    assert "-> What is on the sofa?\n" in text
    assert "… (381 characters)" in text
    assert re.search(r"\(stop, 3 prompt tokens, 105 generated tokens, \d\.\d\d s\)", text)
    assert len(lines) < 30


def test_show_full_prints_everything(small: Path) -> None:
    text = "\n".join(in_terminal.lines("show", str(small), f"{FOLDER}/part-0/00003.jpg", "--full"))
    assert "[user] Ask about 1.\nBe\nbrief.\n" in text
    assert text.count("A cat, and a dog.\n") == 20
    assert "… (" not in text


STUBBORN = """
asked = 0
def answer(request):
    global asked
    asked += 1
    return f"answer number {asked}" if asked != 3 else "[[4]]"
"""


def test_attempts_are_collapsed(tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[[str], Path]) -> None:
    rows({"id": "a", "text": "it"})
    (tmp_path / "s.py").write_text(STUBBORN)
    recipe = """
name: r
engines: {s: {backend: scripted, script: SCRIPT}}
source: {jsonl: rows.jsonl}
steps:
  - score: {name: rate, engine: s, prompt: "Rate {{ text }}", attempts: 3, writes: n}
sinks: [jsonl: out.jsonl]
"""
    mminf.run(write_recipe(recipe.replace("SCRIPT", f"{tmp_path}/s.py")), output=tmp_path / "out")
    text = call("show", str(tmp_path / "out"), "a")
    assert "== rate of a, the last of 3 attempts\n" in text and "several runs" not in text
    assert "-> [[4]]" in text and "answer number" not in text
    full = call("show", str(tmp_path / "out"), "a", "--full")
    assert full.count("answer number") == 2
    assert "== rate of a, attempt 3 (run 1)" in full


@pytest.mark.parametrize("samples", [1, 2])
def test_calls_of_several_runs_are_told_apart(
    samples: int, tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[[str], Path]
) -> None:
    """With a prompt changed and changed back, the outcome has the answer of the first run again."""
    rows({"id": "a", "text": "it"})
    (tmp_path / "s.py").write_text("def answer(request):\n    return f'about {request.turns[-1].text}'\n")
    recipe = f"""
name: r
engines: {{s: {{backend: scripted, script: {tmp_path}/s.py}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: say, engine: s, prompt: "PROMPT {{{{ text }}}}", writes: n, n: {samples}, into: all, sampling: {{temperature: 1}}}}
sinks: [jsonl: out.jsonl]
"""
    for prompt in ("First", "Second", "First"):
        mminf.run(write_recipe(recipe.replace("PROMPT", prompt)), output=tmp_path / "out")
    text = call("show", str(tmp_path / "out"), "a")
    (fields,) = (outcome["fields"] for outcome in mminf.show(tmp_path / "out", "a")["outcomes"])
    assert fields["all"] == [{"n": "about First it"}] * samples
    first, second = text.index("== say of a in run 1\n"), text.index("== say of a in run 2\n")
    assert first < text.index("-> about First it") < second < text.index("-> about Second it")
    assert "calls of several runs: a run reuses the answers" in text


@pytest.mark.parametrize(
    ("wrong", "similar"),
    [
        (f"{FOLDER}/part-0/0003.jpg", f"{FOLDER}/part-0/00003.jpg"),
        ("…/part-0/00003.jpg", f"{FOLDER}/part-0/00003.jpg"),
        ("00003", f"{FOLDER}/part-0/00003.jpg"),
        (f"x{FOLDER}/part-0/00003.jpg", f"{FOLDER}/part-0/00003.jpg"),
        ("row.jsonl:41", "rows.jsonl:41"),
    ],
)
def test_an_unknown_id_names_similar_ones(small: Path, wrong: str, similar: str) -> None:
    with pytest.raises(JournalError, match=re.escape(f"no record {wrong!r}")) as error:
        api.show(small, wrong)
    assert f"similar ids: {similar}" in str(error.value)


def test_an_id_without_a_similar_one(small: Path) -> None:
    for wrong in ("%%%%", "\udcff", "", " "):
        with pytest.raises(JournalError, match="`mminf list` lists the records"):
            api.show(small, wrong)


def test_the_end_of_a_run_fits_into_80_columns(small: Path) -> None:
    recipe = str(small.parent / "recipe.yaml")
    shown = in_terminal.ESCAPE.sub("", in_terminal.run("run", recipe, "-o", str(small)))
    lines = shown[shown.rindex("finished: ") :].splitlines()
    assert lines[0] == "finished: 13 rows done, 24 dropped, 4 failed"
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines), lines
    text = " ".join(" ".join(lines).split())
    assert f"to list all failures: mminf list {small} --failed" in text
    assert f"to see why records were dropped: mminf status {small}" in text


@pytest.mark.parametrize("command", ["recipes", "steps", "doctor"])
def test_other_lists_fit_as_well(command: str) -> None:
    assert len(in_terminal.lines(command)) > 10


def test_errors_break_between_words(tmp_path: Path) -> None:
    shown = in_terminal.lines("status", "a_folder_that_does_not_exist/and_has_a_long_name")
    assert shown[0].startswith("error: no run in ")
    assert len(shown) > 1


def test_the_records_of_an_input_that_can_not_be_counted_are_known_at_the_end(
    tmp_path: Path, write_recipe: Callable[[str], Path]
) -> None:
    (tmp_path / "rows.csv").write_text("id,text\na,x\nb,y\nc,z\n")
    recipe = write_recipe(
        "name: table\nsource: {csv: rows.csv}\nsteps:\n  - keep: text != 'y'\nsinks: [{jsonl: o.jsonl}]\n"
    )
    api.run(recipe, output=tmp_path / "out")
    found = api.status(tmp_path / "out")
    assert (found["total"], found["pending"], found["done"], found["dropped"]) == (3, 0, 2, 1)
