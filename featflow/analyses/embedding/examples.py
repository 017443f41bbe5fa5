"""Images beside what is measured of them: low, middle and high values of the features that rank best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.embedding.pictures import MOST_IMAGES, Piece, first_rows, images, pieces, thumbnail
from featflow.analyses.reporting.labels import shown
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.significance import false_discovery_rate, significant_pairs
from featflow.analyses.run_states import RunStates
from featflow.dataset.image_options import DESCRIPTORS
from featflow.errors import FeatflowError
from featflow.storage.run import Run
from featflow.transforms.projection.fit import principal_directions

__all__ = ["Example", "ImageColumn", "Moving", "Scores", "image_columns"]

MOST_COLUMNS, MOST_FEATURES = 3, 4
"""Columns of images, and features of each, that have examples."""
GROUPS = {"low": (0.0, 0.04), "middle": (0.48, 0.52), "high": (0.96, 1.0)}
"""Quantiles that examples are taken from."""
OF_TABLE = {"column", "encoder", "status", "error", "embedding"}


@dataclass(frozen=True)
class Example:
    """One image."""

    uri: str
    """Its thumbnail."""
    said: str
    """What it is, in words."""
    value: float
    """Of the feature."""


@dataclass(frozen=True)
class Moving:
    """A feature of images and what moves with it."""

    feature: str
    ranks: tuple[dict[str, Any], ...]
    """Its rows of the ranking, best first."""
    pairs: tuple[dict[str, Any], ...]
    """Its significant rows of the interactions, best first."""
    groups: dict[str, tuple[Example, ...]]
    """Examples by low, middle and high."""


@dataclass(frozen=True)
class ImageColumn:
    """A column of images."""

    column: str
    profile: dict[str, Any]
    """Its row of embedding_profile."""
    moving: tuple[Moving, ...] = ()
    problem: str = ""
    """Why there are no examples."""
    looked_at: str = ""
    """What examples are from, where that is not every image."""

    def fewer(self, examples: int) -> ImageColumn:
        """Return it with at most so many examples of each group, the outermost among them."""
        return replace(self, moving=tuple(replace(m, groups=_fewer(m.groups, examples)) for m in self.moving))


def _fewer(groups: dict[str, tuple[Example, ...]], count: int) -> dict[str, tuple[Example, ...]]:
    places = {group: np.linspace(0, len(found) - 1, min(count, len(found))) for group, found in groups.items()}
    return {group: tuple(groups[group][int(place)] for place in at) for group, at in places.items()}


@dataclass(frozen=True)
class Scores:
    """What a run says of features."""

    ranking: pl.DataFrame | None
    pairs: pl.DataFrame | None
    """Significant interactions, most synergy first."""

    @classmethod
    def of(cls, run: Run) -> Scores:
        """Return what a run says, of the tables that it has."""
        pairs = run.table("interaction") if "interaction" in run.tables else None
        return cls(
            run.table("ranking") if "ranking" in run.tables else None,
            pairs if pairs is None else significant_pairs(pairs, false_discovery_rate(run)),
        )

    def ranks(self, feature: str) -> tuple[dict[str, Any], ...]:
        """Return a feature's rows of the ranking, best first."""
        if self.ranking is None:
            return ()
        return tuple(self.ranking.filter(pl.col("feature") == feature).sort("rank").to_dicts())

    def interactions(self, feature: str) -> tuple[dict[str, Any], ...]:
        """Return a feature's rows of the interactions, best first."""
        if self.pairs is None:
            return ()
        return tuple(self.pairs.filter((pl.col("feature_a") == feature) | (pl.col("feature_b") == feature)).to_dicts())

    def order(self, features: list[str]) -> list[str]:
        """Return features: significant alone, significant in a pair, others; each by rank."""
        found = []
        if self.ranking is not None:
            ranked = self.ranking.filter(pl.col("feature").is_in(features)).sort("rank")
            found += ranked.filter(pl.col("significant"))["feature"].to_list()
        if self.pairs is not None:
            paired = self.pairs.select(pl.concat_list("feature_a", "feature_b")).to_series().explode()
            found += [feature for feature in paired.to_list() if feature in set(features)]
        if self.ranking is not None:
            found += ranked["feature"].to_list()
        return list(dict.fromkeys([*found, *features]))


def image_columns(run: Run, scores: Scores, limits: PageLimits) -> list[ImageColumn]:
    """Return the first image columns of a run with examples; with the reason where images cannot be read."""
    if "embedding_profile" not in run.tables or "embedding" not in run.tables:
        return []
    profiled = run.table("embedding_profile").head(MOST_COLUMNS).to_dicts()
    try:
        some, every = pieces(run)
    except (FeatflowError, OSError) as error:
        return [ImageColumn(row["column"], row, problem=str(error)) for row in profiled]
    found = []
    for row in profiled:
        try:
            moving = _moving(run, row, scores, some, limits)
            found.append(ImageColumn(row["column"], row, moving, looked_at=_looked_at(some, every)))
        except (FeatflowError, OSError) as error:
            found.append(ImageColumn(row["column"], row, problem=str(error)))
    return found


