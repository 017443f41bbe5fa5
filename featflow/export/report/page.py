"""A run's sections to one HTML file that asks for nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources as files
from typing import Any

from bokeh.embed import json_item
from bokeh.resources import Resources
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from featflow.analyses.reporting.labels import plural, rounded, shown
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.export.report.overview import overview, quarantine_listing
from featflow.storage.run import Run

__all__ = ["page"]

OWN_IDS = ("main", "data", "run", "reading", "quarantine")
"""Of the page's own parts and listings."""


def page(run: Run, sections: Sequence[Section], limits: PageLimits) -> str:
    """Return the page of a run with its sections, in their order.

    Raises
    ------
    ValueError
        Two sections use the same id.
    """
    _check_ids(sections)
    lost = quarantine_listing(run, limits)
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
            head=overview(run),
            listings={} if lost is None else {lost.name: lost},
            parts=[_part(section) for section in sections],
            policy=policy,
            style=Markup(_file("report.css")),  # noqa: S704  our own file
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  our own file, and Bokeh's
        )
    )


def _part(section: Section) -> dict[str, Any]:
    """Return a section's text, and its template's macros that stand elsewhere in the page."""
    listings = {each.name: each for each in section.listings}
    template = _environment().get_template(section.template)
    module = template.make_module({**section.values, "listings": listings, "plots": section.plots})
    return {"name": section.name, "title": section.title, "text": escape(module).strip(), "macros": module}


def _check_ids(sections: Iterable[Section]) -> None:
    seen = set(OWN_IDS)
    for section in sections:
        # A section's own listing may bear its name: the ids of listings end in -rows and -caption.
        for used in {section.name, *(each.name for each in section.listings), *section.plots}:
            if used in seen:
                raise ValueError(f"section {section.name}: the page has '{used}' already")
            seen.add(used)


def _json(value: Any, **_: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _embedded(value: Any) -> Markup:
    """Return JSON that ends no script and opens no tag, whatever texts it holds."""
    return htmlsafe_json_dumps(value, dumps=_json)


@lru_cache
def _bokeh() -> str:
    """Return Bokeh's own script, without its widgets, tables and typesetter."""
    return "\n".join(Resources(mode="inline", log_level="error", components=["bokeh"]).js_raw)


@lru_cache
def _file(name: str) -> str:
    return (files.files("featflow.export.report") / "templates" / name).read_text(encoding="utf-8")


@lru_cache
def _environment() -> Environment:
    """Return what renders the page's own templates, and those that lie in the folders of analyses."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("featflow.export.report"), PackageLoader("featflow.analyses", "")]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"drawn": json_item, "embedded": _embedded, "number": _number, "shown": shown}
    environment.globals |= {"plural": plural}
    return environment


def _number(value: float | None, digits: int = 4) -> str:
    """Return a number as a sentence has it, none where there is none."""
    near = rounded(value, digits)
    return "none" if near is None else f"{near:,}" if isinstance(near, int) else f"{near:.{digits}g}"
