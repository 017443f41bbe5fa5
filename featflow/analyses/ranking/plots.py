"""Rankings drawn: each feature's information with its interval over what noise scores, its ranks, and the whole."""

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
"""Pixels of a feature, and of the axis."""
MOST_LINEAR = 60
"""Features beyond which ranks are on a logarithmic scale."""
NOISE_DEVIATIONS = 2
"""Standard deviations of the null on either side of 0 that are drawn as noise."""


def information_plot(ranked: RankedTarget) -> figure:
    """Return information in nats by feature, with intervals, over the spread of what noise scores."""
    made, source = _rows(ranked, "information about the target, nats")
    made.hbar(y="y", left="noise_low", right="noise_high", height=0.8, fill_color=NOISE, fill_alpha=0.35,
              line_color=None, source=source)  # fmt: skip
    _intervals(made, source, ("ci_low", "ci_high", "corrected_mi"))
    made.add_layout(Span(location=0, dimension="height", line_color=NOISE, line_width=1))
    said = [("feature", "@feature"), ("rank", "@rank"), ("information", "@corrected_mi{0.00000}"),
            ("interval", "@ci_low{0.00000} to @ci_high{0.00000}"), ("noise expected", "@expected_mi{0.00000}"),
            ("deviation of noise", "@null_std{0.00000}")]  # fmt: skip
    _hover(made, said)
    return made


def rank_plot(ranked: RankedTarget) -> figure:
    """Return the ranks that each feature may have."""
    if ranked.features > MOST_LINEAR:
        made, source = _rows(ranked, "rank", x_axis_type="log")
        made.xaxis.formatter = NumeralTickFormatter(format="0,0")
    else:
        made, source = _rows(ranked, "rank")
        made.x_range.start = 0
    _intervals(made, source, ("rank_low", "rank_high", "rank"))
    _hover(made, [("feature", "@feature"), ("rank", "@rank"), ("could be", "@rank_low to @rank_high")])
    return made


def curve_plot(ranked: RankedTarget) -> figure:
    """Return information by rank of all features, with the band of their intervals and where noise begins."""
    rank, value, low, high = ranked.curve
    made = plot(height=280, x_axis_type="log", x_axis_label="rank", y_axis_label="information, nats")
    known = np.isfinite(low)
    made.varea(rank[known], low[known], high[known], fill_color=MARK, fill_alpha=0.25)
    made.line(rank, value, line_color=MARK, line_width=2)
    made.xaxis.formatter = NumeralTickFormatter(format="0,0")
    if ranked.noise_rank is not None:
        made.add_layout(Span(location=ranked.noise_rank, dimension="height", line_color=WARM, line_dash="dashed",
                             line_width=2))  # fmt: skip
    return made


def _rows(ranked: RankedTarget, title: str, **options: Any) -> tuple[figure, ColumnDataSource]:
    """Return a figure with a line for each feature, the best on top, and where noise begins."""
    rows = ranked.drawn
    made = plot(
        height=MARGIN + ROW * len(rows),
        x_axis_label=title,
        y_range=Range1d(len(rows) - 0.4, -0.6),
        x_axis_location="above",
        **options,
    )
    name_axis(made.yaxis[0], [row["feature"] for row in rows])
    made.ygrid.visible = False
    numbers = ("rank", "corrected_mi", "ci_low", "ci_high", "rank_low", "rank_high", "expected_mi", "null_std")
    data: dict[str, Any] = {name: _numbers(rows, name) for name in numbers}
    spread = np.nan_to_num(data["null_std"]) * NOISE_DEVIATIONS
    data |= {"noise_low": -spread, "noise_high": spread, "y": np.arange(len(rows), dtype=float)}
    data["feature"] = [shown(row["feature"]) for row in rows]
    data["fill"] = [MARK if row["significant"] else "#ffffff00" for row in rows]
    for place, (row, after) in enumerate(zip(rows, (*rows[1:], None), strict=True)):
        if after and after["rank"] > row["rank"] + 1:  # some are left out between them
            made.add_layout(Span(location=place + 0.5, dimension="width", line_color=NOISE, line_dash="dotted"))
        if after and after["rank"] == ranked.noise_rank:
            made.add_layout(Span(location=place + 0.5, dimension="width", line_color=WARM, line_dash="dashed",
                                 line_width=2))  # fmt: skip
    return made, ColumnDataSource(data)


def _numbers(rows: tuple[dict[str, Any], ...], name: str) -> np.ndarray:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=float)


def _intervals(made: figure, source: ColumnDataSource, names: tuple[str, str, str]) -> None:
    low, high, value = names
    made.segment(x0=low, x1=high, y0="y", y1="y", line_color=MARK, line_width=2, source=source)
    made.scatter(x=value, y="y", size=9, line_color=MARK, line_width=2, fill_color="fill", source=source, name="dots")


def _hover(made: figure, said: list[tuple[str, str]]) -> None:
    made.add_tools(HoverTool(tooltips=said, renderers=[made.select_one({"name": "dots"})], mode="hline"))
