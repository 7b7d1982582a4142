"""The progress of a run: every number with its unit, the remaining time always visible, in terminals and elsewhere."""

from __future__ import annotations

import io
import itertools
import logging
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import mminf
from mminf.display import progress
from mminf.display.progress import render_progress, show_stats
from mminf.display.rates import WINDOW, Rates
from mminf.display.table import engine_line, eta, progress_line, progress_lines
from mminf.engine.stats import EngineStats, RunStats, StepStats
from mminf.layout import columns
from mminf.states import EngineState

from ..cli import in_terminal

NOW = 1000.0
"""What the clock of a run says in tests that read times."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the clock of runs, so that a slow machine changes no time that a test reads."""
    monkeypatch.setattr("mminf.engine.stats.time", SimpleNamespace(monotonic=lambda: NOW))


def stats(**counts: int) -> RunStats:
    made = RunStats(
        {"hook": StepStats("hook", done=3, calls=4)}, {"vlm": EngineStats("vlm", "m", "b", state=EngineState.LOADING)}
    )
    made.started = NOW - 10
    for name, value in counts.items():
        setattr(made, name, value)
    return made


def many(steps: int = 26, engines: int = 3) -> RunStats:
    """Counters of a run with many steps with long names, of which every second has had rows."""
    made = stats(total=2_000_000, settled=345_678, failed=12, resumed=1000)
    made.steps = {
        name: StepStats(name, done=1_234_567 if number % 2 else 0, calls=number, tokens=number)
        for number, name in enumerate(f"a_step_with_the_name_{number}" for number in range(steps))
    }
    made.engines = {
        str(number): EngineStats(
            str(number), f"organisation/a_model_with_a_long_name_{number}", "vllm", EngineState.READY, in_flight=number
        )
        for number in range(engines)
    }
    return made


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("total", [51, 100_000_000])
def test_an_unfinished_run_is_not_said_to_have_no_time_left(total: int) -> None:
    line = progress_line(stats(total=total, settled=total - 1))
    assert "left" in line
    assert "0:00" not in line


@pytest.mark.usefixtures("clock")
def test_time_left_is_told_from_records_that_were_worked_on() -> None:
    left = eta(stats(total=100, settled=50))
    assert left is not None
    assert 9 < left < 11
    assert eta(stats(total=100, settled=1, failed=1)) is None
    assert eta(stats(total=100, settled=50, resumed=50)) is None
    assert eta(stats(settled=50)) is None


@pytest.mark.usefixtures("clock")
def test_the_time_left_names_the_step_that_it_reaches_up_to() -> None:
    shown = stats(total=100, settled=50)
    shown.begin(100, "deduplicate")
    assert "; 0:10 left until deduplicate; " in progress_line(shown)


@pytest.mark.usefixtures("clock")
def test_a_line_says_what_goes_on() -> None:
    line = progress_line(stats(total=100, settled=50, resumed=10, failed=2))
    assert line == (
        "50/100 source records; 0:12 left; 4.0 source records/s; 10 resumed; 4 calls; 2 rows failed; loading m "
        "(rows passed: hook 3)"
    )
    assert "7 more steps, " in progress_line(many())
    assert len(progress_line(many(400))) < 400


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("height", [3, 8, 24, 60])
@pytest.mark.parametrize("engines", [1, 3, 20])
def test_the_time_left_is_visible_in_every_window(width: int, height: int, engines: int) -> None:
    made = many(engines=engines)
    rates = Rates()
    rates.note(made)
    parts, whole = progress_lines(made, rates, width, height)
    assert len(parts) + len(whole) <= max(height, len(whole))
    assert all(columns(line) <= width for line in [*parts, *whole])
    assert re.match(r"345,678/2,000,000 source records, 0:\d\d left, ", whole[0])
    assert height < 24 or any(line.startswith("a_step") for line in parts)
    assert height < 60 or sum(line.startswith("a_step") for line in parts) == 26


@pytest.mark.usefixtures("clock")
def test_steps_at_work_are_shown_and_the_others_are_counted() -> None:
    made = many()
    rates = Rates()
    rates.note(made)
    parts, _ = progress_lines(made, rates, 200, 20)
    shown = [line.split()[0] for line in parts if line.startswith("a_step")]
    assert shown and all(int(name.rpartition("_")[2]) % 2 for name in shown), "those with rows"
    assert shown == sorted(shown, key=lambda name: int(name.rpartition("_")[2])), "in their order"
    (rest,) = [line for line in parts if "more steps" in line]
    assert rest.startswith(f"… {26 - len(shown)} more steps; 13 without rows so far")


@pytest.mark.usefixtures("clock")
def test_every_number_has_a_unit() -> None:
    made = stats(total=100, settled=50)
    made.steps["hook"] = StepStats("hook", done=30, dropped=20, failed=10, calls=70, cache_hits=5, tokens=600)
    rates = Rates()
    rates.note(made)
    (first, second, row, _), whole = progress_lines(made, rates, 80, 24)
    assert first.split() == ["rows", "rows", "rows", "share", "generated", "cache"]
    assert second.split() == ["step", "passed", "dropped", "failed", "passed", "rows/s", "tokens/s", "calls", "hits"]
    assert row.split() == ["hook", "30", "20", "10", "50%", "6.0", "60.0", "70", "5"]
    assert whole == ["50/100 source records, 0:10 left, 5.0 source records/s, 10 s so far"]
    narrow, _ = progress_lines(made, rates, 45, 24)
    assert narrow[1].split() == ["step", "passed", "dropped", "failed", "rows/s", "tokens/s"]


