"""Plots of a ranking: information by feature with intervals over the noise, possible ranks, and all features."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Range1d, Span
from bokeh.plotting import figure

from featflow.analyses.ranking.ranked_targets import RankedTarget
from featflow.analyses.reporting.labels import shown
from featflow.analyses.reporting.plots import MARK, NOISE, WARM, name_axis, plot

__all__ = ["curve_plot", "information_plot", "rank_plot"]

ROW, MARGIN = 22, 70
"""Pixels of a feature, enough for a name of 12 pixels and a gap, and of the axis."""
MOST_LINEAR = 60
"""Features beyond which ranks are on a logarithmic scale: on a linear one the first ranks would lie on one another."""
NOISE_DEVIATIONS = 2
"""Standard deviations of the null on either side of 0 that are drawn as noise: about 95 % of a normal null."""


def information_plot(ranked: RankedTarget) -> figure:
    """Return information in nats by feature, with intervals, over the spread of what noise scores."""
    fig, source = _feature_figure(ranked, "information about the target, nats")
    fig.hbar(y="y", left="noise_low", right="noise_high", height=0.8, fill_color=NOISE, fill_alpha=0.35,
              line_color=None, source=source)  # fmt: skip
    _draw_intervals(fig, source, ("ci_low", "ci_high", "corrected_mi"))
    fig.add_layout(Span(location=0, dimension="height", line_color=NOISE, line_width=1))
    tooltips = [("feature", "@feature"), ("rank", "@rank"), ("information", "@corrected_mi{0.00000}"),
            ("interval", "@ci_low{0.00000} to @ci_high{0.00000}"), ("noise expected", "@expected_mi{0.00000}"),
            ("deviation of noise", "@null_std{0.00000}")]  # fmt: skip
    _add_hover(fig, tooltips)
    return fig


def rank_plot(ranked: RankedTarget) -> figure:
    """Return a plot of the best and the worst rank that intervals leave each feature."""
    if ranked.features > MOST_LINEAR:
        fig, source = _feature_figure(ranked, "rank", x_axis_type="log")
        fig.xaxis.formatter = NumeralTickFormatter(format="0,0")
    else:
        fig, source = _feature_figure(ranked, "rank")
        fig.x_range.start = 0
    _draw_intervals(fig, source, ("rank_low", "rank_high", "rank"))
    _add_hover(fig, [("feature", "@feature"), ("rank", "@rank"), ("could be", "@rank_low to @rank_high")])
    return fig


def curve_plot(ranked: RankedTarget) -> figure:
    """Return information by rank of all features, with the band of their intervals and where noise begins."""
    rank, value, low, high = ranked.curve
    fig = plot(height=280, x_axis_type="log", x_axis_label="rank", y_axis_label="information, nats")
    known = np.isfinite(low)
    fig.varea(rank[known], low[known], high[known], fill_color=MARK, fill_alpha=0.25)
    fig.line(rank, value, line_color=MARK, line_width=2)
    fig.xaxis.formatter = NumeralTickFormatter(format="0,0")
    if ranked.noise_rank is not None:
        fig.add_layout(Span(location=ranked.noise_rank, dimension="height", line_color=WARM, line_dash="dashed",
                             line_width=2))  # fmt: skip
    return fig


def _feature_figure(ranked: RankedTarget, title: str, **options: Any) -> tuple[figure, ColumnDataSource]:
    """Return a figure with a line for each feature, the best on top, and a dashed line where noise begins."""
    rows = ranked.drawn
    fig = plot(
        height=MARGIN + ROW * len(rows),
        x_axis_label=title,
        y_range=Range1d(len(rows) - 0.4, -0.6),
        x_axis_location="above",
        **options,
    )
    name_axis(fig.yaxis[0], [row["feature"] for row in rows])
    fig.ygrid.visible = False
    numbers = ("rank", "corrected_mi", "ci_low", "ci_high", "rank_low", "rank_high", "expected_mi", "null_std")
    data: dict[str, Any] = {name: _floats(rows, name) for name in numbers}
    spread = np.nan_to_num(data["null_std"]) * NOISE_DEVIATIONS
    data |= {"noise_low": -spread, "noise_high": spread, "y": np.arange(len(rows), dtype=float)}
    data["feature"] = [shown(row["feature"]) for row in rows]
    data["fill"] = [MARK if row["significant"] else "#ffffff00" for row in rows]
    for place, (row, after) in enumerate(zip(rows, (*rows[1:], None), strict=True)):
        if after and after["rank"] > row["rank"] + 1:  # some are left out between them
            fig.add_layout(Span(location=place + 0.5, dimension="width", line_color=NOISE, line_dash="dotted"))
        if after and after["rank"] == ranked.noise_rank:
            fig.add_layout(Span(location=place + 0.5, dimension="width", line_color=WARM, line_dash="dashed",
                                 line_width=2))  # fmt: skip
    return fig, ColumnDataSource(data)


def _floats(rows: tuple[dict[str, Any], ...], name: str) -> np.ndarray:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=float)


def _draw_intervals(fig: figure, source: ColumnDataSource, names: tuple[str, str, str]) -> None:
    low, high, value = names
    fig.segment(x0=low, x1=high, y0="y", y1="y", line_color=MARK, line_width=2, source=source)
    fig.scatter(x=value, y="y", size=9, line_color=MARK, line_width=2, fill_color="fill", source=source, name="dots")


def _add_hover(fig: figure, tooltips: list[tuple[str, str]]) -> None:
    fig.add_tools(HoverTool(tooltips=tooltips, renderers=[fig.select_one({"name": "dots"})], mode="hline"))
