"""Collects what the page says about a run."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mminf.errors import MminfError
from mminf.inspection import RunStatus, read_recipe, run_status
from mminf.listing import list_records
from mminf.page.figures import Figures, FunnelStep, ScoreFigure, score_fields, steps_of
from mminf.page.gallery import MOST, Chosen, Shown, show_records
from mminf.properties import PathProperties
from mminf.properties.path import measure_path
from mminf.run_folder import image_policy, is_run
from mminf.storage import to_path

ASIDE = 20_000
"""Number of kept records from which on the properties are measured in a process of their own."""
_CHILD = """
import pickle, sys
from mminf.page.collect import _properties
sys.stdout.buffer.write(pickle.dumps(_properties(sys.argv[1], exact=sys.argv[2] == "1")))
"""
FEW = 1_000
"""Number of rows for the costly properties of datasets with more than 20,000."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """What the calls of a step cost. `seconds` is the sum over its calls, which overlap."""

    name: str
    engine: str | None
    calls: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float


def add_by_engine(costs: Iterable[StepCost]) -> list[StepCost]:
    """Returns the sums over the steps of each engine, in the order of the steps."""
    found: dict[str | None, StepCost] = {}
    for cost in costs:
        before = found.get(cost.engine, StepCost("", cost.engine, 0, 0, 0, 0.0))
        found[cost.engine] = StepCost(
            "",
            cost.engine,
            before.calls + cost.calls,
            before.prompt_tokens + cost.prompt_tokens,
            before.generated_tokens + cost.generated_tokens,
            before.seconds + cost.seconds,
        )
    return list(found.values())


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What the page says about a dataset that is not the output of a run."""

    label: str
    properties: PathProperties

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as JSON values."""
        return {"label": self.label, "properties": self.properties.to_json()}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What the page says about a run.

    Attributes:
        label: distinguishes the runs of one page.
        properties: those of the run's datasets, or why there are none.
        total: records with an outcome.
        published_kept: the share of records that the method's paper reports to be kept; None if it reports none.
        gallery: some kept, dropped and failed records.
        damage: the number of rows that can't be read, and why; None if there are none.
    """

    label: str
    status: RunStatus
    recipe: Mapping[str, Any]
    total: int
    done: int
    funnel: tuple[FunnelStep, ...]
    scores: tuple[ScoreFigure, ...]
    costs: tuple[StepCost, ...]
    gallery: tuple[Shown, ...]
    properties: PathProperties | str
    published_kept: float | None = None
    damage: str | None = None

    @property
    def kept(self) -> float | None:
        """The share of the records with a result that was not dropped; None if there are none, or some wait."""
        judged = self.total - sum(step.failed for step in self.funnel)
        return self.done / judged if judged and not self.status["waiting"] else None

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as JSON values, without the gallery's thumbnails."""
        properties = self.properties if isinstance(self.properties, str) else self.properties.to_json()
        found = {**asdict(replace(self, properties="")), "kept": self.kept, "properties": properties}
        found["gallery"] = [{**record, "thumbnails": len(record["thumbnails"])} for record in found["gallery"]]
        for step, figure in zip(found["funnel"], self.funnel, strict=True):
            step["passed"] = figure.passed
        return found


def collect(path: str | Path, label: str, records: int = MOST, *, exact: bool = False) -> RunReport | DatasetReport:
    """Returns the report of a run, or of a dataset in a file or folder.

    Args:
        records: maximum number of records in the gallery.
        exact: measure the costly properties for all rows, not for a sample.

    Raises:
        JournalError: if there is neither.
        SourceError: if the dataset has no conversations.
    """
    place = to_path(str(path))
    if place.is_file() or (place.is_dir() and not is_run(place)):
        return DatasetReport(label, measure_path(path, exact=exact, few=FEW))
    return collect_run(path, label, records, exact=exact)


def collect_run(output: str | Path, label: str, records: int = MOST, *, exact: bool = False) -> RunReport:
    """Reads a run once, streamed; memory does not grow with the number of records.

    Args:
        records: maximum number of records in the gallery.
        exact: measure the costly properties for all rows, not for a sample.

    Raises:
        JournalError: if there is no run.
    """
    status, recipe = run_status(output), read_recipe(output)
    properties = _begin_properties(output, exact=exact, aside=status["done"] > ASIDE)
    stages = status["stages"]
    figures, chosen = Figures(stages, list(score_fields(recipe))), Chosen(records)
    listing = list_records(output, fields=True)
    for outcome in listing:
        figures.add(outcome)
        chosen.add(outcome)
    published = recipe.get("published") or {}
    return RunReport(
        label=label,
        status=status,
        recipe=recipe,
        total=figures.total,
        done=figures.done,
        funnel=tuple(figures.funnel(published.get("pass_rates"))),
        scores=tuple(figures.score_figures()),
        costs=_costs(status, recipe),
        gallery=tuple(show_records(chosen.records(), image_policy(output))),
        properties=properties(),
        published_kept=published.get("kept"),
        damage=f"{listing.broken:,}: {listing.damage}" if listing.damage is not None else None,
    )


def _begin_properties(output: str | Path, *, exact: bool, aside: bool) -> Callable[[], PathProperties | str]:
    """Begins to measure the properties of a run's datasets. Returns a function that waits for them.

    Args:
        aside: in a process of its own, which uses another core, while this one reads the journal.
    """
    if not aside:
        return lambda: _properties(output, exact=exact)
    # -P: files of the working directory are no modules.
    command = [sys.executable, "-P", "-c", _CHILD, str(output), str(int(exact))]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 (our own code)

    def wait() -> PathProperties | str:
        found, _ = child.communicate()
        if child.returncode:
            return _properties(output, exact=exact)
        measured: PathProperties | str = pickle.loads(found)  # noqa: S301 (from our own child)
        return measured

    return wait


def _properties(output: str | Path, *, exact: bool) -> PathProperties | str:
    try:
        return measure_path(output, exact=exact, few=FEW)
    except MminfError as error:
        return str(error)


def _costs(status: RunStatus, recipe: Mapping[str, Any]) -> tuple[StepCost, ...]:
    engines = {config["name"]: config.get("engine") for _, config in steps_of(recipe)}
    return tuple(
        StepCost(
            name,
            engines.get(name),
            step["calls"],
            step.get("prompt_tokens", 0),
            step.get("completion_tokens", 0),
            step.get("seconds", 0.0),
        )
        for name, step in status["steps"].items()
        if "calls" in step
    )
