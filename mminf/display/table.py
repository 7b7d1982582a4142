"""The progress of a run as text: a table for a window, and one line for a log.

Every number has one meaning. A source record counts when it is final, with all its children; the rows of a step are the
records that reach it, so children count. The rates of steps and engines are those of the last seconds (`Rates`). The
rate of source records, from which the remaining time is estimated, is the average since the run began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mminf.cost.eta import time_left
from mminf.display.rates import Rates
from mminf.engine.stats import EngineStats, RunStats, StepStats
from mminf.layout import amount, columns, duration, fit, fit_name, table, wrap
from mminf.states import EngineState

NAME_COLUMNS = 24
"""Columns of the terminal that the names of steps get before a less important number is left out."""
_STEPS_IN_LINE = 6


class _Column(NamedTuple):
    """A column of the table.

    Attributes:
        rank: the columns with the highest rank are left out first in a narrow window; 0: never.
    """

    title: str
    cell: Callable[[StepStats, Rates], str]
    rank: int = 0


def _count(number: float) -> str:
    return f"{number:,.0f}" if number else ""


def _per_second(rate: float) -> str:
    return f"{rate:,.1f}" if rate < 100 and round(rate, 1) else _count(round(rate))


_COLUMNS = (
    _Column("rows\npassed", lambda step, _: _count(step.done)),
    _Column("rows\ndropped", lambda step, _: _count(step.dropped)),
    _Column("rows\nfailed", lambda step, _: _count(step.failed)),
    _Column("share\npassed", lambda step, _: f"{step.done / step.settled:.0%}" if step.settled else "", 2),
    _Column("rows/s", lambda step, rates: _per_second(rates.step(step.name)[0])),
    _Column("generated\ntokens/s", lambda step, rates: _per_second(rates.step(step.name)[1])),
    _Column("calls", lambda step, _: _count(step.calls), 1),
    _Column("cache\nhits", lambda step, _: _count(step.cache_hits), 3),
)


def progress_lines(stats: RunStats, rates: Rates, width: int, height: int) -> tuple[list[str], list[str]]:
    """Returns the lines about steps and engines, and those about the whole run, which are always complete.

    Together, they have at most the height of the window. Of the steps and engines, those that work now come first.
    """
    whole = [line for part in _whole(stats) for line in wrap(part, width, "  ")]
    room = height - len(whole)
    engines = _engine_lines(stats, rates, width, max(1, room // 3))
    parts = [*_step_lines(stats, rates, width, room - len(engines)), *engines]
    return parts[: max(0, room)], whole


def progress_line(stats: RunStats) -> str:
    """Returns a run's progress as one line."""
    parts = [count_source(stats)]
    parts += _left(stats)
    parts.append(f"{_average(stats):.1f} source records/s")
    if stats.resumed:
        parts.append(f"{stats.resumed:,} resumed")
    parts += [amount(sum(step.calls for step in stats.steps.values()), "call"), f"{amount(stats.failed, 'row')} failed"]
    if loading := [engine.model for engine in engines_of(stats) if engine.state is EngineState.LOADING]:
        parts.append(f"loading {', '.join(loading)}")
    passed = [f"{step.name} {step.done:,}" for step in stats.steps.values() if step.settled]
    if len(passed) > _STEPS_IN_LINE:
        half = _STEPS_IN_LINE // 2
        passed = [*passed[:half], amount(len(passed) - 2 * half, "more step"), *passed[-half:]]
    return "; ".join(parts) + (f" (rows passed: {', '.join(passed)})" if passed else "")


def _left(stats: RunStats) -> list[str]:
    """Returns the time left, if there is an estimate; up to a step over all records, if models are called after it."""
    left = eta(stats)
    until = "" if stats.barrier is None else f" until {stats.barrier}"
    return [] if left is None else [f"{clock(max(1.0, left))} left{until}"]


def _whole(stats: RunStats) -> list[str]:
    parts = [count_source(stats)]
    parts += _left(stats)
    parts += [f"{_average(stats):.1f} source records/s", f"{duration(stats.seconds)} so far"]
    if stats.resumed:
        parts.append(f"{stats.resumed:,} resumed")
    if stats.failed:
        parts.append(f"{amount(stats.failed, 'row')} failed")
    return [", ".join(parts), *(["finishing the calls in flight"] if stats.draining else [])]


def count_source(stats: RunStats) -> str:
    """Returns how many source records are final, of how many."""
    total = "" if stats.total is None else f"/{stats.total:,}"
    return f"{stats.settled:,}{total} source records"


# Steps


