"""Heat maps and graphs drawn."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import gridplot
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    GridPlot,
    HoverTool,
    Label,
    LinearColorMapper,
    Range1d,
)
from bokeh.palettes import interp_palette
from bokeh.plotting import figure

from featflow.report.graphs import Graph
from featflow.report.heat_maps import HeatMap
from featflow.report.labels import shown
from featflow.report.plots import FONT, MARK, NOISE, WARM, label, plot

__all__ = ["graph_plot", "heat_plot"]

SIGNED = {"pearson", "spearman"}
"""Methods of values from -1 to 1."""
SIGNED_COLOURS = (
    ("#16427d", "#6fa3de", "#fafafa", "#e8a06c", "#963808"),
    ("#8cc2ff", "#2f65a8", "#1d2127", "#a35420", "#ffb27a"),
)
"""Of a light and of a dark page; no value is what the page is."""
COLOURS = (("#fafafa", "#8fb9e8", "#2d68b2", "#0b2a55"), ("#1d2127", "#2a5a96", "#6cabf5", "#dcebff"))
CELL, MOST_SIDE, AROUND = 28, 700, 200
"""Pixels of a cell and of the square at most, and of what stands above and below it."""
TREE, LEFT = 80, 170
"""Pixels of the dendrogram's height, and of names beside the square."""


def heat_plot(heat: HeatMap) -> GridPlot:
    """Return a heat map under its dendrogram; both show the same columns when zoomed."""
    count = len(heat.names)
    across, down = Range1d(-0.5, count - 0.5, bounds="auto"), Range1d(count - 0.5, -0.5, bounds="auto")
    tree = plot(height=TREE, x_range=across, min_border_left=LEFT)
    tree.multi_line([list(x) for x in heat.branches[0]], [list(y) for y in heat.branches[1]], line_color=NOISE)
    tree.axis.visible = tree.grid.visible = False
    cells = plot(
        height=AROUND + min(CELL * count, MOST_SIDE),
        x_range=across,
        y_range=down,
        min_border_left=LEFT,
        toolbar_location=None,
    )
    mapper = _mapper(heat)
    # Rows go up in an image, and down the picture.
    source = ColumnDataSource({"image": [np.ascontiguousarray(heat.values, dtype=np.float32)]}, name="cells")
    cells.image("image", x=-0.5, y=-0.5, dw=count, dh=count, color_mapper=mapper, source=source)
    cursor = ColumnDataSource({"x": [], "y": []}, name="cursor")
    cells.rect("x", "y", width=1, height=1, fill_color=None, line_color=WARM, line_width=2, source=cursor)
    for axis in cells.axis:
        axis.ticker = BasicTicker(desired_num_ticks=40, min_interval=1, num_minor_ticks=0)
        axis.major_label_overrides = {place: label(name, 24) for place, name in enumerate(heat.names)}
        axis.major_label_text_font_size = "11px"
        axis.axis_line_color = None
    cells.xaxis.major_label_orientation = 0.9
    cells.grid.visible = False
    box = BoxZoomTool()
    cells.add_tools(box)
    cells.toolbar.active_drag = box
    bar = ColorBar(color_mapper=mapper, height=10, title=_unit(heat.method), background_fill_color=None, padding=4,
                   major_label_text_font=FONT, title_text_font=FONT, title_text_font_style="normal")  # fmt: skip
    cells.add_layout(bar, "below")
    return gridplot([[tree], [cells]], sizing_mode="stretch_width", merge_tools=False, toolbar_location=None)


def _mapper(heat: HeatMap) -> LinearColorMapper:
    signed = heat.method in SIGNED
    light, dark = (list(interp_palette(colours, 255)) for colours in (SIGNED_COLOURS if signed else COLOURS))
    high = 1.0
    if heat.method == "mutual_information":
        high = max(float(np.nanmax(heat.values)), 1e-12)
    return LinearColorMapper(palette=light, low=-1.0 if signed else 0.0, high=high, nan_color="#80808038",
                             name="colours", tags=[light, dark])  # fmt: skip


def _unit(method: str) -> str:
    return "mutual information, nats" if method == "mutual_information" else method.replace("_", " ")


def graph_plot(graph: Graph) -> figure:
    """Return features as dots, what they say alone by size, and synergies as lines, what they say by width."""
    made = plot(height=460, x_range=Range1d(-1.35, 1.35), y_range=Range1d(-1.2, 1.3))
    made.axis.visible = made.grid.visible = False
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
    lines = made.segment("x_a", "y_a", "x_b", "y_b", line_width="width", line_dash="dash", line_color=WARM,
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
    dots = made.scatter("x", "y", size="size", fill_color=MARK, line_color=None, source=nodes)
    for (name, (x, y)), size in zip(place.items(), sizes, strict=True):
        made.add_layout(Label(x=float(x), y=float(y), y_offset=4 + size / 2, text=label(name, 22), text_align="center",
                              text_font=FONT, text_font_size="12px"))  # fmt: skip
    synergy = [
        ("", "@said"),
        ("synergy", "@synergy{0.00000} nats"),
        ("interval", "@ci_low{0.00000} to @ci_high{0.00000}"),
    ]
    made.add_tools(HoverTool(tooltips=synergy, renderers=[lines], line_policy="interp"))
    made.add_tools(HoverTool(tooltips=[("", "@said"), ("alone", "@alone{0.00000} nats")], renderers=[dots]))
    return made
