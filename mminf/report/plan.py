"""What a run would do, before it does it."""

from __future__ import annotations

from mminf.recipe.dataflow import dependencies, split_stages
from mminf.recipe.model import Recipe


def plan_text(recipe: Recipe) -> str:
    """Returns the stages of a recipe, the models they load, the calls a record makes and what waits for what."""
    lines = [f"{recipe.name}: {len(recipe.steps)} steps", ""]
    loads: dict[str, str] = {}
    for name, config in recipe.engines.items():
        users = [step.name for step in recipe.steps if step.engine == name]
        same = next((other for other, known in loads.items() if known == config.model_dump_json()), None)
        loads[name] = config.model_dump_json()
        where = f"shared with {same}" if same else f"{config.backend}"
        lines.append(f"engine {name}: {config.model} ({where}), for {', '.join(users) or 'no step'}")
    distinct = len({loads[step.engine] for step in recipe.steps if step.engine is not None})
    lines.append(
        f"model loads: {distinct}, each when a call first needs it; both stay loaded"
        if distinct == 2
        else f"model loads: {distinct}, each when a call first needs it"
    )
    calls = sum(getattr(step.config, "n", 1) for step in recipe.steps if step.engine is not None)
    lines.append(
        f"calls a record: at most {calls} (fewer where it is dropped on the way, more where an answer is asked again)"
    )
    waits = dependencies(recipe.steps)
    for number, stage in enumerate(split_stages(recipe.steps), 1):
        what = "over all records at once" if stage.dataset else "record by record"
        lines += ["", f"stage {number}, {what}:"]
        for index in range(stage.start, stage.stop):
            step = recipe.steps[index]
            reads, writes = ", ".join(sorted(step.reads)) or "nothing", ", ".join(sorted(step.writes))
            after = [recipe.steps[before].name for before in sorted(waits[index]) if before >= stage.start]
            lines.append(f"  {step.name} ({step.type}{', ' + step.engine if step.engine else ''})")
            lines.append(f"    reads {reads}" + (f"; writes {writes}" if writes else "; may drop the record"))
            lines.append(f"    waits for {', '.join(after)}" if after else "    waits for nothing")
    lines += ["", *(f"sink: {sink.config.path} ({sink.type})" for sink in recipe.sinks)]
    return "\n".join(lines)
