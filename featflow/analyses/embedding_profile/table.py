"""The embedding_profile table: one row a column of images and encoder.

The effective rank is that of Roy & Vetterli (2007, EUSIPCO), of the eigenvalues of the covariance in place of singular
values. Fisher's ratio of a dimension is its variance between classes over that within; of all dimensions together it
is trace(Sb) / trace(Sw), criterion J4 of Fukunaga (1990, section 10.1), after every dimension was divided by its
standard deviation within classes, so that no unit decides: that is the mean of the dimensions' ratios.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.embedding_profile.tables import EMBEDDING_PROFILE
from featflow.columns.codebook import Coding, NumberCoding, target_classes
from featflow.columns.sort_keys import key_values
from featflow.measures.classification import Classification, prefix_lengths
from featflow.summaries.class_moments import ClassMoments
from featflow.summaries.vector_moments import NORM_EDGES, VectorMoments

__all__ = ["ImageStates", "TargetStates", "class_names", "effective_rank", "embedding_profile", "fisher_ratios"]


DUPLICATE_COLUMNS = "exact_duplicates", "near_duplicates", "leakage"
"""Columns of the table that come from image hashes, not from vectors."""


@dataclass(frozen=True)
class TargetStates:
    """States of an image column's vectors by class of a target."""

    target: Coding
    """The target."""
    moments: ClassMoments
    """Moments by class, of all rows."""
    held_out: Classification
    """Counts of right answers over all shards, each classified by classifiers made from other shards."""


@dataclass(frozen=True)
class ImageStates:
    """States of the vectors of an image column and an encoder."""

    column: str
    """Name of the column."""
    encoder: str
    """Id of the encoder."""
    moments: VectorMoments
    """Moments of all vectors."""
    targets: tuple[TargetStates, ...] = ()
    """States by target."""
    duplicates: Mapping[str, Any] = field(default_factory=dict)
    """Values of ``exact_duplicates``, ``near_duplicates`` and ``leakage``, which come from hashes."""


def embedding_profile(images: Sequence[ImageStates]) -> pa.Table:
    """Return the table ``embedding_profile``, one row an entry; what does not exist is null.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> from featflow.summaries import VectorMomentsSummarizer
    >>> lists = pa.array([[3.0, 4.0], [5.0, 4.0], None], pa.list_(pa.float32(), 2))
    >>> spec = VectorMomentsSummarizer(Column("v", "vector", Kind.VECTOR), 2)
    >>> table = embedding_profile([ImageStates("photo", "mine", spec.summarize(pa.record_batch({"v": lists})))])
    >>> row = table.to_pylist()[0]
    >>> row["valid"], row["failed"], row["centroid"], row["variance"], row["dead_dimensions"]
    (2, 1, [4.0, 4.0], [2.0, 0.0], 1)
    """
    rows = [_row(entry) for entry in images]
    names = rows[0] if rows else {"column": None}
    return EMBEDDING_PROFILE.build({name: [row[name] for row in rows] for name in names})


def _row(images: ImageStates) -> dict[str, Any]:
    moments, width = images.moments, len(images.moments.mean)
    used = np.flatnonzero(moments.norms)
    bins = slice(used[0], used[-1] + 1) if len(used) else slice(0, 0)
    freedom = moments.n - 1
    row: dict[str, Any] = {
        "column": images.column,
        "encoder": images.encoder,
        "rows": moments.rows,
        "valid": moments.n,
        "failed": moments.absent,
        "nonfinite": moments.nonfinite,
        "width": width,
        "norm_edges": NORM_EDGES[bins.start : bins.stop + 1].tolist() if len(used) else [],
        "norm_counts": moments.norms[bins].tolist(),
        "centroid": moments.mean.tolist() if moments.n else None,
        "prefix": prefix_lengths(width).tolist(),
        "targets": [_target_row(states) for states in images.targets],
        **{name: images.duplicates.get(name) for name in DUPLICATE_COLUMNS},
    }
    varying = dict.fromkeys(("variance", "spectrum", "effective_rank", "dead_dimensions", "prefix_variance"))
    if freedom < 1:
        return row | varying
    variance = np.diagonal(moments.comoments) / freedom
    spectrum = np.maximum(np.linalg.eigvalsh(moments.comoments / freedom)[::-1], 0.0)
    leading = np.cumsum(variance)[prefix_lengths(width) - 1]
    return row | {
        "variance": variance.tolist(),
        "spectrum": spectrum.tolist(),
        "effective_rank": effective_rank(spectrum),
        "dead_dimensions": int((moments.low == moments.high).sum()),
        "prefix_variance": (leading / leading[-1]).tolist() if leading[-1] > 0 else None,
    }


