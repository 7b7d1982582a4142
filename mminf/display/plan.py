"""Describes what a run would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mminf.display.calls import calls_text, split_round
from mminf.engine.engines import Engine
from mminf.engine.peek import InputCount
from mminf.engine.plan import StagePlan, plan_stages
from mminf.engine.pool import count_loads, fits
from mminf.engine.replicas import make_engines
from mminf.layout import amount
from mminf.recipe.model import Recipe


def plan_text(recipe: Recipe, given: InputCount | None = None) -> str:
    """Returns the model loads of a run, its calls, and its stages with the dependencies of the steps.

    Args:
        given: the number of records of the input, if it was counted.
    """
    engines = make_engines(recipe.engines)
    plan = plan_stages(recipe, engines)
    lines = [f"{recipe.name}: {amount(len(recipe.steps), 'step')}", ""]
    for name, config in recipe.engines.items():
        users = [step.name for step in recipe.steps if step.engine == name and split_round(step.name)[1] == 1]
        own = engines[name].stats.name
        where = f"shared with {own}" if own != name else config.backend
        lines.append(f"engine {name}: {config.model} ({where}), for {', '.join(users) or 'no step'}")
    lines.append(_loads(recipe, engines, plan))
    lines += calls_text(recipe, plan, given)
    if recipe.run.target is not None:
        lines.append(f"stops once the number of accepted records is {recipe.run.target:,}")
    for stage in plan:
        lines += ["", *_stage(stage)]
    lines += ["", *(f"sink: {sink.config.path} ({sink.type})" for sink in recipe.sinks)]
    return "\n".join(lines)


def _loads(recipe: Recipe, engines: Mapping[str, Engine], plan: Sequence[StagePlan]) -> str:
    used = [[engines[step.engine] for step in stage.steps if step.engine is not None] for stage in plan]
    limit = recipe.run.max_loaded_engines
    local = [engine for engine in dict.fromkeys(engine for stage in used for engine in stage) if engine.backend.local]
    loads = count_loads(used, limit)
    if not loads:
        return "no model loads: all models run on servers"
    plural = "s" if len(loads) > 1 else ""
    return f"{len(loads)} model load{plural}: {', '.join(engine.stats.name for engine in loads)}; {_why(local, limit)}"


def _why(local: Sequence[Engine], limit: int | None) -> str:
    if fits(local, limit):
        if len(local) == 1:
            return "each at its first call"
        known = all(engine.memory for engine in local)
        return f"each at its first call; all stay loaded{'' if known else ' if they fit into memory (unknown here)'}"
    if limit is not None:
        return f"at most {limit} at a time (max_loaded_engines)"
    return "they don't fit into memory at the same time"


def _stage(stage: StagePlan) -> list[str]:
    what = "over all records at once" if stage.dataset else "record by record, in this order"
    lines = [f"stage {stage.index + 1}, {what}:"]
    rounds = [split_round(step.name) for step in stage.steps]
    last = dict(sorted(rounds))
    for index, (name, number) in enumerate(rounds):
        if number <= 2:  # later rounds are like the second one
            lines += _step(stage, index, f", the same up to {name}.{last[name]}" if 2 == number < last[name] else "")
    return lines


def _last_rounds(names: Iterable[str]) -> list[str]:
    """Returns the names of steps; of those that are in several rounds, only the last."""
    last = {split_round(name)[0]: name for name in names}
    return list(last.values())


def _step(stage: StagePlan, index: int, note: str) -> list[str]:
    step = stage.steps[index]
    reads, writes = ", ".join(sorted(step.reads)) or "nothing", ", ".join(sorted(step.writes))
    after = _last_rounds(other.name for number, other in enumerate(stage.steps) if stage.waits[index] >> number & 1)
    lines = [f"  {step.name} ({step.type}{', ' + step.engine if step.engine else ''}){note}"]
    lines.append(f"    reads {reads}" + (f"; writes {writes}" if writes else "; may drop the record"))
    lines.append(f"    waits for {', '.join(after)}" if after else "    waits for nothing")
    for check in stage.checks:
        if check.gate == index and check.position < index:
            when = f"after {stage.steps[check.position - 1].name}" if check.position else "before all steps"
            lines.append(f"    early drop {when}: records that are not {check.condition.source}")
    return lines
