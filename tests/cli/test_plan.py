"""`mminf plan`: what it counts with and without an input, and the table of a probe."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import mminf
from mminf.cli.main import app

RECIPE = """
name: planned
engines:
  m: {backend: scripted, script: SCRIPT, price: {input: 100, output: 1000, currency: EUR}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: ask, engine: m, prompt: "List {{ n }}", extract: {lines: found, item: it}}
  - check: {name: good, engine: m, for_each: found, prompt: "Good? {{ it }}"}
  - keep: n > 3 or not found
  - repeat:
      times: 3
      until: said == "x"
      steps:
        - generate: {name: more, engine: m, prompt: "More {{ n }}", writes: said}
sinks: [{jsonl: out.jsonl}]
"""
SCRIPT = """
def answer(request):
    text = request.turns[-1].text
    return "Yes" if text.startswith("Good") else "1. One thing\\\\n2. Another thing" if text.startswith("List") else "x"
"""


@pytest.fixture
def plan(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs the command over 40 rows, or another number of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT.replace("\\\\n", "\\n"))
    path = write_recipe(RECIPE.replace("SCRIPT", str(tmp_path / "script.py")))

    def run(*arguments: str, records: int = 40) -> Any:
        rows(*({"id": f"r{n}", "n": n} for n in range(records)))
        return CliRunner().invoke(app, ["plan", str(path), *arguments])

    return run


def test_calls_without_an_input_that_exists(plan: Callable[..., Any], tmp_path: Path) -> None:
    shown = plan("--set", "source.jsonl=gone.jsonl")
    assert shown.exit_code == 0
    assert f"the number of records is unknown: input {tmp_path / 'gone.jsonl'} does not exist" in shown.output
    assert "calls without retries (per record)\n" in shown.output


def test_calls_of_an_input(plan: Callable[..., Any]) -> None:
    lines = plan("--limit", "30").output.splitlines()
    assert "calls per record: at most 1004 (at least 2; more if calls are retried)" in lines
    assert "input: 30 records" in lines
    start = lines.index("calls without retries (per record; in the run)")
    assert [line.split() for line in lines[start + 1 : start + 5]] == [
        ["ask", "m", "1", "at", "most", "30"],
        ["good", "m", "1", "to", "1000", "at", "most", "30,000"],
        ["more", "m", "1", "to", "3", "in", "3", "rounds", "at", "most", "90"],
        ["total", "at", "most", "30,120"],
    ]


def test_a_probe_prints_its_figures_and_the_estimate(plan: Callable[..., Any], tmp_path: Path) -> None:
    shown = plan("--probe", "20", "--output", "out")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.startswith("stage") for line in lines), "the plan is printed without --probe"
    start = next(number for number, line in enumerate(lines) if line.startswith("probe: "))
    assert lines[start].startswith("probe: 20 records, 1")
    assert lines[start + 1].split() == ["step", "reached", "passed", "calls", "retries", "prompt", "answer", "s/call"]
    assert lines[start + 2].split()[:4] == ["ask", "20", "20", "20"], lines[start:]
    assert lines[start + 3].split()[:4] == ["good", "20", "20", "40"]
    text = "\n".join(lines[start:])
    assert "estimate for 40 records, from 20 drawn over the whole input" in text
    assert "range (90 %)" in text
    assert " EUR" in text
    assert lines[-1].endswith(" of the calls are made; `mminf run` with the same options finds them in out")
    assert (tmp_path / "out" / "journal.sqlite").is_file()


def test_a_probe_of_an_empty_input(plan: Callable[..., Any]) -> None:
    shown = plan("--probe", "5", "--output", "out", records=0)
    assert shown.exit_code == 1
    assert "no estimate: the input contains no record" in shown.output


def test_a_probe_of_one_record_has_no_range(plan: Callable[..., Any]) -> None:
    shown = plan("--probe", "1", "--output", "out")
    assert "one record gives no range" in shown.output


def test_a_probe_needs_a_record(plan: Callable[..., Any]) -> None:
    assert plan("--probe", "0").exit_code == 2


def test_status_shows_the_cost(plan: Callable[..., Any]) -> None:
    plan("--probe", "20", "--output", "out")
    lines = CliRunner().invoke(app, ["status", "out"]).output.splitlines()
    assert lines[0].startswith("planned: interrupted (run 1, ")
    (spent,) = [line for line in lines if line.startswith("  so far: ")]
    (whole,) = [line for line in lines if line.startswith("  all records, in proportion: about ")]
    assert " calls, " in spent and " answer tokens, " in spent and spent.endswith(" EUR")
    assert whole.endswith(" EUR") and whole != spent


def test_status_tells_up_to_which_step_the_cost_of_all_records_is(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_recipe(
        "name: staged\nengines: {m: {backend: scripted, answer: 'x {seed}'}}\nsource: {jsonl: rows.jsonl}\n"
        "budget: {calls: 30}\nsteps:\n"
        "  - generate: {name: ask, engine: m, prompt: 'Say {{ n }}'}\n"
        "  - deduplicate: {reads: n}\n"
        "  - generate: {name: more, engine: m, prompt: 'More {{ n }}'}\n"
        "sinks: [{jsonl: out.jsonl}]\n"
    )
    rows(*({"id": f"r{n}", "n": str(n)} for n in range(100)))
    output = str(tmp_path / "out")
    mminf.run(path, output=output)
    said = CliRunner().invoke(app, ["status", output]).output
    assert "all records until deduplicate, in proportion: about 100 calls" in said
    mminf.run(path, output=output, settings=["budget=null"])
    assert "in proportion" not in CliRunner().invoke(app, ["status", output]).output


def test_an_input_without_the_fields_that_steps_read(rows: Callable[..., Path]) -> None:
    path = rows({"id": "a", "text": "x"})
    result = CliRunner().invoke(app, ["plan", "detailed_instruction", "--input", str(path)])
    assert "reads field 'description', but nothing provides it" in str(result.exception)


def test_a_plan_imports_neither_torch_nor_an_engine(images: Path) -> None:
    if any(Path("/dev").glob("nvidia*")):
        pytest.skip("this machine has a GPU: torch tells which")
    code = (
        "import sys; sys.argv = ['mminf', 'plan', 'oasis', '--input', sys.argv[1]]\n"
        "from mminf.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print({'torch', 'transformers', 'swift', 'vllm', 'datasets', 'pandas'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(images)], capture_output=True, text=True)
    assert found.stdout.endswith("set()\n"), found.stdout + found.stderr
