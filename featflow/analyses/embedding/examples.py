"""Example images: those with low, middle and high values of the image features that rank best."""

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
"""Columns of images, and features of each, that have examples: with 5 images in 3 groups, at most 180 thumbnails."""
GROUPS = {"low": (0.0, 0.04), "middle": (0.48, 0.52), "high": (0.96, 1.0)}
"""Quantiles that examples are taken from: 4 % wide, so that an odd image does not stand for its end alone."""
TABLE_COLUMNS = {"column", "encoder", "status", "error", "embedding"}
"""Columns of the embedding table that are not keys of an image."""


@dataclass(frozen=True)
class Example:
    """One image."""

    uri: str
    """Thumbnail, as a data URI."""
    caption: str
    """Keys of the image, as text."""
    value: float
    """Value of the feature."""


@dataclass(frozen=True)
class Moving:
    """A feature of images, its scores, and examples of its values."""

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
    """Images that were looked at for examples, as text; empty where all were."""

    def fewer(self, examples: int) -> ImageColumn:
        """Return it with at most so many examples of each group, the outermost among them."""
        return replace(self, moving=tuple(replace(m, groups=_outermost(m.groups, examples)) for m in self.moving))


def _outermost(groups: dict[str, tuple[Example, ...]], count: int) -> dict[str, tuple[Example, ...]]:
    places = {group: np.linspace(0, len(examples) - 1, min(count, len(examples))) for group, examples in groups.items()}
    return {group: tuple(groups[group][int(place)] for place in spread) for group, spread in places.items()}


@dataclass(frozen=True)
class Scores:
    """Scores of features in a run's tables."""

    ranking: pl.DataFrame | None
    pairs: pl.DataFrame | None
    """Significant interactions, most synergy first."""

    @classmethod
    def of(cls, run: Run) -> Scores:
        """Return the scores in those tables that a run has."""
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
        """Return features in order: significant ones, those of a significant pair, others; each group by rank."""
        ordered = []
        if self.ranking is not None:
            ranked = self.ranking.filter(pl.col("feature").is_in(features)).sort("rank")
            ordered += ranked.filter(pl.col("significant"))["feature"].to_list()
        if self.pairs is not None:
            paired = self.pairs.select(pl.concat_list("feature_a", "feature_b")).to_series().explode()
            ordered += [feature for feature in paired.to_list() if feature in set(features)]
        if self.ranking is not None:
            ordered += ranked["feature"].to_list()
        return list(dict.fromkeys([*ordered, *features]))


def image_columns(run: Run, scores: Scores, limits: PageLimits) -> list[ImageColumn]:
    """Return the first image columns of a run with examples; with the reason where images cannot be read."""
    if "embedding_profile" not in run.tables or "embedding" not in run.tables:
        return []
    profiled = run.table("embedding_profile").head(MOST_COLUMNS).to_dicts()
    try:
        chosen, shards = pieces(run)
    except (FeatflowError, OSError) as error:
        return [ImageColumn(row["column"], row, problem=str(error)) for row in profiled]
    columns = []
    for row in profiled:
        try:
            moving = _moving_features(run, row, scores, chosen, limits)
            columns.append(ImageColumn(row["column"], row, moving, looked_at=_looked_at(chosen, shards)))
        except (FeatflowError, OSError) as error:
            columns.append(ImageColumn(row["column"], row, problem=str(error)))
    return columns


def _looked_at(chosen: list[Piece], shards: int) -> str:
    cut = any(piece.shard.rows > MOST_IMAGES for piece in chosen)
    if len(chosen) == shards and not cut:
        return ""
    return f"{f'the first {MOST_IMAGES:,} images of each of ' if cut else ''}{len(chosen)} of {shards:,} shards"


