"""Estimates how much of a score is lost by hashing."""

from __future__ import annotations

__all__ = ["extrapolated_loss"]

MOST_RATIO = 1.7
"""Largest ratio of two successive losses, at k = 4 M: it tends to 2 with k, and near 2 no k can be told from it."""


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
