"""Renders a run's sections as one HTML file that loads nothing from elsewhere."""

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
"""Ids of the page's own parts and listings, which no section may use."""


def page(run: Run, sections: Sequence[Section], limits: PageLimits) -> str:
    """Return the page of a run with its sections, in their order.

    Raises
    ------
    ValueError
        Two sections use the same id.
    """
    _check_ids(sections)
    quarantine = quarantine_listing(run, limits)
    scripts = {"bokeh": _bokeh_script(), "report": _template_text("report.js")}
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts.values())
    script_sources = " ".join(f"'sha256-{digest}'" for digest in hashes)
    # Only the page's own scripts run, by their digests: texts of a dataset cannot bring another.
    policy = (
        f"default-src 'none'; script-src {script_sources}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("report.html")
        .render(
            head=overview(run),
            listings={} if quarantine is None else {quarantine.name: quarantine},
            parts=[_section_values(section) for section in sections],
            policy=policy,
            style=Markup(_template_text("report.css")),  # noqa: S704  our own file
            scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  our own file, and Bokeh's
        )
    )


def _section_values(section: Section) -> dict[str, Any]:
    """Return a section's text, and its template's macros, which the page calls in other places."""
    listings = {each.name: each for each in section.listings}
    template = _environment().get_template(section.template)
    module = template.make_module({**section.values, "listings": listings, "plots": section.plots})
    return {"name": section.name, "title": section.title, "text": escape(module).strip(), "macros": module}


def _check_ids(sections: Iterable[Section]) -> None:
    seen = set(OWN_IDS)
    for section in sections:
        # A section's own listing may bear its name: the ids of listings end in -rows and -caption.
        for name in {section.name, *(each.name for each in section.listings), *section.plots}:
            if name in seen:
                raise ValueError(f"section {section.name}: the page has '{name}' already")
            seen.add(name)


def _strict_json(value: Any, **_: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _script_safe_json(value: Any) -> Markup:
    """Return JSON that ends no script and opens no tag, whatever texts it holds."""
    return htmlsafe_json_dumps(value, dumps=_strict_json)


@lru_cache
def _bokeh_script() -> str:
    """Return Bokeh's own script, without its widgets, tables and typesetter."""
    return "\n".join(Resources(mode="inline", log_level="error", components=["bokeh"]).js_raw)


@lru_cache
def _template_text(name: str) -> str:
    return (files.files("featflow.export.report") / "templates" / name).read_text(encoding="utf-8")


@lru_cache
def _environment() -> Environment:
    """Return the environment that finds the page's own templates and those in the folders of analyses."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("featflow.export.report"), PackageLoader("featflow.analyses", "")]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"drawn": json_item, "embedded": _script_safe_json, "number": _number_text, "shown": shown}
    environment.globals |= {"plural": plural}
    return environment


def _number_text(value: float | None, digits: int = 4) -> str:
    """Return a number as text of a few digits; "none" where there is none."""
    number = rounded(value, digits)
    return "none" if number is None else f"{number:,}" if isinstance(number, int) else f"{number:.{digits}g}"
