"""Figures to one HTML file that asks for nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from importlib import resources as files
from typing import Any

from bokeh.embed import json_item
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from featflow.analyses.correlation.plots import heat_plot
from featflow.analyses.interaction.plots import graph_plot
from featflow.analyses.ranking.plots import curve_plot, information_plot, rank_plot
from featflow.analyses.reporting.labels import plural, rounded, shown
from featflow.export.report.figures import Figures

__all__ = ["page"]


def page(figures: Figures) -> str:
    """Return the page of a run's figures."""
    plots = _plots(figures)
    scripts = {"bokeh": _bokeh(), "report": _file("report.js")}
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts.values())
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    policy = (
        f"default-src 'none'; script-src {allowed}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("report.html")
        .render(
            figures=figures,
            plots={name: _embedded(item) for name, item in plots.items()},
            payloads={each.name: _embedded(each.payload) for each in figures.listings.values()},
            names=[_embedded([shown(name) for name in heat.names]) for heat in figures.heats],
            policy=policy,
            style=Markup(_file("report.css")),  # noqa: S704  our own file
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  our own file, and Bokeh's
        )
    )


def _plots(figures: Figures) -> dict[str, Any]:
    """Return what Bokeh draws, by place in the page."""
    found = {}
    for index, ranked in enumerate(figures.rankings):
        found[f"information-{index}"] = information_plot(ranked)
        found[f"ranks-{index}"] = rank_plot(ranked)
        if ranked.features > len(ranked.drawn):
            found[f"curve-{index}"] = curve_plot(ranked)
    found |= {f"heat-{index}": heat_plot(heat) for index, heat in enumerate(figures.heats)}
    found |= {f"graph-{index}": graph_plot(graph) for index, graph in enumerate(figures.graphs)}
    return {name: json_item(model) for name, model in found.items()}


def _embedded(value: Any) -> Markup:
    """Return JSON that ends no script and opens no tag, whatever texts it holds."""
    return htmlsafe_json_dumps(value, dumps=_json)


def _json(value: Any, **_: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


@lru_cache
def _bokeh() -> str:
    """Return Bokeh's own script, without its widgets, tables and typesetter."""
    return "\n".join(Resources(mode="inline", log_level="error", components=["bokeh"]).js_raw)


@lru_cache
def _file(name: str) -> str:
    return (files.files("featflow.export.report") / "templates" / name).read_text(encoding="utf-8")


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("featflow.export.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
    )
    environment.filters |= {"shown": shown, "number": _number}
    environment.globals |= {"plural": plural}
    return environment


def _number(value: float | None, digits: int = 4) -> str:
    """Return a number as a sentence has it, none where there is none."""
    near = rounded(value, digits)
    return "none" if near is None else f"{near:,}" if isinstance(near, int) else f"{near:.{digits}g}"
