"""Choice of pairs of a correlation table: the strongest of each column to keep, the strongest of all for error bars.

Strength is ``|value|``, less its mean under independence where that is not 0. A pair is among the k strongest
of a column if it reaches the column's k-th largest strength. Blocks merge: the k largest of both are the k largest.

Cost: 0.4 s of CPU a million rows. polars takes 0.3, and 0.15 to be imported by each worker; merging a block takes it
20 ms against 3, as it looks names up where arrays hold the features' places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FEATURES", "Best", "above", "best_of_features", "by_method", "merge_best", "strengths", "strongest"]

FEATURES = ("feature_a", "feature_b")
Best = dict[str, tuple[np.ndarray, np.ndarray]]
"""By method: indices of features, shape (some,), and their largest strengths, shape (some, keep)."""


def by_method(table: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every method of a table and the indices of its rows."""
    for method in pc.unique(table["method"]).to_pylist():
        yield method, np.flatnonzero(pc.equal(table["method"], method).to_numpy(zero_copy_only=False))


def strengths(table: pa.Table) -> np.ndarray:
    """Return the strength of every row, shape (rows,), NaN where there is no value."""
    value, expected = (table[name].to_numpy(zero_copy_only=False) for name in ("value", "expected"))
    return np.asarray(np.abs(value) - np.nan_to_num(expected))


def strongest(table: pa.Table, keep: int) -> pa.Table:
    """Return method, features and strength of the ``keep`` strongest pairs of each method, ties by name."""
    names = ["method", *FEATURES]
    strength = table["strength"].to_numpy() if "strength" in table.column_names else strengths(table)
    chosen = []
    for _, rows in by_method(table):
        some = rows[np.isfinite(strength[rows])]
        if len(some) > keep:
            least = np.partition(strength[some], len(some) - keep)[len(some) - keep]
            some = some[strength[some] >= least]
        chosen.append(some)
    rows = np.concatenate([np.empty(0, np.int64), *chosen])
    pairs = table.select(names).take(pa.array(rows)).append_column("strength", pa.array(strength[rows]))
    order = [("method", "ascending"), ("strength", "descending"), *((name, "ascending") for name in FEATURES)]
    pairs = pairs.sort_by(order)
    first = [rows[:keep] for _, rows in by_method(pairs)]
    return pairs.take(pa.array(np.concatenate([np.empty(0, np.int64), *first])))


def best_of_features(table: pa.Table, features: dict[str, int], keep: int) -> Best:
    """Return, by method, the ``keep`` largest strengths of every feature that occurs, -inf where it has fewer pairs.

    Parameters
    ----------
    features
        Index of every feature there is.
    """
    strength = np.nan_to_num(strengths(table), nan=-np.inf)
    best: Best = {}
    for method, rows in by_method(table):
        (names_a, a), (names_b, b) = (_encoded(table[name], rows, features) for name in FEATURES)
        matrix = np.full((len(names_a), len(names_b)), -np.inf)
        matrix[a, b] = strength[rows]
        sides = ((names_a, _largest(matrix, keep)), (names_b, _largest(matrix.T, keep)))
        # In a block on the diagonal features are on both sides, and their strongest pairs may be on either.
        names = np.union1d(names_a, names_b)
        largest = [np.full((len(names), keep), -np.inf) for _ in sides]
        for side_strengths, (indices, values) in zip(largest, sides, strict=True):
            side_strengths[np.searchsorted(names, indices)] = values
        best[method] = names, _largest(np.concatenate(largest, axis=1), keep)
    return best


def merge_best(blocks: Iterable[Best], features: int) -> dict[str, np.ndarray]:
    """Return, by method, the strength that a pair of each feature must reach, shape (features,): its k-th largest."""
    merged: dict[str, np.ndarray] = {}
    for block in blocks:
        for method, (names, values) in block.items():
            before = merged.setdefault(method, np.full((features, values.shape[1]), -np.inf))
            before[names] = _largest(np.concatenate([before[names], values], axis=1), values.shape[1])
    return {method: values.min(axis=1) for method, values in merged.items()}


def above(table: pa.Table, features: dict[str, int], least: dict[str, np.ndarray]) -> pa.Table:
    """Return the pairs that reach the strength required by either of their features; pairs without a value do not.

    Parameters
    ----------
    least
        Strength that `merge_best` requires of the pairs of each feature.
    """
    strength, reaches = strengths(table), np.zeros(table.num_rows, bool)
    for method, rows in by_method(table):
        (names_a, a), (names_b, b) = (_encoded(table[name], rows, features) for name in FEATURES)
        reaches[rows] = strength[rows] >= np.minimum(least[method][names_a][a], least[method][names_b][b])
    return table.filter(pa.array(reaches))


def _encoded(names: pa.ChunkedArray, rows: np.ndarray, features: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the features that occur, by index, and which of them each row has."""
    encoded = names.take(pa.array(rows)).combine_chunks().dictionary_encode()
    return np.array([features[name] for name in encoded.dictionary.to_pylist()], int), encoded.indices.to_numpy()


def _largest(strength: np.ndarray, keep: int) -> np.ndarray:
    """Return the ``keep`` largest of every row, -inf where it has fewer."""
    missing = keep - strength.shape[1]
    if missing >= 0:
        return np.pad(strength, ((0, 0), (0, missing)), constant_values=-np.inf)
    return np.partition(strength, -keep, axis=1)[:, -keep:]