def _looked_at(some: list[Piece], every: int) -> str:
    cut = any(piece.shard.rows > MOST_IMAGES for piece in some)
    if len(some) == every and not cut:
        return ""
    return f"{f'the first {MOST_IMAGES:,} images of each of ' if cut else ''}{len(some)} of {every:,} shards"


def _moving(
    run: Run, profiled: dict[str, Any], scores: Scores, some: list[Piece], limits: PageLimits
) -> tuple[Moving, ...]:
    column, options = profiled["column"], run.store.options
    names, measure = _measure(run, profiled)
    keys, measured = list[pl.DataFrame](), list[np.ndarray]()
    for piece in some:  # one at a time: vectors are wide
        table = first_rows(piece, (column, profiled["encoder"]), options)
        measured.append(measure(_dense(table["embedding"], profiled["width"])))
        of_piece = pl.DataFrame(pl.from_arrow(table.drop_columns(sorted(OF_TABLE))))
        keys.append(of_piece.with_columns(pl.all().cast(pl.String)))
    values = np.concatenate(measured)
    chosen = {
        name: _chosen(values[:, names.index(name)], limits.examples) for name in _best(column, names, scores, values)
    }
    starts = np.cumsum([0, *map(len, measured)])
    needed = np.unique([row for groups in chosen.values() for rows in groups.values() for row in rows]).astype(int)
    pixels = next(
        each["most_pixels"] for each in run.manifest["config"]["dataset"]["images"] if each["column"] == column
    )
    uris: dict[int, str | None] = {}
    for piece, start, end in zip(some, starts, starts[1:], strict=False):
        rows = [int(row - start) for row in needed if start <= row < end]
        if rows:
            data = images(piece, column, rows, options)
            uris |= {int(start) + row: thumbnail(content, pixels) for row, content in data.items()}
    named = pl.concat(keys)
    said = {int(row): _said(named.row(int(row), named=True) if named.width else {}, int(row)) for row in needed}
    found = []
    for name, groups in chosen.items():
        place = names.index(name)
        shown_groups = {
            group: tuple(Example(str(uris[row]), said[row], float(values[row, place])) for row in rows if uris.get(row))
            for group, rows in groups.items()
        }
        feature = f"{column}.{name}"
        found.append(Moving(feature, scores.ranks(feature), scores.interactions(feature), shown_groups))
    return tuple(found)


def _dense(vectors: pa.ChunkedArray, width: int) -> np.ndarray:
    """Return vectors, NaN where there is none, shape (images, width)."""
    found = np.full((len(vectors), width), np.nan, np.float32)
    found[vectors.is_valid().to_numpy()] = pc.list_flatten(vectors).to_numpy().reshape(-1, width)
    return found


def _measure(run: Run, profiled: dict[str, Any]) -> tuple[list[str], Callable[[np.ndarray], np.ndarray]]:
    """Return names of what is made of vectors, and what makes it, shape (images, names)."""
    if profiled["encoder"].startswith("descriptors"):
        return list(DESCRIPTORS), lambda vectors: vectors
    states, key = RunStates(run), (profiled["column"], profiled["encoder"])
    (path,) = (e["path"] for e in states.noted("embedding_profile")["vectors"] if (e["column"], e["encoder"]) == key)
    moments = states.read("vector_moments", path)
    axes, _ = principal_directions(moments)
    kept = axes[: max(MOST_FEATURES * 2, 1)]
    return [f"direction_{place + 1}" for place in range(len(kept))], lambda vectors: (vectors - moments.mean) @ kept.T


def _best(column: str, names: list[str], scores: Scores, values: np.ndarray) -> list[str]:
    """Return the features that say most about any target, of those that vary."""
    varied = {name for name, of_name in zip(names, values.T, strict=True) if len(np.unique(of_name)) > 2}
    order = scores.order([f"{column}.{name}" for name in names])
    return [name for name in (each.removeprefix(f"{column}.") for each in order) if name in varied][:MOST_FEATURES]


def _chosen(values: np.ndarray, count: int) -> dict[str, list[int]]:
    """Return rows at low, middle and high values, ascending."""
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    last = max(len(order) - 1, 0)
    found = {}
    for group, (low, high) in GROUPS.items():
        first, end = round(low * last), round(high * last)
        if end - first < count - 1:  # of few images, those at hand
            first = min(max(first - count // 2, 0), max(last - count + 1, 0))
            end = min(first + count - 1, last)
        places = np.unique(np.linspace(first, end, count).astype(int))
        found[group] = [int(order[place]) for place in places if place < len(order)]
    return found


def _said(keys: dict[str, Any], row: int) -> str:
    named = ", ".join(f"{shown(name, 30)} {shown(str(value), 40)}" for name, value in keys.items() if value is not None)
    return named or f"image {row + 1}"
