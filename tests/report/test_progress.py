from __future__ import annotations

import time

from mminf.engine.stats import EngineStats, RunStats, StepStats
from mminf.report.progress import eta, progress_line
from mminf.states import EngineState


def stats(**counts: int) -> RunStats:
    made = RunStats(
        {"hook": StepStats("hook", done=3, calls=4)}, {"vlm": EngineStats("vlm", "m", "b", state=EngineState.LOADING)}
    )
    made.started = time.monotonic() - 10
    for name, value in counts.items():
        setattr(made, name, value)
    return made


def test_time_left_is_told_from_records_that_were_worked_on() -> None:
    left = eta(stats(total=100, settled=50))
    assert left is not None
    assert 9 < left < 11
    assert eta(stats(total=100, settled=1, failed=1)) is None
    assert eta(stats(total=100, settled=50, resumed=50)) is None
    assert eta(stats(settled=50)) is None


def test_a_line_says_what_goes_on() -> None:
    line = progress_line(stats(total=100, settled=50, resumed=10, failed=2))
    assert line.startswith("50/100 records; 10 resumed; 4.0/s; 4 calls; 2 failed; 0:12 left; loading m")
    assert line.endswith("(passed: hook 3)")
