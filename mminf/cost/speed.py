"""How long calls take when more of them are in flight than in a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mminf.cost.figures import CallFigures

_CERTAIN = 3.0
"""Standard errors above 0 from which a slowdown counts as measured."""
_BAND = 2.0
"""Standard errors on each side in the range of a slowdown."""
_FEWEST = 12
"""Number of calls below which no slowdown is measured."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """The factor by which calls take longer than in a probe: the expected one, and its range."""

    factor: float = 1.0
    low: float = 1.0
    high: float = 1.0


def measure_slowdown(calls: Sequence[CallFigures], in_flight: float) -> Slowdown:
    """Returns by which factor an engine's calls take longer with more calls in flight.

    The model of a call is `seconds = a + b * tokens + c * in_flight * tokens`, fitted by least squares; each step has
    its own `a`. Without tokens, as for embeddings, it is `seconds = a + c * in_flight`. If `c` is not above 0 by three
    standard errors, no slowdown is expected, but the range contains two of them. The upper bound is an engine that was
    busy in the probe: there, calls take longer in proportion to the calls in flight.

    Args:
        calls: calls of one engine.
        in_flight: mean number of calls in flight in the run.
    """
    timed = [call for call in calls if call.in_flight > 0 and call.seconds > 0]
    whole = sum(call.seconds for call in timed)
    if not timed or not whole:
        return Slowdown()
    before = sum(call.in_flight * call.seconds for call in timed) / whole
    most = max(1.0, in_flight / before)
    if most <= 1.0:  # with fewer calls in flight, calls are not assumed to be faster
        return Slowdown()
    if len(timed) < _FEWEST:
        return Slowdown(1.0, 1.0, most)
    fitted = _fit(timed)
    if fitted is None:
        return Slowdown(1.0, 1.0, most)
    slope, error = fitted
    work = sum(_work(call) for call in timed)
    now = sum(call.in_flight * _work(call) for call in timed)

    def factor(value: float) -> float:
        return min(most, 1 + max(0.0, value) * (in_flight * work - now) / whole)

    expected = factor(slope) if slope > _CERTAIN * error else 1.0
    low, high = factor(slope - _BAND * error), factor(slope + _BAND * error)
    return Slowdown(expected, min(expected, low), max(expected, high))


def _work(call: CallFigures) -> float:
    return float(call.completion_tokens or 1)


def _fit(calls: Sequence[CallFigures]) -> tuple[float, float] | None:
    """Returns the coefficient of `in_flight * tokens` and its standard error; None if the calls don't determine it."""
    rows = _centred(calls)
    spent = 1 + len({call.step for call in calls})
    seconds = [row[0] for row in rows]
    both = _solve([row[1:] for row in rows], seconds, len(rows) - spent - 1)
    if both is not None and both[0][0] >= 0:
        return both[0][1], both[1][1]
    # Without tokens, or if longer answers are not slower.
    alone = _solve([row[2:] for row in rows], seconds, len(rows) - spent)
    return None if alone is None else (alone[0][0], alone[1][0])


def _centred(calls: Sequence[CallFigures]) -> list[list[float]]:
    """Returns seconds, tokens and `in_flight * tokens` of each call, without the means of its step.

    Each step has a constant of its own, because prompts and images of steps take different times.
    """
    rows = [[call.seconds, float(call.completion_tokens), call.in_flight * _work(call)] for call in calls]
    numbers: dict[str, list[int]] = {}
    for number, call in enumerate(calls):
        numbers.setdefault(call.step, []).append(number)
    for own in numbers.values():
        means = [sum(rows[number][column] for number in own) / len(own) for column in range(3)]
        for number in own:
            rows[number] = [value - mean for value, mean in zip(rows[number], means, strict=True)]
    return rows


def _solve(
    rows: Sequence[Sequence[float]], target: Sequence[float], freedom: int
) -> tuple[list[float], list[float]] | None:
    """Returns the coefficients of a least-squares fit and their standard errors; None if they are not determined.

    Args:
        freedom: degrees of freedom of the residuals.
    """
    import numpy

    if freedom < 1:
        return None
    matrix, values = numpy.array(rows), numpy.array(target)
    scale = numpy.sqrt((matrix**2).sum(axis=0))
    if not scale.all():
        return None
    found, _, rank, _ = numpy.linalg.lstsq(matrix / scale, values, rcond=1e-9)
    if rank < len(scale):
        return None
    left = values - matrix / scale @ found
    inverse = numpy.linalg.inv((matrix / scale).T @ (matrix / scale))
    errors = numpy.sqrt(inverse.diagonal() * (left @ left) / freedom)
    return (found / scale).tolist(), (errors / scale).tolist()
