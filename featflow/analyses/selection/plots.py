"""The plot of a path: what each feature adds to those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.plotting import figure

from featflow.analyses.reporting.labels import shown
from featflow.analyses.reporting.plots import MARK, name_axis, plot

__all__ = ["gain_plot"]

ROW, MARGIN = 22, 70
"""Pixels of a feature and of the axis, as in the ranking."""


def gain_plot(steps: list[dict[str, Any]]) -> figure:
    """Return gains by step, with two standard errors on either side."""
    fig = plot(
        height=MARGIN + ROW * max(len(steps), 1),
        x_axis_label="what the feature adds, nats",
        y_range=Range1d(len(steps) - 0.4, -0.6),
        x_axis_location="above",
    )
    name_axis(fig.yaxis[0], [step["feature"] for step in steps])
    fig.ygrid.visible = False
    gain = np.array([step["gain"] for step in steps], dtype=float)
    error = np.array([step["standard_error"] or 0.0 for step in steps], dtype=float)
    data = {
        "y": np.arange(len(steps), dtype=float),
        "gain": gain,
        "low": gain - 2 * error,
        "high": gain + 2 * error,
        "feature": [shown(step["feature"]) for step in steps],
        "noise_p": [step["noise_p"] for step in steps],
        "fill": [MARK if step["kept"] else "#ffffff00" for step in steps],
    }
    source = ColumnDataSource(data)
    fig.hbar(y="y", right="gain", left=0, height=0.6, line_color=MARK, fill_color="fill", source=source, name="bars")
    fig.segment(x0="low", x1="high", y0="y", y1="y", line_color=MARK, line_width=2, source=source)
    tooltips = [("feature", "@feature"), ("adds", "@gain{0.00000}"), ("noise p", "@noise_p{0.0000}")]
    fig.add_tools(HoverTool(tooltips=tooltips, renderers=[fig.select_one({"name": "bars"})], mode="hline"))
    return fig
