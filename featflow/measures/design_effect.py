"""Estimates how dependent rows inflate a score, and how much of a score is lost by hashing."""

from __future__ import annotations

import numpy as np

__all__ = ["design_effect", "extrapolated_loss"]

MOST_RATIO = 1.7
"""Largest ratio of two successive losses, at k = 4 M: it tends to 2 with k, and near 2 no k can be told from it."""


def design_effect(tables: np.ndarray, whole: np.ndarray, scale: float = 1.0) -> float:
    """Return how much more the information varies over groups than over independent rows, at least 1.

    The information is the mean over rows of i = log(p(x, y) / (p(x) p(y))), whose sum over a group is its share of the
    linearized jackknife (Rao & Scott 1981 for tables; Huber 1981 for influence functions).

    Parameters
    ----------
    tables
        Counts by group, shape (groups, levels, strata, classes).
    whole
        Their sum.
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.

    Examples
    --------
    >>> whole = np.array([[30, 10], [10, 30]])[:, None, :]
    >>> alike = np.stack([whole] * 20)
    >>> design_effect(alike, alike.sum(axis=0))  # groups alike vary less than chance
    1.0
    """
    levels, classes = whole.sum(axis=2, keepdims=True), whole.sum(axis=0, keepdims=True)
    total = classes.sum(axis=2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        pointwise = np.where(whole > 0, np.log(whole * (total / (levels * classes))), 0.0)
    n = float(whole.sum())
    mean = float((whole * pointwise).sum()) / max(n, 1e-300)
    rows = tables.sum(axis=(1, 2, 3))
    groups = int(np.count_nonzero(rows))
    independent = float((whole * (pointwise - mean) ** 2).sum())
    if groups < 2 or independent <= 0:
        return 1.0
    sums = np.tensordot(tables, pointwise, axes=3) - rows * mean
    return max(1.0, groups / (groups - 1) * scale * float(sums @ sums) / independent)


def extrapolated_loss(whole: float, half: float, quarter: float) -> float:
    """Return how much more information the column would have without hashing.

    Of T nats in a tail of many levels, M buckets keep T M / (M + k) for some k: two levels share a bucket the less,
    the more buckets there are. Then (I(M) - I(M/2)) / (I(M/2) - I(M/4)) = (1 + 4x) / (2 + 2x) with x = k / M, and what
    is missing is (I(M) - I(M/2)) (1 + 2x).

    Examples
    --------
    >>> information = [1.0 / (1 + 0.3 * fold) for fold in (1, 2, 4)]
    >>> round(extrapolated_loss(*information) + information[0], 9)
    1.0
    """
    first, second = whole - half, half - quarter
    if first <= 0:
        return 0.0
    ratio = min(max(first / second, 0.5), MOST_RATIO) if second > 0 else 1.0
    return first * (1 + 2 * (2 * ratio - 1) / (4 - 2 * ratio))