def effective_rank(spectrum: np.ndarray) -> float | None:
    """Return exp of the entropy of a spectrum's shares; None where nothing varies.

    Parameters
    ----------
    spectrum
        Eigenvalues, none negative.

    Examples
    --------
    >>> round(effective_rank(np.array([2.0, 2.0, 2.0, 0.0])), 9)
    3.0
    """
    total = float(spectrum.sum())
    if total <= 0:
        return None
    shares = spectrum[spectrum > 0] / total
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def fisher_ratios(moments: ClassMoments) -> np.ndarray:
    """Return the variance of each dimension between classes over that within, shape (d,).

    NaN where it does not vary within classes.
    """
    rows = max(int(moments.n.sum()), 1)
    between = moments.n @ (moments.mean - moments.n @ moments.mean / rows) ** 2
    within = moments.scatter.sum(axis=0)
    return np.asarray(np.divide(between, within, out=np.full(len(within), np.nan), where=within > 0))


def _target_row(states: TargetStates) -> dict[str, Any]:
    moments, held_out = states.moments, states.held_out
    names, seen = class_names(states.target), np.flatnonzero(moments.n)
    ratios, rows = fisher_ratios(moments), int(held_out.n.sum())
    finite = ratios[np.isfinite(ratios)]
    nearest = (held_out.nearest.sum(axis=1) / rows).tolist() if rows else None
    return {
        "target": states.target.column.name,
        "classes": [
            {
                "class": names[index],
                "n": int(moments.n[index]),
                "centroid": moments.mean[index].tolist(),
                "scatter": float(moments.scatter[index].sum() / moments.n[index]),
            }
            for index in seen
        ],
        "majority_share": float(moments.n.max() / moments.n.sum()) if len(seen) else None,
        "fisher_ratio": float(finite.mean()) if len(finite) else None,
        "fisher_by_dimension": [float(ratio) if np.isfinite(ratio) else None for ratio in ratios],
        "nearest_mean_accuracy": nearest[-1] if nearest else None,
        "linear_probe_accuracy": float(held_out.probe.sum() / rows) if rows else None,
        "prefix_accuracy": nearest,
        "held_out_rows": rows,
    }


def class_names(target: Coding) -> list[str]:
    """Return the names of a target's classes: levels, "other" for what is counted together, intervals of a number.

    A frequent value of a category of too many levels is known by its hash alone.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding, number_coding
    >>> from featflow.columns.sort_keys import sortable_keys
    >>> from featflow.columns.column import Column, Kind
    >>> class_names(category_coding(Column("x", "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16))
    ['a', 'b', 'other']
    >>> keys = sortable_keys(np.array([1, 4, 9]))
    >>> class_names(number_coding(Column("x", "int64", Kind.NUMBER), keys, np.array([5, 5, 5]), 0, (64, 16)))
    ['below 2', '2 to below 5', '5 and above']
    """
    classes = target_classes(target)
    if isinstance(target, NumberCoding):
        starts = np.flatnonzero(np.diff(classes[1:]))  # the fine bins after which a class ends
        edges = [f"{value:.6g}" for value in key_values(target.edges[starts], target.column.type)]
        if not edges:
            return ["every value"]
        between = [f"{low} to below {high}" for low, high in pairwise(edges)]
        return [f"below {edges[0]}", *between, f"{edges[-1]} and above"]
    single = [None, *target.levels.to_pylist(), *(f"hash {value:016x}" for value in target.heavy.tolist())]
    names = []
    for place in range(1, int(classes.max()) + 1):
        codes = np.flatnonzero(classes == place)
        alone = len(codes) == 1 and codes[0] < len(single)
        names.append(single[codes[0]] if alone else "other")
    return names
