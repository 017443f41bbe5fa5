"""How far Spearman's coefficient can be off where values are missing, measured on joint counts of the pair's codes.

Ranks are taken among all values of a column, while the exact coefficient ranks those of the pair's rows alone. With N
values, n of them in the pair's rows, and X the number of left-out values below a row's own, ``N R = n K + X``: R is the
rank as a share among all, K among the pair's. Counts by bin say X to within a bin's left-out values, so how X departs
from a multiple of n K, which would change no correlation, is known but for what happens within bins. Without counts
nothing is known but the share that is left out (`featflow.analyses.correlation.moments`), and the bound is about eight
times as large. Cost: the pair's joint counts, as for mutual information.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featflow.columns.codebook import NumberCoding, pair_cardinality
from featflow.measures.association import rank_correlation_bound

__all__ = ["RankedColumn", "measured_bound", "single_values"]


@dataclass(frozen=True)
class RankedColumn:
    """A column of a pair."""

    coding: NumberCoding
    spread: float
    """Standard deviation of its ranks, as shares, over the pair's rows."""
    present: int
    """Its values, in the pair's rows or not."""


@dataclass(frozen=True)
class _Shift:
    """How left-out values shift a column's ranks, in ranks, by bin: a multiple of the rank itself, and a rest."""

    ranks: np.ndarray
    """Mean of n K, less its own mean, shape (bins,)."""
    within: float
    """Standard deviation of n K within bins."""
    times: float
    """What n K is multiplied by."""
    rest: np.ndarray
    """What is no multiple of n K, shape (bins,)."""
    size: float
    """Standard deviation of both together, at least."""
    angle: float
    """Angle between them and the ranks that were taken, at most."""


def single_values(coding: NumberCoding) -> np.ndarray:
    """Return which pair codes hold one value only, shape (codes,), bool."""
    codes = coding.groups[1 + np.searchsorted(coding.edges, coding.cells, side="right")]
    values = np.bincount(codes, minlength=pair_cardinality(coding))
    return np.asarray((values < 2) & (coding.rank_variance == 0))


def measured_bound(value: float, table: np.ndarray, left: RankedColumn, right: RankedColumn) -> float:
    """Return the most that a pair's coefficient can be off, NaN where counts do not say.

    Parameters
    ----------
    value
        The coefficient of ranks among all values of either column.
    table
        Rows by pair codes, the first of them "missing", shape (left codes, right codes), int64.
    """
    if (table[1:].sum(), table[:, 1:].sum()) != (left.present, right.present):  # infinities have codes and no ranks
        return float("nan")
    kept = table[1:, 1:]
    n = int(kept.sum())
    if n < 2:
        return float("nan")
    a = _shift(kept.sum(axis=1), table[1:, 0], left)
    b = _shift(kept.sum(axis=0), table[0, 1:], right)
    if min(a.size, b.size) <= 0:
        return float("nan")
    # Of what is no multiple of n K: its share of the column, and how it goes with the other column.
    rest_a, rest_b = (np.sqrt((rows * side.rest**2).sum() / n) for rows, side in
                      ((kept.sum(axis=1), a), (kept.sum(axis=0), b)))  # fmt: skip
    shares = [min(rest / side.size, 1.0) for rest, side in ((rest_a, a), (rest_b, b))]
    whole_a, ranks_b = a.times * a.ranks + a.rest, b.times * b.ranks
    cross = (kept * (np.outer(whole_a, b.rest) + np.outer(a.rest, ranks_b))).sum() / n
    unknown = a.times * a.within * rest_b + b.times * b.within * rest_a
    turned = 1 - np.sqrt((1 - shares[0] ** 2) * (1 - shares[1] ** 2))
    bound = rank_correlation_bound(np.array(value), np.array(a.angle + b.angle))
    return float(bound + turned + (abs(cross) + unknown) / (a.size * b.size))


def _shift(kept: np.ndarray, left_out: np.ndarray, column: RankedColumn) -> _Shift:
    """Return the shift of a column's ranks from its rows of every bin, in the pair and left out, shape (bins,) each."""
    n, several = kept.sum(), ~single_values(column.coding)[1:]
    ranks, below = (np.cumsum(rows) - rows / 2 for rows in (kept, left_out))
    ranks, below = (x - (kept * x).sum() / n for x in (ranks, below))
    squares = (kept * ranks**2).sum()
    slope = float((kept * ranks * below).sum() / squares) if squares > 0 else 0.0
    within = several * kept**2 / 12
    # In a bin X lies within half its left-out values of the middle, and rises with n K.
    unknown = np.sqrt((kept * (several * left_out**2 / 4 + slope**2 * within)).sum() / n)
    in_cells = column.present * np.sqrt(column.coding.rank_variance * column.present / n)
    size = column.present * column.spread
    angle = float(np.arcsin(min((unknown + in_cells) / size, 1.0))) if size > 0 else np.pi / 2
    return _Shift(
        ranks,
        float(np.sqrt((kept * within).sum() / n)),
        1 + slope,
        below - slope * ranks,
        float(size - unknown - in_cells),
        angle,
    )
