"""Centred second moments of one batch's blocks of columns, from as few products as its missing values need.

Between columns without missing values one product is enough, and on a diagonal
block it is symmetric: half the work. A sum that depends on the partner's missing
values is a product with the partner's presence, and only partners that miss some
take part in it. Rows are processed in pieces, so memory is that of a piece and of the sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from featflow.columns.encoding import centred_values
from featflow.columns.values import divisor
from featflow.summaries.number_block import Columns, Piece, times
from featflow.summaries.running_product import RunningProduct

__all__ = ["PairMoments", "pair_moments"]

CANCELS_FROM = 100.0
"""Squared mean over variance from which a difference of sums loses more than two digits."""
ROUNDING = 1e-9
"""Distance from an origin, relative to it, below which squares are smaller than the rounding of its subtraction."""
RECOMPUTED_AT_ONCE = 16
"""Pairs of one column that are recomputed together: numpy calls cost less a pair, temporary arrays stay small."""
PIECE_BYTES, MOST_PIECE_BYTES = 2**22, 2**26
"""Bytes of a piece of rows that stay in a processor's cache; the most that a piece may take."""
FIRST_ROWS = 2_048
"""Rows whose mean is the origin of a column that lies far from its centre: enough to cancel most of an offset."""
LONG_PIECE = 4_096
"""Rows of a piece beyond which a product gains nothing."""


@dataclass(frozen=True, slots=True)
class PairMoments:
    """Moments of one batch; fields and shapes as in `CoMoments`."""

    n: np.ndarray
    """Rows of each pair, float64."""
    total: np.ndarray
    """Sum of their weights."""
    left_mean: np.ndarray
    """Mean of the left column, less its centre."""
    right_mean: np.ndarray
    """Mean of the right column, less its centre."""
    left_m2: np.ndarray
    """Sum of squared deviations of the left column."""
    right_m2: np.ndarray
    """Sum of squared deviations of the right column."""
    c: np.ndarray
    """Sum of products of deviations."""


# --- sums over the rows ---------------------------------------------------------------------------------------------


