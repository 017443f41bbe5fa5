"""Converts sums of weights to rows of equal weight, for statistics that are defined on whole numbers of rows.

Rows of weights w say as much as ``(sum w)^2 / sum w^2`` rows of one weight (Kish
1965, Survey Sampling, 11.2). A table of weights times ``sum w / sum w^2`` has so
many; its margins, rounded, are those of a table of rows. Without weights the
factor is 1 and counts stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featflow.columns.values import divisor
from featflow.summaries import CoMoments, PairCounts

__all__ = ["EffectiveRows", "effective_rows", "rank_error_growth", "rounded", "whole_rows"]

REMAINDER_DIGITS = 6
"""Digits of a remainder that count: the last bits of a sum of weights depend on its order."""


@dataclass(frozen=True, slots=True)
class EffectiveRows:
    """Turns sums of weights into rows of equal weight."""

    scale: float | None
    """What a sum of weights is multiplied by; None without weights."""

    def total(self, weights: np.ndarray | float) -> np.ndarray:
        """Return the whole number of rows that sums of weights stand for, at least 1, in the shape of ``weights``."""
        return np.asarray(weights if self.scale is None else np.maximum(np.round(self.scale * weights), 1.0))

    def margins(self, weights: np.ndarray, *starts: np.ndarray) -> np.ndarray:
        """Return sums of weights as whole numbers of rows, adding up to `total` of the sum of each block.

        Parameters
        ----------
        starts
            Where blocks start, one array an axis of ``weights``.
        """
        if self.scale is None:
            return weights
        blocks = np.zeros(weights.shape, np.int64)
        for axis, (axis_starts, size) in enumerate(zip(starts, weights.shape, strict=True)):
            index = np.searchsorted(axis_starts, np.arange(size), side="right") - 1
            blocks = blocks * len(axis_starts) + index.reshape([size if a == axis else 1 for a in range(weights.ndim)])
        totals = self.total(np.bincount(blocks.ravel(), weights.ravel()))
        return rounded(weights.ravel(), blocks.ravel(), totals).reshape(weights.shape)


def effective_rows(state: PairCounts) -> EffectiveRows:
    """Return the conversion of a state's sums of weights to rows."""
    row_counts = state.weighted
    return EffectiveRows(None if row_counts is None else row_counts.weight_sum / (row_counts.weight_square_sum or 1.0))


def rounded(shares: np.ndarray, blocks: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return whole numbers in proportion to ``shares`` within each block, by largest remainders.

    Parameters
    ----------
    shares, blocks
        Share and index of its block, shape (cells,).
    totals
        Whole number that each block adds up to, shape (blocks,).

    Examples
    --------
    >>> rounded(np.array([0.5, 0.3, 0.2, 2.0]), np.array([0, 0, 0, 1]), np.array([7.0, 3.0])).tolist()
    [4.0, 2.0, 1.0, 3.0]
    """
    sums = np.bincount(blocks, shares)
    exact = shares * (totals / np.where(sums > 0, sums, 1))[blocks]
    whole = np.floor(exact)
    missing = np.round(totals - np.bincount(blocks, whole))
    order = np.lexsort((-np.round(exact - whole, REMAINDER_DIGITS), blocks))
    sizes = np.bincount(blocks)
    rank = np.arange(len(shares)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    whole[order] += rank < missing[blocks[order]]
    return np.asarray(whole)


def whole_rows(values: np.ndarray, scale: float, total: int | None = None) -> np.ndarray:
    """Return margins as whole rows, int64: counts as they are; sums of weights times ``scale``, rounded.

    Parameters
    ----------
    values
        Counts or sums of weights, shape (levels,).
    scale
        Rows of equal weight that a unit of weight is worth.
    total
        What the result adds up to; by default what the values stand for.

    Examples
    --------
    >>> whole_rows(np.array([1.4, 1.4, 0.2]), 2.0, 6).tolist()
    [3, 3, 0]
    """
    if values.dtype.kind in "iu":
        return values
    rows = round(float(values.sum()) * scale) if total is None else total
    return rounded(values, np.zeros(len(values), np.int64), np.array([float(rows)])).astype(np.int64)


def rank_error_growth(state: CoMoments) -> np.ndarray:
    """Return the largest factor by which weights multiply the mean squared error of a pair's ranks, shape (p, q).

    1 for equal weights and without weights: no row can weigh more than the heaviest.
    """
    return np.asarray(state.heaviest * state.n / divisor(state.total))
