"""`mminf export` writes rows only for a recipe that would compute them again in the same way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import JournalError
from mminf.journal import Journal

RECIPE = """name: scored
engines: {llm: {backend: scripted, script: SCRIPT, model: one}, unused: {backend: scripted, answer: a}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {engine: llm, prompt: "Rate {{ text }}", writes: rating, sampling: {temperature: 0.5}}
  - set: {length: text | length}
  - keep: length != 1
sinks: [{jsonl: out.jsonl}]
"""


@pytest.fixture
def finished(tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]) -> Path:
    """The recipe of a run into `out`."""
    (tmp_path / "say.py").write_text("def answer(request):\n    return 'good'\n")
    rows(*({"id": str(n), "text": "x" * n} for n in range(1, 5)))
    recipe = write_recipe(RECIPE.replace("SCRIPT", str(tmp_path / "say.py")))
    assert mminf.run(recipe, output=tmp_path / "out").counts.done == 3
    return recipe


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("steps.keep=length == 4", "other settings of step 'keep'"),
        ("steps.set.length=text | upper", "other settings of step 'set'"),
        ("steps.generate.sampling.temperature=0.9", "other settings of step 'generate'"),
        ("steps.generate.prompt=Rate it", "other settings of step 'generate'"),
        ("seed=7", "another seed"),
        ("engines.llm.model=two", "another model of engine 'llm'"),
        ("steps.set=false", "other steps"),
        ("early_drop=false", "another early_drop"),
        ("engines.llm.reasoning='off'", "another reasoning of engine 'llm'"),
    ],
)
def test_rows_of_another_recipe_are_refused(setting: str, told: str, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=told):
        api.export(mminf.load(finished, settings=[setting]), tmp_path / "out", to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_answers_of_another_script_are_refused(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("def answer(request):\n    return 'bad'\n")
    recipe = mminf.load(finished, settings=[f"engines.llm.script={tmp_path}/other.py"])
    with pytest.raises(JournalError, match="another script of engine 'llm'"):
        api.export(recipe, tmp_path / "out", to=tmp_path / "to")


def test_rows_of_another_input_are_told(finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "more.jsonl").write_text('{"id": "9", "text": "xx"}\n')
    api.export(mminf.load(finished, input=tmp_path / "rows.jsonl"), tmp_path / "out", to=tmp_path / "to")
    assert "the rows are of" not in caplog.text
    api.export(mminf.load(finished, input=tmp_path / "more.jsonl"), tmp_path / "out", to=tmp_path / "to")
    assert f"the rows are of {tmp_path}/rows.jsonl, the input of the last run, not of" in caplog.text


def test_runs_of_earlier_versions_are_compared_by_their_recipes(finished: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "out", write=True) as journal:
        journal.meta.set("fingerprints", "[]")
    assert api.export(mminf.load(finished), tmp_path / "out", to=tmp_path / "to")
    with pytest.raises(JournalError, match="other settings of step 'keep'"):
        api.export(mminf.load(finished, settings=["steps.keep=length == 4"]), tmp_path / "out", to=tmp_path / "to")


def test_steps_that_differ_are_listed(finished: Path, tmp_path: Path) -> None:
    settings = ["steps.keep=length == 4", "steps.generate.prompt=Rate it"]
    with pytest.raises(JournalError, match="other settings of the steps 'generate', 'keep'"):
        api.export(mminf.load(finished, settings=settings), tmp_path / "out")


@pytest.mark.parametrize(
    "setting",
    [
        "engines.unused.model=two",
        "sinks=[{jsonl: other.jsonl}]",
        "budget={calls: 1}",
        "engines.llm.max_concurrency=3",
        "limit=2",
        "description=another",
    ],
)
def test_what_rows_do_not_depend_on_may_differ(setting: str, finished: Path, tmp_path: Path) -> None:
    recipe = mminf.load(finished, settings=[setting])
    assert [item.rows for item in api.export(recipe, tmp_path / "out", to=tmp_path / "to")] == [3]


def test_a_run_that_ended_before_its_first_record_has_nothing_to_export(finished: Path, tmp_path: Path) -> None:
    changed = mminf.load(finished, settings=["steps.keep=length == 4"])
    with Journal(tmp_path / "out", write=True) as journal:
        api.prepare(changed, output=tmp_path / "out").begin(journal)
    with pytest.raises(JournalError, match="ended before its first record"):
        api.export(changed, tmp_path / "out", to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_an_export_without_a_row_has_an_exit_code(finished: Path, tmp_path: Path) -> None:
    """Rows of conversations can't be made of these records."""
    arguments = ["export", str(finished), "-o", str(tmp_path / "out"), "--to", str(tmp_path / "to"), "--set"]
    failed = CliRunner().invoke(app, [*arguments, "sinks=[{llava: x.json}]"])
    assert failed.exit_code == 1 and "3 records left out" in failed.output, failed.output
    assert CliRunner().invoke(app, [*arguments, "sinks=[{jsonl: x.jsonl}]"]).exit_code == 0


def test_a_run_with_the_change_makes_the_export_possible(finished: Path, tmp_path: Path) -> None:
    recipe = mminf.load(finished, settings=["steps.keep=length == 4"])
    assert mminf.run(recipe, output=tmp_path / "out", force=True).counts.done == 1
    assert [item.rows for item in api.export(recipe, tmp_path / "out", to=tmp_path / "to")] == [1]