def _moving_features(
    run: Run, profiled: dict[str, Any], scores: Scores, chosen: list[Piece], limits: PageLimits
) -> tuple[Moving, ...]:
    column, options = profiled["column"], run.store.options
    names, measure = _measure(run, profiled)
    keys, measured = list[pl.DataFrame](), list[np.ndarray]()
    for piece in chosen:  # one at a time: vectors are wide
        table = first_rows(piece, (column, profiled["encoder"]), options)
        measured.append(measure(_dense(table["embedding"], profiled["width"])))
        piece_keys = pl.DataFrame(pl.from_arrow(table.drop_columns(sorted(TABLE_COLUMNS))))
        keys.append(piece_keys.with_columns(pl.all().cast(pl.String)))
    values = np.concatenate(measured)
    rows_by_feature = {
        name: _example_rows(values[:, names.index(name)], limits.examples)
        for name in _best_features(column, names, scores, values)
    }
    starts = np.cumsum([0, *map(len, measured)])
    example_rows = np.unique(
        [row for groups in rows_by_feature.values() for rows in groups.values() for row in rows]
    ).astype(int)
    configured = run.manifest["config"]["dataset"].get("images", ())
    pixels = next((each["most_pixels"] for each in configured if each["column"] == column), 0)  # 0 shows no picture
    uris: dict[int, str | None] = {}
    for piece, start, end in zip(chosen, starts, starts[1:], strict=False):
        rows = [int(row - start) for row in example_rows if start <= row < end]
        if rows:
            data = images(piece, column, rows, options)
            uris |= {int(start) + row: thumbnail(content, pixels) for row, content in data.items()}
    key_frame = pl.concat(keys)
    captions = {
        int(row): _caption(key_frame.row(int(row), named=True) if key_frame.width else {}, int(row))
        for row in example_rows
    }
    features = []
    for name, groups in rows_by_feature.items():
        place = names.index(name)
        shown_groups = {
            group: tuple(
                Example(str(uris[row]), captions[row], float(values[row, place])) for row in rows if uris.get(row)
            )
            for group, rows in groups.items()
        }
        feature = f"{column}.{name}"
        features.append(Moving(feature, scores.ranks(feature), scores.interactions(feature), shown_groups))
    return tuple(features)


def _dense(vectors: pa.ChunkedArray, width: int) -> np.ndarray:
    """Return vectors, NaN where there is none, shape (images, width)."""
    dense = np.full((len(vectors), width), np.nan, np.float32)
    dense[vectors.is_valid().to_numpy()] = pc.list_flatten(vectors).to_numpy().reshape(-1, width)
    return dense


def _measure(run: Run, profiled: dict[str, Any]) -> tuple[list[str], Callable[[np.ndarray], np.ndarray]]:
    """Return names of image features, and the function that makes them of vectors, shape (images, names)."""
    if profiled["encoder"].startswith("descriptors"):
        return list(DESCRIPTORS), lambda vectors: vectors
    states, key = RunStates(run), (profiled["column"], profiled["encoder"])
    (path,) = (e["path"] for e in states.noted("embedding_profile")["vectors"] if (e["column"], e["encoder"]) == key)
    moments = states.read("vector_moments", path)
    axes, _ = principal_directions(moments)
    leading = axes[: max(MOST_FEATURES * 2, 1)]
    return [
        f"direction_{place + 1}" for place in range(len(leading))
    ], lambda vectors: (vectors - moments.mean) @ leading.T


def _best_features(column: str, names: list[str], scores: Scores, values: np.ndarray) -> list[str]:
    """Return the features that rank best about any target, of those with more than two values."""
    varied = {name for name, feature_values in zip(names, values.T, strict=True) if len(np.unique(feature_values)) > 2}
    order = scores.order([f"{column}.{name}" for name in names])
    return [name for name in (each.removeprefix(f"{column}.") for each in order) if name in varied][:MOST_FEATURES]


def _example_rows(values: np.ndarray, count: int) -> dict[str, list[int]]:
    """Return rows at low, middle and high values, ascending."""
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    last = max(len(order) - 1, 0)
    groups = {}
    for group, (low, high) in GROUPS.items():
        first, end = round(low * last), round(high * last)
        if end - first < count - 1:  # of few images, the neighbours
            first = min(max(first - count // 2, 0), max(last - count + 1, 0))
            end = min(first + count - 1, last)
        places = np.unique(np.linspace(first, end, count).astype(int))
        groups[group] = [int(order[place]) for place in places if place < len(order)]
    return groups


def _caption(keys: dict[str, Any], row: int) -> str:
    named = ", ".join(f"{shown(name, 30)} {shown(str(value), 40)}" for name, value in keys.items() if value is not None)
    return named or f"image {row + 1}"
