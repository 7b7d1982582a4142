"""`mminf render` on a run: what a step would ask about a record that the run has."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from mminf.cli.main import app

from .typed import error_of, output_of

RECIPE = """
name: r
source: {jsonl: rows.jsonl}
engines: {s: {backend: scripted, answer: hi}}
steps:
  - set: {twice: n * 2}
  - keep: n > 5
  - generate: {engine: s, prompt: "say {{ twice }} and {{ n }}", writes: x}
sinks: [jsonl: o.jsonl]
"""


def test_a_run_that_dropped_everything_shows_a_dropped_record(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('not json\n{"id": "a", "n": 1}\n{"id": "b", "n": 3}\n')
    recipe, output = tmp_path / "r.yaml", str(tmp_path / "out")
    recipe.write_text(RECIPE)
    assert CliRunner().invoke(app, ["run", str(recipe), "-o", output]).exit_code == 1, "no row"
    # `keep` does not read what `set` writes, so that `set` never ran for these records.
    assert "say <twice> and 1" in output_of("render", str(recipe), "generate", "--output", output)
    assert "say <twice> and 3" in output_of("render", str(recipe), "generate", "--output", output, "--record", "b")
    assert "no record 'c'" in error_of("render", str(recipe), "generate", "--output", output, "--record", "c")


def test_one_engine_is_not_one_engines(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert "valid (3 steps, 1 engine)" in output_of("validate", str(tmp_path / "r.yaml"))


def test_the_note_of_a_recipe_is_shown(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"note: 2 undecided\n{RECIPE}")
    assert "valid (3 steps, 1 engine)\nnote: 2 undecided\n" in output_of("validate", str(tmp_path / "r.yaml"))