def _step_lines(stats: RunStats, rates: Rates, width: int, height: int) -> list[str]:
    steps = list(stats.steps.values())
    shown = _most_active(steps, rates, height - 2)  # two lines of titles
    used = _columns(shown, rates, width)
    room = max(8, width - sum(_width(column, shown, rates) + 2 for column in used))
    rows = [[fit_name(step.name, room), *(column.cell(step, rates) for column in used)] for step in shown]
    lines = table(["step", *(column.title for column in used)], rows, width)
    if rest := len(steps) - len(shown):
        lines.append(fit(f"… {amount(rest, 'more step')}; {_rest(steps, shown)}", width))
    return lines


def _titles(used: Sequence[_Column]) -> list[list[str]]:
    return [
        ["", *(column.title.split("\n")[line % (1 + column.title.count("\n"))] for column in used)] for line in (0, 1)
    ]


def _columns(steps: Sequence[StepStats], rates: Rates, width: int) -> list[_Column]:
    """Returns the columns that leave room for the names of the steps."""
    names = min(NAME_COLUMNS, max((columns(step.name) for step in steps), default=0))
    used = list(_COLUMNS)
    while names + sum(_width(column, steps, rates) + 2 for column in used) > width:
        least = max(used, key=lambda column: column.rank)
        if not least.rank:
            break
        used.remove(least)
    return used


def _width(column: _Column, steps: Sequence[StepStats], rates: Rates) -> int:
    return max(columns(text) for text in [*column.title.split("\n"), *(column.cell(step, rates) for step in steps)])


def _most_active(steps: Sequence[StepStats], rates: Rates, number: int) -> list[StepStats]:
    """Returns the steps that fit: those at work now first, then those that have had rows; in their order."""
    if len(steps) <= number:
        return list(steps)

    def activity(step: StepStats) -> tuple[bool, bool, int]:
        return rates.step(step.name) != (0.0, 0.0), bool(step.calls), step.settled

    most = sorted(steps, key=activity, reverse=True)[: max(1, number - 1)]  # one line for the others
    names = {step.name for step in most}
    return [step for step in steps if step.name in names]


def _rest(steps: Sequence[StepStats], shown: Sequence[StepStats]) -> str:
    names = {step.name for step in shown}
    rest = [step for step in steps if step.name not in names]
    idle = sum(not step.settled for step in rest)
    parts = [f"{idle:,} without rows so far"] if idle else []
    dropped, failed = sum(step.dropped for step in rest), sum(step.failed for step in rest)
    parts.append(f"{amount(dropped, 'row')} dropped, {failed:,} failed")
    return ", ".join(parts)


# Engines


def _engine_lines(stats: RunStats, rates: Rates, width: int, height: int) -> list[str]:
    """Returns a line for each engine; if there are too many, those without calls are counted together."""
    engines = engines_of(stats)
    busy = [engine for engine in engines if engine.in_flight or engine.state is not EngineState.IDLE]
    shown = engines if len(engines) <= height else busy[: max(0, height - 1)]
    lines = [line for engine in shown for line in wrap(engine_line(engine, rates), width, "  ")]
    while len(lines) > height and len(shown) > 1:
        shown = shown[:-1]
        lines = [line for engine in shown for line in wrap(engine_line(engine, rates), width, "  ")]
    if rest := len(engines) - len(shown):
        lines.append(f"… {amount(rest, 'more engine')}")
    return lines


def engine_line(engine: EngineStats, rates: Rates) -> str:
    """Returns the state of an engine. Only an engine with calls in flight has a rate."""
    name = f"{engine.model} ({engine.backend})"
    if not engine.in_flight:
        loaded = f"ready, loaded in {duration(engine.load_seconds)}" if engine.load_seconds >= 1 else "ready"
        states = {EngineState.IDLE: "not loaded", EngineState.READY: f"{loaded}, no call in flight"}
        return f"{name}: {states.get(engine.state, engine.state.value)}"
    prompt, generated = rates.engine(engine)
    calls = amount(engine.in_flight, "call")
    return f"{name}: {calls} in flight, {prompt:,.0f} prompt tokens/s, {generated:,.0f} generated tokens/s"


def engines_of(stats: RunStats) -> list[EngineStats]:
    """Returns the engines; engines that share a model are listed once."""
    return list({id(engine): engine for engine in stats.engines.values()}.values())


# Time


def _average(stats: RunStats) -> float:
    return (stats.settled - stats.resumed) / max(stats.seconds, 1e-9)


def eta(stats: RunStats) -> float | None:
    """Returns the estimated remaining seconds, or None if there is no estimate yet."""
    if (left := time_left(stats.progress, stats.expected)) is not None:
        return left
    rate = _average(stats)
    # Records that fail at once say nothing about the speed of the others.
    worked = stats.settled - stats.resumed - stats.failed
    if stats.total is None or worked <= 0 or rate <= 0 or stats.settled >= stats.total:
        return None
    return (stats.total - stats.settled) / rate


def clock(seconds: float) -> str:
    """Returns a duration as a clock shows it: `0:12`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
