"""The graph of interactions."""

from __future__ import annotations

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    HoverTool,
    Label,
    Range1d,
)
from bokeh.plotting import figure

from featflow.analyses.interaction.graphs import Graph
from featflow.analyses.reporting.labels import shown
from featflow.analyses.reporting.plots import FONT, MARK, WARM, label, narrow, plot

__all__ = ["graph_plot"]


def graph_plot(graph: Graph) -> figure:
    """Return a plot of features as dots, sized by information alone, and pairs as lines, as wide as their synergy."""
    fig = plot(height=460, x_range=Range1d(-1.35, 1.35, tags=narrow(start=-1.75, end=1.75)), y_range=Range1d(-1.2, 1.3))
    fig.axis.visible = fig.grid.visible = False
    place = dict(zip(graph.features, graph.places, strict=True))
    strongest = graph.edges[0]["synergy"]
    ends = {side: [place[edge[f"feature_{side}"]] for edge in graph.edges] for side in ("a", "b")}
    edges = ColumnDataSource(
        {
            **{f"x_{side}": [float(point[0]) for point in points] for side, points in ends.items()},
            **{f"y_{side}": [float(point[1]) for point in points] for side, points in ends.items()},
            "width": [1 + 7 * edge["synergy"] / strongest for edge in graph.edges],
            "dash": ["solid" if graph.significant else "dashed"] * len(graph.edges),
            "said": [f"{shown(edge['feature_a'])} and {shown(edge['feature_b'])}" for edge in graph.edges],
            **{name: [edge[name] for edge in graph.edges] for name in ("synergy", "ci_low", "ci_high")},
        }
    )
    lines = fig.segment("x_a", "y_a", "x_b", "y_b", line_width="width", line_dash="dash", line_color=WARM,
                         line_alpha=0.55, source=edges)  # fmt: skip
    most = max((value for value in graph.alone if value), default=1.0)
    sizes = [9 + 22 * (max(value or 0.0, 0.0) / most) ** 0.5 for value in graph.alone]
    nodes = ColumnDataSource(
        {
            "x": graph.places[:, 0],
            "y": graph.places[:, 1],
            "size": sizes,
            "said": [shown(name) for name in graph.features],
            "alone": [np.nan if value is None else value for value in graph.alone],
        }
    )
    dots = fig.scatter("x", "y", size="size", fill_color=MARK, line_color=None, source=nodes)
    for (name, (x, y)), size in zip(place.items(), sizes, strict=True):
        fig.add_layout(Label(x=float(x), y=float(y), y_offset=4 + size / 2, text=label(name, 22), text_align="center",
                              text_font=FONT, text_font_size="12px"))  # fmt: skip
    synergy = [
        ("", "@said"),
        ("synergy", "@synergy{0.00000} nats"),
        ("interval", "@ci_low{0.00000} to @ci_high{0.00000}"),
    ]
    fig.add_tools(HoverTool(tooltips=synergy, renderers=[lines], line_policy="interp"))
    fig.add_tools(HoverTool(tooltips=[("", "@said"), ("alone", "@alone{0.00000} nats")], renderers=[dots]))
    return fig
