"""The texts of a Feast repository: its configuration, its definitions, how to load it, and what is in it.

Names of columns are written as Python's or shell's own quotation of them: they are anything.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from featflow.export.feast.types import DTYPES
from featflow.export.feast.views import Feature, View

__all__ = ["Repository", "Service", "definitions", "feature_store", "materialize", "readme"]

VALUE_TYPES = {"Int64": "INT64", "String": "STRING"}
ENDPOINT = 'os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")'


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
    return f"""# Written once by featflow; yours to change. featflow leaves it alone from now on.
project: {project}
provider: local
registry: registry.db
online_store:
  type: sqlite
  path: online_store.db
offline_store:
  type: file
data_quality_monitoring:
  auto_baseline: false  # featflow writes the baseline
entity_key_serialization_version: 3
"""


def definitions(repository: Repository) -> str:
    """Return the module that ``feast apply`` reads."""
    views = repository.views
    kinds = sorted({_dtype(each) for view in views for each in (*view.keys, *view.features)})
    imports = sorted({name for kind in kinds for name in kind.removesuffix(")").split("(")})
    keys = list(dict.fromkeys(key for view in views for key in view.keys))
    entities = {key: f"entity_{number}" for number, key in enumerate(keys, 1)}
    named = {view.name: f"view_{number}" for number, view in enumerate(views, 1)}
    lines = [
        '"""Feast\'s definitions of what featflow found. Every export writes them anew: change the run."""',
        "",
        "import os",
        "from datetime import timedelta",
        "",
        "from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType",
        f"from feast.types import {', '.join(imports)}",
        "",
        f"RUN = {{'featflow_run': {repository.pointer!a}}}",
        f"ENDPOINT = {ENDPOINT}",
        "",
    ]
    for key, variable in entities.items():
        value = VALUE_TYPES[_dtype(key)]
        name = ascii(key.name)
        lines.append(f"{variable} = Entity(name={name}, join_keys=[{name}], value_type=ValueType.{value}, tags=RUN)")
    for view, path in zip(views, repository.paths, strict=True):
        lines += _view(view, path, named[view.name], [entities[key] for key in view.keys])
    for number, service in enumerate(repository.services, 1):
        chosen = ", ".join(f"{named[view]}[{_names(selected)}]" for view, selected in service.by_view().items())
        said = ascii(f"What tells about {service.target}, by rank.")
        lines += ["", f"service_{number} = FeatureService("]
        lines += [f"    name={service.name!a}, features=[{chosen}], description={said}, tags=RUN", ")"]
    return "\n".join(lines) + "\n"


def _view(view: View, path: str, variable: str, entities: list[str]) -> list[str]:
    source = f"path={path!a}, timestamp_field={view.time!a}"
    endpoint = ", s3_endpoint_override=ENDPOINT" if path.startswith("s3://") else ""
    fields = [f"        Field({_field(each)})," for each in (*view.keys, *view.features)]
    return [
        "",
        f"{variable}_source = FileSource(name={view.name + '_source'!a}, {source}{endpoint})",
        f"{variable} = FeatureView(",
        f"    name={view.name!a},",
        f"    entities=[{', '.join(entities)}],",
        "    ttl=timedelta(0),",
        "    schema=[",
        *fields,
        "    ],",
        f"    source={variable}_source,",
        f"    description={view.description!a},",
        "    tags=RUN,",
        ")",
    ]


def _field(feature: Feature) -> str:
    said = f"name={feature.name!a}, dtype={_dtype(feature)}"
    if feature.width:
        said += f', vector_index=True, vector_length={feature.width}, vector_search_metric="cosine"'
    return said + (f", description={feature.column!a}" if feature.column != feature.name else "")


def _dtype(feature: Feature) -> str:
    return "Array(Float32)" if feature.width else DTYPES[feature.type]


def _names(names: Sequence[str]) -> str:
    return f"[{', '.join(map(ascii, names))}]"


def materialize(repository: Repository) -> str:
    """Return the script that loads the online store with the run's stretch of event time."""
    return f"""#!/bin/sh
# Loads the event time of the run that was exported last, whatever was loaded before. materialize-incremental would
# pass over what came late: it starts where it ended last.
cd "$(dirname "$0")" && exec feast materialize {repository.start} {repository.end}
"""


def readme(repository: Repository) -> str:
    """Return what is in the repository, for people."""
    lines = [
        f"# {repository.project}",
        "",
        f"Written by featflow; the run is the one that {_code(repository.pointer)} names. Apply and load it:",
        "",
        "```sh",
        "feast apply",
        f"feast materialize {repository.start} {repository.end}",
        "```",
        "",
        "After a back-fill, export again and load the stretch that it prints; `materialize.sh` holds it too.",
        "Do not use `materialize-incremental`: it starts where it ended last and passes over what came late.",
        "",
        "| view | features | rows are in |",
        "|---|---|---|",
    ]
    for view, path in zip(repository.views, repository.paths, strict=True):
        lines.append(f"| `{view.name}` | {len(view.features):,} | {_code(path)} |")
    for service in repository.services:
        lines += ["", f"## `{service.name}`: what tells about {_code(service.target)}, by rank", ""]
        lines += [f"{rank}. {_code(name)} of `{view}`" for rank, (view, name) in enumerate(service.features, 1)]
    if repository.notes:
        lines += ["", "## To know", "", *(f"* {html.escape(note, quote=False)}" for note in repository.notes)]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Return text between backticks, without what would end them or the row of a table."""
    return f"`{text.encode('unicode_escape').decode().replace('`', chr(39)).replace('|', '/')}`"