@pytest.mark.usefixtures("clock")
def test_only_an_engine_at_work_has_a_rate() -> None:
    made = stats()
    engine = EngineStats("e", "m", "b", prompt_tokens=1000, completion_tokens=200)
    made.engines = {"e": engine}
    rates = Rates()
    rates.note(made)
    assert engine_line(engine, rates) == "m (b): not loaded"
    engine.enter(EngineState.LOADING)
    assert engine_line(engine, rates) == "m (b): loading"
    engine.count_load(200.0)
    assert engine_line(engine, rates) == "m (b): ready, loaded in 3 min 20 s, no call in flight"
    engine.begin_call()
    line = engine_line(engine, rates)
    assert line == "m (b): 1 call in flight, 100 prompt tokens/s, 20 generated tokens/s"


@pytest.mark.usefixtures("clock")
def test_rates_are_those_of_the_last_seconds() -> None:
    made = stats()
    made.steps["hook"].done = 1000
    rates = Rates()
    for seconds, done in ((100, 1000), (110, 1000), (120, 1030), (100 + WINDOW, 1060), (111 + WINDOW, 1093)):
        made.started = NOW - seconds
        made.steps["hook"].done = done
        rates.note(made)
    assert rates.step("hook")[0] == pytest.approx(93 / (WINDOW + 1), rel=0.01)
    assert rates.step("gone") == (0.0, 0.0)
    assert Rates().step("hook") == (0.0, 0.0)


@pytest.mark.usefixtures("clock")
def test_the_display_ends_with_the_whole_run() -> None:
    made = many()
    made.drain()
    console = Console(file=io.StringIO(), width=80, height=20, force_terminal=False)
    console.print(render_progress(made, Rates(), console))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 19
    assert lines[-1] == "finishing the calls in flight"
    assert any("0:47 left" in line for line in lines[-3:])


MANY = "".join(
    f"  - generate: {{name: ask_{number}, engine: s, prompt: 'Ask {number} {{{{ id }}}}', writes: answer_{number}}}\n"
    for number in range(26)
)


def test_a_run_with_26_steps_in_a_terminal(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    rows(*({"id": str(number)} for number in range(30)))
    (tmp_path / "s.py").write_text("import time\ndef answer(r):\n    time.sleep(0.002)\n    return 'hi there'\n")
    recipe = write_recipe(
        f"window: 4\nengines: {{s: {{backend: scripted, script: {tmp_path}/s.py}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        f"steps:\n{MANY}sinks: [jsonl: o.jsonl]\n"
    )
    shown = in_terminal.run("run", str(recipe), "-o", str(tmp_path / "out"), height=18)
    frames = [in_terminal.ESCAPE.sub("", frame) for frame in shown.split("\x1b[1A\x1b[2K") if "source records" in frame]
    assert len(frames) > 2
    assert any(" left, " in frame for frame in frames)
    for frame in frames[1:]:
        # rich draws the ellipsis of a display that is cut off as its last line
        assert "more steps; " in frame or frame is frames[-1]
        assert len(frame.partition("finished: ")[0].splitlines()) <= 19


class Notebook:
    """IPython as the kernel of a notebook has it."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, dict[str, str], str]] = []

    def get_ipython(self) -> object:
        return SimpleNamespace(kernel=object())

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module: Any = ModuleType("IPython")
        module.get_ipython = self.get_ipython
        display: Any = ModuleType("IPython.display")
        display.display = lambda data, *, raw, display_id: self.shown.append(("new", data, display_id))
        display.update_display = lambda data, *, raw, display_id: self.shown.append(("update", data, display_id))
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setitem(sys.modules, "IPython.display", display)


RECIPE = "source: {jsonl: rows.jsonl}\nsteps: [keep: n > 1]\nsinks: [jsonl: o.jsonl]\n"


def test_a_cell_of_a_notebook_has_one_display_that_is_updated(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook()
    notebook.install(monkeypatch)
    rows({"id": "a", "n": 1}, {"id": "b", "n": 2})
    mminf.run(write_recipe(RECIPE), output=tmp_path / "out", progress=True)
    assert [kind for kind, _, _ in notebook.shown][:1] == ["new"]
    assert {kind for kind, _, _ in notebook.shown[1:]} == {"update"}
    assert len({name for _, _, name in notebook.shown}) == 1
    last = notebook.shown[-1][1]
    assert "2/2 source records" in last["text/plain"]
    assert last["text/html"].startswith("<pre>") and "<" not in last["text/html"][5:-6]


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress.is_notebook()
    notebook = Notebook()
    notebook.install(monkeypatch)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())
    assert not progress.is_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not progress.is_notebook()


@pytest.mark.usefixtures("clock")
def test_elsewhere_there_is_a_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.02)
    settled = itertools.count(50)
    stop = show_stats(lambda: stats(total=1000, settled=next(settled), read=60))
    time.sleep(0.3)
    stop()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3
    numbers = [int(line.split()[1].removesuffix("/1,000")) for line in lines]  # after the time
    assert numbers == sorted(set(numbers)) and all("/1,000 source records; " in line for line in lines)


@pytest.mark.usefixtures("clock")
def test_a_program_that_logs_gets_the_lines_in_its_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger="mminf"):
        show_stats(lambda: stats(total=100, settled=50, read=60))()
    assert [record.name for record in caplog.records] == ["mminf.progress"]
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("clock")
def test_a_run_that_has_read_nothing_prints_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_stats(stats)()
    assert capsys.readouterr().err == ""


def test_lines_that_say_the_same_are_printed_now_and_then() -> None:
    unchanged = progress.Unchanged(2)
    shown = [line for line in ("a", "a", "a", "a", "a", "b", "b", "a") if not unchanged.hides(line)]
    assert shown == ["a", "a", "b", "a"]
