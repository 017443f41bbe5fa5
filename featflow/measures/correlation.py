"""Correlations from second moments: Pearson, Spearman, correlation ratio. Each pair has its own rows.

Spearman's is Pearson's correlation of ranks taken from the codebook's histogram.
Its `error_bound` against the exact coefficient has two parts: the rank error
within a histogram cell, and, where a column is missing in some rows, the change
of ranks when they are taken among the remaining rows only, at most the share of
a column's values that the pair drops.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featflow.binning import divisor
from featflow.measures.weights import rank_error_growth
from featflow.summaries import (
    CoMoments,
    CoMomentsSummarizer,
    GroupedMoments,
    GroupedMomentsSummarizer,
    RankCoMomentsSummarizer,
)
from featflow.tables import build

__all__ = ["correlation_ratio", "pearson", "spearman"]

CONSTANT_BELOW = 16 * np.finfo(np.float64).eps
"""Standard deviation, relative to the mean, that rounding alone can leave in a constant column."""
EQUAL_BELOW = 1 + 1e-9
"""Heaviest weight over the mean weight, below which weights are equal but for rounding."""


def pearson(spec: CoMomentsSummarizer, state: CoMoments) -> pa.Table:
    """Return Pearson's correlation of every pair of numbers."""
    i, j = _pairs(state.n.shape, diagonal=spec.left == spec.right)
    return _table("pearson", *_names(spec), (i, j), state, {})


def spearman(spec: RankCoMomentsSummarizer, state: CoMoments, present: dict[str, int]) -> pa.Table:
    """Return Spearman's correlation of every pair of numbers.

    Parameters
    ----------
    present
        Finite values of every column, from its moments.
    """
    i, j = _pairs(state.n.shape, diagonal=spec.left == spec.right)
    n = np.maximum(state.n, 1)
    bound, growth = np.zeros(state.n.shape), rank_error_growth(state)
    sides = ((spec.left, state.left_m2, (-1, 1)), (spec.right, state.right_m2, (1, -1)))
    for codings, m2, shape in sides:
        variance = np.array([c.rank_variance for c in codings]).reshape(shape) * growth
        whole = np.array([max(present[c.column.name], 1) for c in codings]).reshape(shape)
        spread = np.sqrt(m2 / divisor(state.total))
        # Of unit vectors: |<a, b> - <a', b'>| <= |a - a'| + |b - b'|, and |a - a'| <= 2 |u - u'| / |u|.
        # A whole column's ranks are their cells' means where rows weigh the same: then u' is u projected, 2 is 1.
        error = np.where(
            (state.n == whole) & (growth < EQUAL_BELOW),
            np.sqrt(variance),
            2 * (np.sqrt(variance * whole / n) + 1 - n / whole),
        )
        bound += np.where(spread > 0, error / np.maximum(spread, 1e-300), 2.0)
    return _table("spearman", *_names(spec), (i, j), state, {"error_bound": np.minimum(bound, 2.0)[i, j]})


@np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null
def correlation_ratio(spec: GroupedMomentsSummarizer, state: GroupedMoments) -> pa.Table:
    """Return the correlation ratio (eta) of every number within every category, missing values left out."""
    offsets = spec.offsets()
    columns: dict[str, list[object]] = {"method": [], "feature_a": [], "feature_b": [], "n": [], "value": []}
    for index, coding in enumerate(spec.categories):
        level = slice(offsets[index] + 1, offsets[index + 1])
        n, mean, m2 = state.total[level], state.mean[level], state.m2[level]
        total = n.sum(axis=0)
        grand = (n * mean).sum(axis=0) / divisor(total)
        between = (n * (mean - grand) ** 2).sum(axis=0)
        whole = between + m2.sum(axis=0)
        constant = np.sqrt(whole / divisor(total)) <= CONSTANT_BELOW * np.abs(grand)
        value = np.sqrt(between / np.where(constant, np.nan, whole))
        columns["method"] += ["correlation_ratio"] * len(spec.numbers)
        columns["feature_a"] += [coding.column.name] * len(spec.numbers)
        columns["feature_b"] += [number.column.name for number in spec.numbers]
        columns["n"] += state.n[level].sum(axis=0).tolist()
        columns["value"] += np.where((n > 0).sum(axis=0) < 2, np.nan, value).tolist()
    return build("correlation", columns)


def _names(spec: CoMomentsSummarizer | RankCoMomentsSummarizer) -> tuple[list[str], list[str]]:
    return [coding.column.name for coding in spec.left], [coding.column.name for coding in spec.right]


def _pairs(shape: tuple[int, ...], *, diagonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of the pairs; on a diagonal block each once, none with itself."""
    return np.triu_indices(shape[0], k=1) if diagonal else tuple(np.indices(shape).reshape(2, -1))  # type: ignore[return-value]


@np.errstate(all="ignore")  # what overflows becomes null
def _table(
    method: str,
    left: list[str],
    right: list[str],
    pairs: tuple[np.ndarray, np.ndarray],
    state: CoMoments,
    more: dict[str, np.ndarray],
) -> pa.Table:
    i, j = pairs
    n, total = state.n[i, j], divisor(state.total[i, j])
    constant = n < 2
    for m2, mean in ((state.left_m2[i, j], state.left_mean[i, j]), (state.right_m2[i, j], state.right_mean[i, j])):
        constant |= np.sqrt(m2 / total) <= CONSTANT_BELOW * np.abs(mean)
    value = state.c[i, j] / np.sqrt(state.left_m2[i, j]) / np.sqrt(state.right_m2[i, j])
    return build(
        "correlation",
        {
            "method": [method] * len(i),
            "feature_a": [left[index] for index in i],
            "feature_b": [right[index] for index in j],
            "n": n,
            "value": np.where(constant, np.nan, np.clip(value, -1.0, 1.0)),
            **more,
        },
    )
