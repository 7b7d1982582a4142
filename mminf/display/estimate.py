"""Describes the estimated cost of a run, from a probe."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mminf.cost.estimate import Estimate, Estimated
from mminf.cost.figures import Cost, Figures, add_costs
from mminf.display.calls import split_round
from mminf.display.table import clock
from mminf.engine.probe import PER, ProbeResult
from mminf.engine.stats import RunStats, StepStats
from mminf.reasons import tell_failure

_NAME, _VALUE = 26, 16


def estimate_text(probe: ProbeResult) -> str:
    """Returns a probe and its estimate as text, for 80 columns."""
    found, figures = probe.estimate, probe.figures
    if found is None:
        return "no estimate: the input contains no record"
    lines = [*_steps(figures, probe.stats), ""]
    if probe.total is None:
        lines.append(f"estimate for {PER:,} records, from {_records(found.probed)}; the input can't be counted")
    else:
        lines.append(f"estimate for {_records(probe.total)}, from {found.probed:,} drawn over the whole input")
    lines += [*_table(found), *(f"  {line}" for line in _remarks(probe, found))]
    return "\n".join(lines)


def _records(number: int) -> str:
    return f"{number:,} record{'s' if number != 1 else ''}"


def _table(found: Estimate) -> list[str]:
    rows: list[tuple[str, Estimated, str]] = [
        ("accepted rows", found.accepted, "count"),
        ("calls", found.calls, "count"),
        ("prompt tokens", found.prompt_tokens, "count"),
        ("generated tokens", found.completion_tokens, "count"),
        ("seconds of calls", found.engine_seconds, ""),
        ("time in one process", found.seconds, "clock"),
    ]
    if not found.records.value == found.records.high == found.records.low or found.accepted.value > found.records.value:
        rows.insert(0, ("records from the source", found.records, "count"))
    if found.gpu_hours is not None:
        rows.append(("GPU-hours", found.gpu_hours, ""))
    rows += [("cost", amount, currency or "money") for currency, amount in found.money.items()]
    title = f"  {'':{_NAME}}{'':>{_VALUE}}   {'range (90 %)' if found.probed > 1 else ''}"
    return [title.rstrip(), *(_row(name, number, kind) for name, number, kind in rows)]


def _row(name: str, number: Estimated, kind: str) -> str:
    unit = f" {kind}" if kind not in ("", "clock", "count", "money") else ""

    def show(value: float) -> str:
        if kind == "count":
            return rounded(round(value))
        return clock(value) if kind == "clock" else f"{rounded(value)}{unit}"

    between = f"{show(number.low)} to {show(number.high)}" if show(number.low) != show(number.high) else ""
    return f"  {name:{_NAME}}{show(number.value):>{_VALUE}}   {between}".rstrip()


def rounded(value: float) -> str:
    """Returns a number with three significant digits, or all digits of a small whole number."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits <= 0:
        return f"{round(value, digits):,.0f}"
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_COLUMNS = ("reached", "passed", "calls", "retries", "prompt", "answer", "s/call")


def _steps(figures: Figures, stats: RunStats) -> list[str]:
    """Returns the measured figures of the steps, a table; tokens and seconds are means per call."""
    costs, retries = figures.by_step(), figures.retries()
    groups: dict[str, list[StepStats]] = {}
    for step in stats.steps.values():
        groups.setdefault(split_round(step.name)[0], []).append(step)
    rows = {
        name: _cells(steps, costs, retries)
        for name, steps in groups.items()
        if any(step.name in costs or step.dropped or step.failed for step in steps)
    }
    width = min(24, max((len(name) for name in rows), default=4))
    counts = f"{_records(figures.records)}, {len(figures.accepted())} accepted, {len(figures.failed)} failed"
    lines = [f"  {name[:width]:{width}} {' '.join(f'{cell:>7}' for cell in cells)}" for name, cells in rows.items()]
    title = f"  {'step':{width}} {' '.join(f'{title:>7}' for title in _COLUMNS)}"
    return [f"probe: {counts}", title, *(line.rstrip() for line in lines)]


def _cells(steps: list[StepStats], costs: Mapping[str, Cost], retries: Mapping[str, int]) -> list[str]:
    """Returns the cells of a step, with those of its later rounds."""
    cost = add_costs({"": costs[step.name]} for step in steps if step.name in costs).get("", Cost())
    counts = (
        sum(step.settled - step.skipped for step in steps),
        sum(step.done - step.skipped for step in steps),
        cost.calls or "",
        sum(retries.get(step.name, 0) for step in steps) or "",
    )
    means = (cost.prompt_tokens, cost.completion_tokens, cost.seconds)
    return [*map(str, counts), *(rounded(value / cost.calls) if cost.calls else "" for value in means)]


def _remarks(probe: ProbeResult, found: Estimate) -> list[str]:
    """Returns what limits the estimate."""
    lines = [tell_failure(item.step, item.id, item.reason)[:200] for item in probe.result.failures[:2]]
    figures, costs = probe.figures, probe.figures.by_step()
    if unreached := [name for name in probe.calling if name not in costs and split_round(name)[1] == 1]:
        lines.append(f"no record reached {', '.join(unreached)}; these calls are not in the estimate")
    if not figures.accepted():
        lines.append("no record of the probe was accepted; `mminf preview` shows what happens to records")
    if found.calls.value:
        lines += _call_remarks(probe, found)
    if found.probed == 1:
        lines.append("one record gives no range")
    return lines


def _call_remarks(probe: ProbeResult, found: Estimate) -> list[str]:
    """Returns what limits the estimate of the calls."""
    lines = []
    unpriced = [name for name in found.by_engine if name in probe.unpriced]
    if found.money and unpriced:
        lines.append(f"the cost is without {', '.join(unpriced)}, which has no price")
    if not (found.prompt_tokens.value or found.completion_tokens.value):
        lines.append("the engines report no tokens, so prices per token add nothing to the cost")
    if probe.unloaded:
        lines.append(f"the answers were in the journal, so the time is without loading {', '.join(probe.unloaded)}")
    return lines
