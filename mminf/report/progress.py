"""The progress of a run: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mminf.engine.run import Run
from mminf.engine.stats import EngineStats, RunStats, StepStats
from mminf.states import EngineState

if TYPE_CHECKING:
    from rich.console import RenderableType

log = logging.getLogger("mminf")
LIVE_SECONDS = 0.5
LINE_SECONDS = 10.0


def show_progress(run: Run) -> Callable[[], None]:
    """Shows a run's progress until the returned function is called."""
    return show_stats(lambda: run.session.stats)


def show_stats(stats: Callable[[], RunStats]) -> Callable[[], None]:
    """Shows counters until the returned function is called; `stats` is called for every update."""
    return _show_live(stats) if sys.stderr.isatty() else _log_lines(stats)


def _show_live(stats: Callable[[], RunStats]) -> Callable[[], None]:
    from rich.console import Console
    from rich.live import Live
    from rich.logging import RichHandler

    console = Console(stderr=True)
    live = Live(
        get_renderable=lambda: render_progress(stats()),
        console=console,
        refresh_per_second=1 / LIVE_SECONDS,
        transient=False,
    )
    handler = RichHandler(console=console, show_path=False, markup=False, log_time_format="%H:%M:%S")
    plain, log.handlers = log.handlers, [handler]
    live.start()

    def stop() -> None:
        live.stop()
        log.handlers = plain

    return stop


def _log_lines(stats: Callable[[], RunStats]) -> Callable[[], None]:
    over = threading.Event()

    def work() -> None:
        while not over.wait(LINE_SECONDS):
            log.info("%s", progress_line(stats()))

    thread = threading.Thread(target=work, name="mminf-progress", daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()
        if (last := stats()).read:
            log.info("%s", progress_line(last))

    return stop


def progress_line(stats: RunStats) -> str:
    """Returns a run's progress as one line."""
    total = "" if stats.total is None else f"/{stats.total}"
    steps = ", ".join(f"{step.name} {step.done}" for step in stats.steps.values() if step.settled)
    calls = sum(step.calls for step in stats.steps.values())
    parts = [f"{stats.settled}{total} records", f"{_rate(stats):.1f}/s", f"{calls} calls", f"{stats.failed} failed"]
    if stats.resumed:
        parts.insert(1, f"{stats.resumed} resumed")
    if (left := eta(stats)) is not None:
        parts.append(f"{_clock(left)} left")
    loading = [engine.model for engine in _engines(stats) if engine.state is EngineState.LOADING]
    if loading:
        parts.append(f"loading {', '.join(loading)}")
    return "; ".join(parts) + (f" (passed: {steps})" if steps else "")


def render_progress(stats: RunStats) -> RenderableType:
    """Returns a run's progress: one row per step, one line per engine, and one line for the whole run."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step")
    for title in ("done", "dropped", "failed", "pass", "rows/s", "tokens/s", "calls", "cache hits"):
        table.add_column(title, justify="right")
    for step in stats.steps.values():
        table.add_row(*_cells(step, max(stats.seconds, 1e-9)))
    lines = [Text(_engine_line(engine, stats), style="dim") for engine in _engines(stats)]
    whole = Text(progress_line(stats).partition(" (")[0], style="bold")
    if stats.draining:
        whole.append("  draining", style="yellow")
    return Group(table, *lines, whole)


def _cells(step: StepStats, seconds: float) -> list[str]:
    passed = f"{step.done / step.settled:.0%}" if step.settled else ""
    counts = [step.done, step.dropped, step.failed]
    rates = [step.settled / seconds, step.tokens / seconds]
    return [
        step.name,
        *(str(count) if count else "" for count in counts),
        passed,
        *(f"{rate:.1f}" if rate else "" for rate in rates),
        *(str(count) if count else "" for count in (step.calls, step.cache_hits)),
    ]


def _engine_line(engine: EngineStats, stats: RunStats) -> str:
    tokens = (engine.prompt_tokens + engine.completion_tokens) / max(stats.seconds, 1e-9)
    state = f"{engine.state} ({engine.load_seconds:.0f} s)" if engine.state is EngineState.READY else engine.state
    return f"{engine.model} ({engine.backend}): {state}, {engine.in_flight} in flight, {tokens:,.0f} tokens/s"


def _engines(stats: RunStats) -> list[EngineStats]:
    """Returns the engines; engines that share a model are listed once."""
    return list({id(engine): engine for engine in stats.engines.values()}.values())


def _rate(stats: RunStats) -> float:
    return (stats.settled - stats.resumed) / max(stats.seconds, 1e-9)


def eta(stats: RunStats) -> float | None:
    """Returns the estimated remaining seconds, or None if there is no estimate yet."""
    rate = _rate(stats)
    # Records that fail at once say nothing about the speed of the others.
    worked = stats.settled - stats.resumed - stats.failed
    if stats.total is None or worked <= 0 or rate <= 0 or stats.settled >= stats.total:
        return None
    return (stats.total - stats.settled) / rate


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
