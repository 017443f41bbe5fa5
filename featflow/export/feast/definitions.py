"""The texts of a Feast repository, from the templates beside this file.

Names of columns are anything: templates write them as Python quotes them (`literal`) or between backticks (`code`).
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from featflow.export.feast.types import DTYPES
from featflow.export.feast.views import Feature, View

__all__ = ["Repository", "Service", "feature_store", "texts"]


@dataclass(frozen=True)
class Service:
    """What was selected for a target."""

    name: str
    target: str
    features: tuple[tuple[str, str], ...]
    """View and name of every feature, by rank."""

    def by_view(self) -> dict[str, list[str]]:
        """Return the features of each view: Feast takes a view once."""
        found: dict[str, list[str]] = {}
        for view, feature in self.features:
            found.setdefault(view, []).append(feature)
        return found


@dataclass(frozen=True)
class Repository:
    """All that the texts say."""

    project: str
    """Name of the project in Feast."""
    pointer: str
    """URI that leads to the latest run, the same from night to night."""
    views: tuple[View, ...]
    paths: tuple[str, ...]
    """Where the rows of each view are."""
    services: tuple[Service, ...]
    start: str
    """First second of event time."""
    end: str
    """Last second of event time."""
    notes: tuple[str, ...]
    """What readers should know."""


def feature_store(project: str) -> str:
    """Return a configuration that needs no server."""
    return _environment().get_template("feature_store.yaml.jinja").render(project=project)


def texts(repository: Repository) -> dict[str, str]:
    """Return the files of a repository by name: what ``feast apply`` reads, how to load it, and what is in it."""
    features = [each for view in repository.views for each in (*view.keys, *view.features)]
    keys = dict.fromkeys(key for view in repository.views for key in view.keys)
    values = {
        "repository": repository,
        "imports": sorted({name for each in features for name in _dtype(each).removesuffix(")").split("(")}),
        "entities": {key: f"entity_{number}" for number, key in enumerate(keys, 1)},
        "variables": {view.name: f"view_{number}" for number, view in enumerate(repository.views, 1)},
    }
    environment = _environment()
    names = ("materialize.sh", "README.md", "definitions.py")
    return {name: environment.get_template(f"{name}.jinja").render(values) for name in names}


def _environment() -> Environment:
    loader = PackageLoader("featflow.export.feast")
    found = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701  no page
    found.filters |= {"literal": ascii, "code": _code, "dtype": _dtype, "zip": zip}
    found.filters["escaped"] = lambda text: html.escape(text, quote=False)
    return found


def _dtype(feature: Feature) -> str:
    return "Array(Float32)" if feature.width else DTYPES[feature.type]


def _code(text: str) -> str:
    """Return text between backticks, without what would end them or the row of a table."""
    return f"`{text.encode('unicode_escape').decode().replace('`', chr(39)).replace('|', '/')}`"