class _OneSide:
    """Running sums of one block's columns."""

    def __init__(self, columns: Columns, partners: Columns, rows: int, weight: float) -> None:
        width, incomplete = len(columns.arrays), len(partners.incomplete)
        self.n, self.total = np.full(width, float(rows)), np.full(width, weight)
        self.n[columns.incomplete] = self.total[columns.incomplete] = 0.0
        self.columns, self.partners = columns, partners
        self.own = np.zeros((2, width))
        """Sums of values and of their squares, over the rows in which the column is finite."""
        self.partner_products = RunningProduct(width, incomplete), RunningProduct(width, incomplete)
        """The same over the rows in which an incomplete partner is finite, too."""

    def add(self, piece: Piece, weighted: Piece, partners: np.ndarray) -> None:
        incomplete = self.columns.incomplete
        self.n[incomplete] += piece.present.sum(axis=1)
        self.total[incomplete] += weighted.present.sum(axis=1)
        self.own[0] += weighted.x.sum(axis=1)
        if self.partners is not self.columns:  # on a diagonal block they are the diagonal of its product
            self.own[1] += np.einsum("ij,ij->i", piece.x, weighted.x)
        if len(partners):
            self.partner_products[0].add(weighted.x, partners)
            self.partner_products[1].add(times(weighted.x, piece.x), partners)

    def drift(self, origin: np.ndarray) -> np.ndarray:
        """Return how far the origin of each column should move, 0 where its values lie about it; shape (width,)."""
        mean = self.own[0] / divisor(self.total)
        cancels = _cancels(self.total, mean, self.own[1] - self.total * mean**2, origin)
        return np.where(cancels, mean, 0.0)

    def moments(self, total: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return mean less the origin, mean, sum of squared deviations and where that sum cancelled.

        Shape (width, 1), or (width, partners) where some of these are incomplete.
        """
        sums, squares = self.own[:, :, None]
        if len(self.partners.incomplete):
            sums, squares = (np.repeat(x, len(self.partners.arrays), axis=1) for x in (sums, squares))
            for sums_by_partner, products in zip((sums, squares), self.partner_products, strict=True):
                sums_by_partner[:, self.partners.incomplete] = products.value()
        about = sums / divisor(total)
        m2 = np.maximum(squares - total * about**2, 0.0)
        return about, np.where(total > 0, about + origin[:, None], 0.0), m2, _cancels(total, about, m2, origin[:, None])


def _cancels(total: np.ndarray, mean: np.ndarray, m2: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return where values lie so far from their origin that a difference of sums about it cancels."""
    return np.asarray((total * mean**2 > CANCELS_FROM * m2) & (np.abs(mean) > ROUNDING * np.abs(origin)))


class _Sums:
    """Running sums of a block pair."""

    def __init__(self, left: Columns, right: Columns, weights: np.ndarray | None) -> None:
        rows = len(left.arrays[0])
        weight = float(rows if weights is None else weights.sum())
        self.c = RunningProduct(len(left.arrays), len(right.arrays))
        self.n, self.total = (RunningProduct(len(left.incomplete), len(right.incomplete)) for _ in range(2))
        self.left = _OneSide(left, right, rows, weight)
        self.right = self.left if left is right else _OneSide(right, left, rows, weight)

    def add(self, left: Piece, right: Piece, weights: np.ndarray | None) -> None:
        weighted = left.weighted(weights)
        self.c.add(weighted.x, right.x)
        self.n.add(left.present, right.present)
        if weights is not None:
            self.total.add(weighted.present, right.present)
        self.left.add(left, weighted, right.present)
        if right is not left:
            self.right.add(right, right.weighted(weights), left.present)

    def of_pairs(self, left: np.ndarray, right: np.ndarray, both: RunningProduct) -> np.ndarray:
        """Return a count of each pair, from those of its columns, and of both where both are incomplete."""
        left_incomplete, right_incomplete = self.left.columns.incomplete, self.right.columns.incomplete
        counts = np.empty((len(left) if len(left_incomplete) else 1, len(right) if len(right_incomplete) else 1))
        counts[:] = left[: len(counts), None]
        counts[:, right_incomplete] = right[right_incomplete]
        counts[np.ix_(left_incomplete, right_incomplete)] = both.value()
        return counts


def _pieces(left: Columns, right: Columns) -> Iterator[tuple[int, int]]:
    """Yield start and length of pieces of rows."""
    sides = (left,) if right is left else (left, right)
    width = sum(2 * len(side.arrays) + len(side.incomplete) for side in sides)
    rows = len(left.arrays[0])
    # Ranks look up a table of each column: pieces are long, so that it is loaded into the cache less often.
    piece_bytes = PIECE_BYTES if left.values is centred_values else MOST_PIECE_BYTES
    length = min(max(piece_bytes // (8 * width), LONG_PIECE), MOST_PIECE_BYTES // (8 * width) + 1)
    yield from ((start, min(length, rows - start)) for start in range(0, rows, length))


def _sums(left: Columns, right: Columns, weights: np.ndarray | None, origins: list[np.ndarray]) -> _Sums:
    sums = _Sums(left, right, weights)
    for start, rows in _pieces(left, right):
        x = left.piece(start, rows, origins[0])
        y = x if right is left else right.piece(start, rows, origins[1])
        sums.add(x, y, None if weights is None else weights[start : start + rows])
    if right is left:
        sums.left.own[1] = sums.c.sum.diagonal()
    return sums


# --- moments of the pairs -------------------------------------------------------------------------------------------


@np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
def pair_moments(left: Columns, right: Columns, weights: np.ndarray | None) -> PairMoments:
    """Return the moments of every pair over the rows where both are finite.

    Parameters
    ----------
    right
        For a diagonal block ``left`` itself.
    weights
        Weight of every row, shape (rows,), finite; None where every row weighs 1.
    """
    sides = (left, right)
    origins = [_origin(side) for side in sides]
    sums = _sums(left, right, weights, origins)
    drifts = [side.drift(origin) for side, origin in zip((sums.left, sums.right), origins, strict=True)]
    if any(drift.any() for drift in drifts):
        origins = [origin + drift for origin, drift in zip(origins, drifts, strict=True)]
        sums = _sums(left, right, weights, origins)
    n = sums.of_pairs(sums.left.n, sums.right.n, sums.n)
    total = n if weights is None else sums.of_pairs(sums.left.total, sums.right.total, sums.total)
    about_x, mean_x, m2_x, cancels_x = sums.left.moments(total, origins[0])
    if left is right:
        about_y, mean_y, m2_y, cancels_y = (np.ascontiguousarray(x.T) for x in (about_x, mean_x, m2_x, cancels_x))
    else:
        right_moments = sums.right.moments(total.T, origins[1])
        about_y, mean_y, m2_y, cancels_y = (np.ascontiguousarray(x.T) for x in right_moments)
    c = sums.c.value()
    c -= total * about_x * about_y
    moments = PairMoments(n, total, mean_x, mean_y, m2_x, m2_y, c)
    if (cancels_x | cancels_y).any():
        _recompute(left, right, weights, moments, np.broadcast_to(cancels_x | cancels_y, c.shape))
    return moments


def _origin(columns: Columns) -> np.ndarray:
    """Return what to subtract from each column besides its centre: its first rows' mean, if that is far from 0."""
    width = len(columns.arrays)
    sample = columns.piece(0, min(len(columns.arrays[0]), FIRST_ROWS), np.zeros(width))
    n = np.full(width, float(sample.x.shape[1]))
    n[columns.incomplete] = sample.present.sum(axis=1)
    mean, square = sample.x.sum(axis=1) / divisor(n), np.einsum("ij,ij->i", sample.x, sample.x) / divisor(n)
    return np.where(2 * mean**2 > square, mean, 0.0)


def _recompute(
    left: Columns, right: Columns, weights: np.ndarray | None, moments: PairMoments, cancels: np.ndarray
) -> None:
    """Recompute pairs about their own means, in place."""
    i, j = np.nonzero(np.triu(cancels) if left is right else cancels)
    (left_indices, a), (right_indices, b) = (np.unique(index, return_inverse=True) for index in (i, j))
    total, means = np.broadcast_to(moments.total, cancels.shape)[i, j], np.empty((2, len(i)))
    means[:] = [np.broadcast_to(mean, cancels.shape)[i, j] for mean in (moments.left_mean, moments.right_mean)]
    columns = left.only(left_indices), right.only(right_indices)
    for _ in range(2):  # the first time gives means that are right to the last digit
        x, y, xx, yy, xy = _sums_about(*columns, weights, (a, b), means)
        x, y = x / total, y / total
        means += [x, y]
    m2, c = (xx - total * x**2, yy - total * y**2), xy - total * x * y
    moments.c[i, j] = c
    arrays = (
        (moments.left_mean, means[0]),
        (moments.right_mean, means[1]),
        (moments.left_m2, m2[0]),
        (moments.right_m2, m2[1]),
    )
    for array, values in arrays:
        if array.shape == cancels.shape:
            array[i, j] = values
    if left is right:
        moments.c[j, i] = c
        for target, values in zip((1, 0, 3, 2), arrays, strict=True):
            arrays[target][0][j, i] = values[1]


def _sums_about(
    left: Columns, right: Columns, weights: np.ndarray | None, pairs: tuple[np.ndarray, np.ndarray], means: np.ndarray
) -> np.ndarray:
    """Return sums of x, y, x^2, y^2 and x y of each pair about its means, shape (5, pairs); pairs by left column."""
    a, b = pairs
    cuts = np.unique(
        np.concatenate([np.searchsorted(a, np.unique(a)), np.arange(0, len(a), RECOMPUTED_AT_ONCE), [len(a)]])
    )
    sums = np.zeros((5, len(a)))
    for start, rows in _pieces(left, right):
        (x, in_x), (y, in_y) = (
            side.piece(start, rows, np.zeros(len(side.arrays))).dense(side) for side in (left, right)
        )
        for low, high in pairwise(cuts.tolist()):
            both = in_x[a[low]] & in_y[b[low:high]]
            dx = (x[a[low]] - means[0, low:high, None]) * both
            dy = (y[b[low:high]] - means[1, low:high, None]) * both
            weighted_x, weighted_y = (d if weights is None else d * weights[start : start + rows] for d in (dx, dy))
            products = ((weighted_x, dx), (weighted_y, dy), (weighted_x, dy))
            sums[:2, low:high] += [weighted_x.sum(axis=1), weighted_y.sum(axis=1)]
            sums[2:, low:high] += [np.einsum("ij,ij->i", *product) for product in products]
    return sums
