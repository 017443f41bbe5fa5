"""The feature views of a run: one of the dataset's columns, and one of each image column's vectors and descriptors."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

import pyarrow as pa

from featflow.dataset import image_options
from featflow.export.feast.source import Source
from featflow.export.feast.types import TAKEN, TIME, feature_type, key_dtype, safe_names
from featflow.storage.run import Run

__all__ = ["Feature", "View", "identifier", "views_of"]

DESCRIPTORS = "descriptors"
"""Beginning of the ids of encoders that need no model."""


@dataclass(frozen=True)
class Feature:
    """A column as a field of a feature view."""

    name: str
    """Its name in Feast."""
    column: str
    """Column of the run's tables."""
    type: pa.DataType
    """Type of its values in Feast."""
    width: int | None = None
    """Dimensions of a vector; None for a single value."""


@dataclass(frozen=True)
class View:
    """One feature view, and where its rows are."""

    name: str
    keys: tuple[Feature, ...]
    """Join keys."""
    time: str
    """Name of its event time."""
    features: tuple[Feature, ...]
    description: str
    folder: str | None
    """Folder of its copied rows, below that of all copies; None where Feast reads the dataset itself."""
    image: tuple[str, str] | None = None
    """Column of images and encoder."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of its copied rows."""
        rest = [(self.time, TIME), *((feature.name, feature.type) for feature in self.features)]
        return pa.schema([*((key.name, key.type) for key in self.keys), *rest])


def identifier(name: str) -> str:
    """Return a name that every store takes: letters, digits and underscores.

    Examples
    --------
    >>> identifier("my-flights 2"), identifier("1")
    ('my_flights_2', 'f_1')
    """
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return cleaned if cleaned[:1].isalpha() else f"f_{cleaned}"


def views_of(run: Run, source: Source, project: str) -> tuple[list[View], str | None]:
    """Return the views, and why the dataset is copied for the first of them, if it is."""
    profiled = set(run.arrow("profile")["column"].to_pylist())
    columns = tuple(column for column in source.features if column.name in profiled)
    names = safe_names([column.name for column in (*source.keys, source.time, *columns)], TAKEN - {source.time.name})
    reason = source.why_copied(names, run.store.options)
    keys = tuple(Feature(names[key.name], key.name, key_dtype(key)) for key in source.keys)
    time = names[source.time.name]
    features = tuple(Feature(names[column.name], column.name, feature_type(column)) for column in columns)
    views = []
    if features:
        description = "Columns of the dataset that featflow describes and ranks."
        view = View(f"{project}_columns", keys, time, features, description, None)
        views.append(_with_folder(view) if reason else view)
    views += _image_views(run, keys, time)
    return _with_distinct_names(views), reason if features else None


def _with_distinct_names(views: list[View]) -> list[View]:
    """Return the views, numbered where their names differ in nothing or only in case, as stores may ignore case."""
    names = [view.name.lower() for view in views]
    repeated = {number for number, name in enumerate(names) if name in names[:number]}
    return [
        replace(view, name=f"{view.name}_{number + 1}") if number in repeated else view
        for number, view in enumerate(views)
    ]


def _image_views(run: Run, keys: tuple[Feature, ...], time: str) -> list[View]:
    if "embedding_profile" not in run.tables:
        return []
    rows = run.arrow("embedding_profile").select(["column", "encoder", "width"]).to_pylist()
    encoders: dict[str, int] = {}
    for row in rows:
        encoders[row["column"]] = encoders.get(row["column"], 0) + 1
    labels, views = safe_names([row["column"] for row in rows]), []
    for row in rows:
        column, encoder, prefix = row["column"], row["encoder"], identifier(labels[row["column"]])
        is_descriptors = encoder.startswith(DESCRIPTORS)
        suffix = f"_{DESCRIPTORS if is_descriptors else 'model'}" if encoders[column] > 1 else ""
        image = (column, encoder)
        vector = Feature("embedding", column, pa.list_(pa.float32()), row["width"])
        description = f"Vectors of {encoder}."
        views.append(_with_folder(View(f"{prefix}{suffix}_embedding", keys, time, (vector,), description, None, image)))
        features = _descriptor_features(column) if is_descriptors else ()
        if len(features) == row["width"]:
            views.append(_with_folder(View(f"{prefix}_{DESCRIPTORS}", keys, time, features, description, None, image)))
    return views


def _descriptor_features(column: str) -> tuple[Feature, ...]:
    names = safe_names([f"{column}.{name}" for name in image_options.DESCRIPTORS])
    return tuple(Feature(name, original, pa.float32()) for original, name in names.items())


def _with_folder(view: View) -> View:
    """Return the view with a folder for its copy, named by its schema: Feast cannot read parts of two schemas."""
    digest = hashlib.sha256(repr((view.schema, view.image)).encode()).hexdigest()[:8]
    return replace(view, folder=f"{view.name}-{digest}")
