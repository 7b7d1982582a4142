"""`mminf new-plugin`: every kind works as it is written, and the docs show the same code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf.cli.main import app
from mminf.errors import UsageError
from mminf.plugin.kinds import KINDS
from mminf.plugin.scaffold import fill, write_plugin

from ..conftest import ROOT

pytestmark = pytest.mark.usefixtures("own_plugins")
WANTED = {
    "step": [{"shout_step": "A CUP"}, {"shout_step": "A RED CUP"}, {"shout_step": "TWO CUPS"}],
    "model-step": [{"shout_model_step": "red"}] * 2,
    "dataset-step": [{"text": "a cup"}, {"text": "two cups"}],
    "source": [{"text": "a cup"}, {"text": "a red cup"}, {"text": "two cups"}],
    "backend": [
        {"answer": "You said: a cup"},
        {"answer": "You said: a red cup"},
        {"answer": "You said: two cups"},
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_works_as_it_is_written(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"shout_{kind.replace('-', '_')}"
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["new-plugin", name, "--kind", kind])
    assert shown.exit_code == 0, shown.output
    assert f"mminf run {name}.yaml" in shown.output
    result = mminf.run(f"{name}.yaml", output="out")
    assert result.state == "finished", result
    if kind == "sink":
        assert (tmp_path / "out" / f"{name}.csv").read_text().splitlines() == [
            "text,length",
            "a cup,5",
            "a red cup,9",
            "two cups,8",
        ]
        return
    rows = [json.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines()]
    assert [{key: row[key] for key in wanted} for row, wanted in zip(rows, WANTED[kind], strict=True)] == WANTED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_docs_show_what_is_written_in_at_most_40_lines(kind: str) -> None:
    code = fill(KINDS[kind].plugin, "shout")
    assert len(code.splitlines()) <= 40
    assert f"```python\n{code}```" in (ROOT / "docs" / "plugins.md").read_text()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("mine\n")
    assert [path.name for path in write_plugin("loud_one", tmp_path)] == ["loud_one.py", "loud_one.yaml"]
    assert (tmp_path / "rows.jsonl").read_text() == "mine\n"
    with pytest.raises(UsageError, match="loud_one.py exists already"):
        write_plugin("loud_one", tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("jsonl", "source", "source 'jsonl' exists already"),
        ("parquet", "sink", "sink 'parquet' exists already"),
        ("vllm", "backend", "backend 'vllm' exists already"),
        ("score", "model-step", "step 'score' exists already"),
        ("Shout", "step", "not a valid name"),
        ("json", "step", "'json' is a module or a keyword of Python, which json.py would hide"),
        ("lambda", "sink", "'lambda' is a module or a keyword of Python"),
        ("shout", "sinks", "there is no kind of plugin 'sinks'; did you mean 'sink'"),
    ],
)
def test_bad_names_and_kinds_are_told(name: str, kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        write_plugin(name, tmp_path, kind)
    assert not list(tmp_path.iterdir())


def test_a_bug_names_the_plugins_line_and_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plugin, recipe, _ = write_plugin("buggy", tmp_path)
    plugin.write_text(plugin.read_text().replace(".upper()", "[99]"))
    line = next(n for n, text in enumerate(plugin.read_text().splitlines(), 1) if "[99]" in text)
    recipe.write_text(recipe.read_text().replace("reads: text,", "reads: text, attempts: 3,"))
    result = mminf.run(recipe, output="out")
    reasons = {reason for _, _, reason in result.failures}
    assert reasons == {f"IndexError: string index out of range (buggy.py:{line})"}
    shown = CliRunner().invoke(app, ["show", "out", result.failures[0][0]])
    assert f"(buggy.py:{line})" in shown.output
