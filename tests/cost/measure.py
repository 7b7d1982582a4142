"""Measures the errors of estimates from probes, on ten recipes with simulated engines.

python -m tests.cost.measure RECORDS PROBE SEEDS [NAME ...]
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mminf import api
from mminf.cost.estimate import Estimate, Estimated
from mminf.journal import Journal

from .recipes import NAMES, write_recipe
from .simulated import Clock, simulate

MEASURED = ("calls", "prompt_tokens", "completion_tokens", "engine_seconds", "seconds", "accepted")


@dataclass(frozen=True)
class Compared:
    """An estimate, and the same figures of the run."""

    estimate: Estimate
    real: Mapping[str, float]

    def error(self, name: str) -> float:
        """Returns the relative error of an estimated figure."""
        number: Estimated = getattr(self.estimate, name)
        return number.value / self.real[name] - 1 if self.real[name] else 0.0

    def contains(self, name: str) -> bool:
        """Returns whether the range of an estimated figure contains the real one."""
        number: Estimated = getattr(self.estimate, name)
        return number.low <= self.real[name] * 1.0001 and self.real[name] <= number.high * 1.0001


def compare(
    clock: Clock, folder: Path, name: str, *, records: int, probe: int, seed: int = 0, **settings: Any
) -> Compared:
    """Estimates a run from a probe, and runs it into another output."""
    recipe = write_recipe(name, folder, records, seed, **settings)
    found = api.probe(api.prepare(recipe, output=folder / "probe"), records=probe)
    began = clock.now
    result = api.execute(api.prepare(recipe, output=folder / "run"))
    seconds = clock.now - began
    with Journal(folder / "run") as journal:
        totals = list(journal.memo.totals().values())
    assert found.estimate is not None
    return Compared(
        found.estimate,
        {
            "calls": sum(total.calls for total in totals),
            "prompt_tokens": sum(total.prompt_tokens for total in totals),
            "completion_tokens": sum(total.completion_tokens for total in totals),
            "engine_seconds": sum(total.seconds for total in totals),
            "seconds": seconds,
            "accepted": result.counts.done,
        },
    )


def main(records: int, probe: int, seeds: int, names: list[str]) -> None:
    """Prints the errors of each recipe, and the shares of all errors within 10 and 20 %."""
    logging.getLogger("mminf").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        clock = simulate(patch)
        found = []
        for seed in range(seeds):
            for name in names or NAMES:
                with tempfile.TemporaryDirectory() as folder:
                    compared = compare(clock, Path(folder), name, records=records, probe=probe, seed=seed)
                found.append(compared)
                errors = "  ".join(f"{item} {compared.error(item):+.1%}" for item in MEASURED)
                print(f"{seed} {name:20} {errors}", flush=True)
    for item in MEASURED:
        errors = sorted(abs(compared.error(item)) for compared in found)
        shares = [sum(error <= limit for error in errors) / len(errors) for limit in (0.1, 0.2)]
        held = sum(compared.contains(item) for compared in found) / len(found)
        print(
            f"{item:18} median {errors[len(errors) // 2]:.1%}, largest {errors[-1]:.1%}; within 10 %: {shares[0]:.0%}, "
            f"within 20 %: {shares[1]:.0%}; in the range: {held:.0%}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4:])  # type: ignore[call-arg]
