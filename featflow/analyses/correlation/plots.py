"""Plots of heat maps."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import gridplot
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColorBar,
    ColumnDataSource,
    GridPlot,
    LinearColorMapper,
    Range1d,
)
from bokeh.palettes import interp_palette

from featflow.analyses.correlation.heat_maps import HeatMap
from featflow.analyses.reporting.plots import FONT, NOISE, WARM, label, narrow, plot

__all__ = ["heat_plot"]

SIGNED = {"pearson", "spearman"}
"""Methods of values from -1 to 1."""

SIGNED_COLOURS = (
    ("#16427d", "#6fa3de", "#fafafa", "#e8a06c", "#963808"),
    ("#8cc2ff", "#2f65a8", "#1d2127", "#a35420", "#ffb27a"),
)
"""Colours on a light and on a dark page, from -1 to 1; 0 is close to the page's own colour."""

COLOURS = (("#fafafa", "#8fb9e8", "#2d68b2", "#0b2a55"), ("#1d2127", "#2a5a96", "#6cabf5", "#dcebff"))

CELL, MOST_SIDE, AROUND = 28, 700, 200
"""Pixels of a cell, of the square at most, so that it fits a screen, and of names, axis and colour bar around it."""

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
    # Rows of an image go up from y; the y axis is turned, so the first row is on top.
    source = ColumnDataSource({"image": [np.ascontiguousarray(heat.values, dtype=np.float32)]}, name="cells")
    cells.image("image", x=-0.5, y=-0.5, dw=count, dh=count, color_mapper=mapper, source=source)
    cursor = ColumnDataSource({"x": [], "y": []}, name="cursor")
    cells.rect("x", "y", width=1, height=1, fill_color=None, line_color=WARM, line_width=2, source=cursor)
    for axis in cells.axis:
        fewer = narrow(desired_num_ticks=16)
        axis.ticker = BasicTicker(desired_num_ticks=40, min_interval=1, num_minor_ticks=0, tags=fewer)
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
