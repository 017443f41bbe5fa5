"""The feature views of a run: one of the dataset's columns, and of every image column its vectors and descriptors."""

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


@dataclass(frozen=True)
class Feature:
    """One feature."""

    name: str
    """In Feast."""
    column: str
    """Column of the run's tables."""
    type: pa.DataType
    """Of its values."""
    width: int | None = None
    """Dimensions of a vector."""


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
    """Of its copied rows, below the place for copies; None where it reads the dataset itself."""
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
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return found if found[:1].isalpha() else f"f_{found}"


def views_of(run: Run, source: Source, project: str) -> tuple[list[View], str | None]:
    """Return the views, and why the dataset is copied for the first of them, if it is."""
    told = set(run.arrow("profile")["column"].to_pylist())
    columns = tuple(column for column in source.features if column.name in told)
    names = safe_names([column.name for column in (*source.keys, source.time, *columns)], TAKEN - {source.time.name})
    reason = source.why_copied(names, run.store.options)
    keys = tuple(Feature(names[key.name], key.name, key_dtype(key)) for key in source.keys)
    time = names[source.time.name]
    features = tuple(Feature(names[column.name], column.name, feature_type(column)) for column in columns)
    found = []
    if features:
        said = "Columns of the dataset that featflow describes and ranks."
        view = View(f"{project}_columns", keys, time, features, said, None)
        found.append(_placed(view) if reason else view)
    found += _of_images(run, keys, time)
    return _apart(found), reason if features else None


def _apart(views: list[View]) -> list[View]:
    """Return views whose names differ, in whatever case: columns that differ in nothing else are numbered."""
    names = [view.name.lower() for view in views]
    twice = {number for number, name in enumerate(names) if name in names[:number]}
    return [
        replace(view, name=f"{view.name}_{number + 1}") if number in twice else view
        for number, view in enumerate(views)
    ]


def _of_images(run: Run, keys: tuple[Feature, ...], time: str) -> list[View]:
    if "embedding_profile" not in run.tables:
        return []
    rows = run.arrow("embedding_profile").select(["column", "encoder", "width"]).to_pylist()
    encoders: dict[str, int] = {}
    for row in rows:
        encoders[row["column"]] = encoders.get(row["column"], 0) + 1
    labels, found = safe_names([row["column"] for row in rows]), []
    for row in rows:
        column, encoder, named = row["column"], row["encoder"], identifier(labels[row["column"]])
        of_pixels = encoder.startswith(DESCRIPTORS)
        kind = f"_{DESCRIPTORS if of_pixels else 'model'}" if encoders[column] > 1 else ""
        image = (column, encoder)
        vector = Feature("embedding", column, pa.list_(pa.float32()), row["width"])
        said = f"Vectors of {encoder}."
        found.append(_placed(View(f"{named}{kind}_embedding", keys, time, (vector,), said, None, image)))
        features = _descriptors(column) if of_pixels else ()
        if len(features) == row["width"]:
            found.append(_placed(View(f"{named}_{DESCRIPTORS}", keys, time, features, said, None, image)))
    return found


def _descriptors(column: str) -> tuple[Feature, ...]:
    names = safe_names([f"{column}.{name}" for name in image_options.DESCRIPTORS])
    return tuple(Feature(name, made, pa.float32()) for made, name in names.items())


def _placed(view: View) -> View:
    """Return the view with a folder for its copy: another schema has another, as parts of two do not mix."""
    digest = hashlib.sha256(repr((view.schema, view.image)).encode()).hexdigest()[:8]
    return replace(view, folder=f"{view.name}-{digest}")
