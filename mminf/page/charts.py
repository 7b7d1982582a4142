"""Draws figures with Bokeh. Each function returns a chart, which Bokeh embeds in the page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mminf.page.figures import FunnelStep, ScoreFigure

if TYPE_CHECKING:
    from bokeh.plotting import figure

PASSED, DROPPED, FAILED, EXPECTED = "#2f6f9f", "#d9a441", "#b5483a", "#7aa6c2"
_PALETTE = (
    "#2f6f9f",
    "#d9a441",
    "#5b8c5a",
    "#b5483a",
    "#7d6aa5",
    "#c47f9b",
    "#8c7b5b",
    "#4aa3a2",
    "#a0a0a0",
    "#6b8fd6",
)
_WIDTH, _ROW, _HEIGHT = 460, 26, 220


def funnel_chart(steps: Sequence[FunnelStep]) -> figure:
    """Bars of the records that reach each step: passed, dropped, failed."""
    names = [step.name for step in steps]
    data = {
        "step": names,
        "passed": [step.entered - step.dropped - step.failed for step in steps],
        "dropped": [step.dropped for step in steps],
        "failed": [step.failed for step in steps],
    }
    chart = _figure(
        height=70 + _ROW * len(names),
        y_range=names[::-1],
        tooltips="@step: @passed passed, @dropped dropped, @failed failed",
        sizing_mode="stretch_width",
    )
    kinds = ["passed", "dropped", "failed"]
    chart.hbar_stack(
        kinds, y="step", height=0.75, color=[PASSED, DROPPED, FAILED], line_color=None, source=data, legend_label=kinds
    )
    chart.x_range.start = 0
    chart.xaxis.axis_label = "records"
    chart.ygrid.grid_line_color = None
    _place_legend(chart)
    return chart


def score_chart(score: ScoreFigure) -> figure:
    """A histogram of a score and, if there is one, of the expected score."""
    chart = _figure(height=_HEIGHT, title=score.name, tooltips="@x: @top records")
    chart.vbar(x="x", top="top", width=0.7, color=PASSED, source={"x": score.values, "top": score.counts})
    if score.expected_counts:
        edges = score.expected_edges
        data = {
            "x": [f"expected {left:.2f}–{right:.2f}" for left, right in itertools.pairwise(edges)],
            "left": edges[:-1],
            "right": edges[1:],
            "top": score.expected_counts,
        }
        chart.quad(left="left", right="right", top="top", bottom=0, color=EXPECTED, alpha=0.7, source=data)
    chart.xaxis.ticker = list(score.values)
    chart.xaxis.axis_label, chart.yaxis.axis_label = "score", "records"
    chart.y_range.start = 0
    return chart


def histogram_chart(title: str, unit: str, edges: Sequence[float], counts: Sequence[int]) -> figure:
    """A histogram with bins of any widths."""
    chart = _figure(height=_HEIGHT, title=title, tooltips="@left to @right: @top")
    data = {"left": list(edges[:-1]), "right": list(edges[1:]), "top": list(counts)}
    chart.quad(left="left", right="right", top="top", bottom=0, color=PASSED, line_color="white", source=data)
    chart.xaxis.axis_label = unit
    chart.y_range.start = 0
    return chart


def share_chart(title: str, shares: Mapping[str, float]) -> figure:
    """Bars of shares, given from 0 to 1."""
    names = list(shares)
    chart = _figure(
        height=70 + _ROW * len(names),
        y_range=names[::-1],
        title=title,
        tooltips="@name: @share{0.0%}",
        sizing_mode="stretch_width",
    )
    chart.hbar(
        y="name", right="share", height=0.75, color=PASSED, source={"name": names, "share": list(shares.values())}
    )
    chart.x_range.start = 0
    chart.xaxis.axis_label = "share"
    chart.ygrid.grid_line_color = None
    return chart


def sunburst_chart(title: str, groups: Mapping[str, Mapping[str, int]]) -> figure:
    """Two rings: the outer one divides each part of the inner one.

    Args:
        groups: counts of the parts of the outer ring, by the names of the inner ring.
    """
    chart = _figure(
        height=_WIDTH,
        title=title,
        tooltips="@name: @count",
        x_range=(-1.15, 1.15),
        y_range=(-1.15, 1.15),
        match_aspect=True,
    )
    total = sum(sum(parts.values()) for parts in groups.values()) or 1
    inner, outer, angle = _ring(), _ring(), math.pi / 2
    for number, (name, parts) in enumerate(groups.items()):
        color, start = _PALETTE[number % len(_PALETTE)], angle
        for part, count in parts.items():
            end = angle - 2 * math.pi * count / total
            _add(outer, f"{name} {part}", part, count, end, angle, color)
            angle = end
        _add(inner, name, name, sum(parts.values()), angle, start, color)
    for ring, near, far, alpha in ((inner, 0.3, 0.66, 0.95), (outer, 0.67, 1.0, 0.6)):
        chart.annular_wedge(
            x=0, y=0, inner_radius=near, outer_radius=far, start_angle="start", end_angle="end", fill_color="color",
            fill_alpha=alpha, line_color="white", source=ring,
        )  # fmt: skip
        labels = _labels(ring, (near + far) / 2)
        chart.text(
            x="x",
            y="y",
            text="label",
            text_align="center",
            text_baseline="middle",
            text_font_size="10px",
            source=labels,
        )
    chart.axis.visible = False
    chart.grid.visible = False
    chart.outline_line_color = None
    return chart


_Ring = dict[str, list[Any]]


def _ring() -> _Ring:
    return {"name": [], "label": [], "count": [], "start": [], "end": [], "color": []}


def _add(ring: _Ring, *values: object) -> None:
    for column, value in zip(ring.values(), values, strict=True):
        column.append(value)


def _labels(ring: _Ring, radius: float) -> dict[str, list[Any]]:
    """Returns labels at the middle of the parts that are large enough for one."""
    found: dict[str, list[Any]] = {"x": [], "y": [], "label": []}
    for label, start, end in zip(ring["label"], ring["start"], ring["end"], strict=True):
        if end - start > 0.16:
            middle = (start + end) / 2
            found["x"].append(radius * math.cos(middle))
            found["y"].append(radius * math.sin(middle))
            found["label"].append(label)
    return found


def _figure(**options: Any) -> figure:
    from bokeh.plotting import figure

    options = {"sizing_mode": "scale_width", **options}
    chart = figure(width=_WIDTH, toolbar_location=None, tools="hover", **options)
    chart.axis.minor_tick_line_color = None
    return chart


def _place_legend(chart: figure) -> None:
    legend = chart.legend[0]
    legend.orientation = "horizontal"
    legend.label_text_font_size = "11px"
    chart.add_layout(legend, "above")
