"""What is known of a run before it starts, for an estimate of its cost."""

from __future__ import annotations

import itertools
from collections import Counter

from mminf.cost.project import EngineTerms, RunTerms
from mminf.engine.engines import Engine
from mminf.engine.pool import count_loads, fits
from mminf.engine.run import Run
from mminf.engine.work import count_window


def make_terms(run: Run, records: int) -> RunTerms:
    """Returns the terms of a run.

    Args:
        run: its engines have been loaded, so that the durations of loads are known.
        records: number of records that it takes from the source.
    """
    engines, limit = run.session.engines, run.session.pool.limit
    used = [[step.engine for step in stage.steps if step.engine is not None] for stage in run.plan.stages]
    names = list(dict.fromkeys(itertools.chain.from_iterable(used)))
    models = {name: engines[name].stats.name for name in names}
    local = [engine for engine in dict.fromkeys(engines[name] for name in names) if engine.backend.local]
    loads = Counter(engine.stats.name for engine in count_loads([[engines[n] for n in s] for s in used], limit))
    return RunTerms(
        records=records,
        engines={name: _terms(run, name, loads) for name in dict.fromkeys([*names, *models.values()])},
        most=[stage.steps[0].most_records if stage.dataset else None for stage in run.plan.stages],
        target=run.plan.target,
        window=_window(run),
        together=fits(local, limit),
        gpus=_held_gpus(local) if len(local) == len(set(models.values())) else None,
    )


def _window(run: Run) -> int:
    """Returns the maximum number of records in flight."""
    return max((count_window(run, stage) for stage in run.plan.stages if not stage.dataset), default=1)


def _terms(run: Run, name: str, loads: Counter[str]) -> EngineTerms:
    engine, config = run.session.engines[name], run.plan.recipe.engines[name]
    price = config.price
    given = price.gpus if price is not None else None
    return EngineTerms(
        name=name,
        model=engine.stats.name,
        capacity=engine.capacity,
        gpus=len(engine.gpus) if given is None else given,
        load_seconds=engine.stats.load_seconds * loads[name],
        input_price=price.input if price is not None else 0.0,
        output_price=price.output if price is not None else 0.0,
        gpu_price=price.gpu_hour if price is not None else 0.0,
        currency=price.currency if price is not None else "",
        priced=price is not None,
    )


def _held_gpus(engines: list[Engine]) -> int | None:
    """Returns the number of different GPUs of local models, None if a model's GPUs are not known."""
    devices = [set(engine.memory) for engine in engines]
    if not devices or not all(found and all(name.startswith("cuda") for name in found) for found in devices):
        return None
    return len(set().union(*devices))
