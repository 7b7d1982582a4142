"""Writes the page: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, StrictUndefined

from mminf.page.charts import funnel_chart, score_chart
from mminf.page.collect import DatasetReport, RunReport, add_by_engine
from mminf.page.properties import image_lines, image_problems, property_charts, text_lines
from mminf.redact import redact

if TYPE_CHECKING:
    from bokeh.plotting import figure


class _Charts:
    """Collects the charts of a page: Bokeh writes one script for all of them."""

    def __init__(self) -> None:
        self._charts: dict[str, figure] = {}

    def place(self, chart: figure) -> str:
        """Returns the name under which the page places a chart."""
        name = f"chart{len(self._charts)}"
        self._charts[name] = chart
        return name

    def embed(self) -> tuple[str, dict[str, str]]:
        """Returns Bokeh's code with the data of the charts, and an element for each chart."""
        from bokeh.embed import components
        from bokeh.resources import Resources

        if not self._charts:
            return "", {}
        code = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
        script, elements = components(self._charts, wrap_script=False)
        # A text of a record must not end the element.
        return f"{code}\n{script}".replace("</", r"<\/"), dict(elements)


def render_page(reports: Sequence[RunReport | DatasetReport], title: str) -> str:
    """Returns the page about runs and datasets, next to each other. All texts of records are escaped."""
    charts = _Charts()
    runs = [report for report in reports if isinstance(report, RunReport)]
    parts = [_part(report, charts) for report in runs]
    datasets = [_dataset(report, charts) for report in reports]
    script, elements = charts.embed()
    folder = files("mminf.page")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": _percent, "number": lambda value: f"{value:,}"}
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        parts=parts,
        datasets=datasets,
        summary=list(_summary(runs)),
        states=sorted({record.state for report in runs for record in report.gallery}),
        steps=list(dict.fromkeys(step.name for report in runs for step in report.funnel)),
        script=script,
        elements=elements,
        style=(folder / "page.css").read_text(encoding="utf-8"),
        behaviour=(folder / "page.js").read_text(encoding="utf-8"),
    )


def _summary(reports: Sequence[RunReport]) -> Iterator[tuple[str, list[str]]]:
    """Yields the lines of the first table, each with a value per run."""
    values: dict[str, Callable[[RunReport], object]] = {
        "recipe": lambda report: report.status["recipe"] or "–",
        "state": lambda report: report.status["state"] or "–",
        "records with an outcome": lambda report: f"{report.total:,}",
        "kept": lambda report: f"{report.done:,} ({_percent(report.kept)})",
        "dropped": lambda report: f"{report.status['dropped']:,}",
        "failed": lambda report: f"{report.status['failed']:,}",
        "calls": lambda report: f"{sum(cost.calls for cost in report.costs):,}",
        "prompt tokens": lambda report: f"{sum(cost.prompt_tokens for cost in report.costs):,}",
        "duration of the last run": lambda report: _duration(report.status["seconds"]),
        "generated tokens": lambda report: f"{sum(cost.generated_tokens for cost in report.costs):,}",
        "GPU-hours of all runs": lambda report: f"{report.status['gpu_hours']:,.3g}",
    }
    if any(report.damage for report in reports):
        values["rows that can't be read"] = lambda report: report.damage or "0"
    for name, value in values.items():
        yield name, [str(value(report)) for report in reports]


def _part(report: RunReport, charts: _Charts) -> dict[str, Any]:
    recipe = {name: value for name, value in report.recipe.items() if value not in (None, [], {}, "")}
    return {
        "report": report,
        "engines": add_by_engine(report.costs),
        "funnel": charts.place(funnel_chart(report.funnel)) if report.total else None,
        "published": (report.recipe.get("published") or {}).get("source"),
        "scores": [charts.place(score_chart(score)) for score in report.scores],
        "recipe": redact(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)),
    }


def _dataset(report: RunReport | DatasetReport, charts: _Charts) -> dict[str, Any]:
    """Returns what the page says about the properties of a run's datasets, or of a dataset."""
    found = report.properties
    if isinstance(found, str):
        return {"label": report.label, "reason": found, "files": [], "skipped": []}
    return {
        "label": report.label,
        "reason": None,
        "skipped": found.skipped,
        "files": [
            {
                "properties": properties,
                "charts": [charts.place(chart) for chart in property_charts(properties)],
                "texts": list(text_lines(properties)),
                "images": [*image_lines(properties), *image_problems(properties)],
            }
            for properties in found.datasets
        ],
    }


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02} h"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
