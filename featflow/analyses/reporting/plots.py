"""Bokeh figures in the page's style. CSS sets colours of text, axes and grids; those of marks suit light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.models import FixedTicker, PlainText
from bokeh.plotting import figure

from featflow.analyses.reporting.labels import shown

__all__ = ["FONT", "MARK", "NOISE", "WARM", "label", "name_axis", "narrow", "plot"]

MARK, NOISE, WARM = "#3b7dd8", "#868e99", "#c9632a"
"""Colours of measured values, of noise, and of a second kind of mark: a contrast of at least 3 to 1 on white and on the
dark page."""
TEX = ("$$", "\\[", "\\(")
"""Marks of text that Bokeh takes for a formula, for which it would fetch a typesetter from outside the page."""
FONT = "system-ui, sans-serif"


def label(name: str, most: int = 28) -> Any:
    """Return a name as a label that stays text."""
    text = shown(name, most)
    return PlainText(text=text) if any(mark in text for mark in TEX) else text


def plot(**options: Any) -> figure:
    """Return an empty figure in the page's style."""
    fig = figure(
        **{
            "toolbar_location": None,
            "tools": "",
            "sizing_mode": "stretch_width",
            "background_fill_color": None,
            "border_fill_color": None,
            "outline_line_color": None,
        }
        | options
    )
    fig.toolbar.logo = None
    for axis in fig.axis:
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
    return fig


def narrow(**properties: Any) -> list[Any]:
    """Return tags of a model that hold its properties for a narrow page, as on a phone."""
    return [{"narrow": properties}]


def name_axis(axis: Any, names: Sequence[str], most: int = 28) -> None:
    """Put names along an axis, the first at 0."""
    axis.ticker = FixedTicker(ticks=list(range(len(names))))
    axis.major_label_overrides = {place: label(name, most) for place, name in enumerate(names)}
    axis.major_tick_line_color = None
