"""Measures how far two samples of a column are apart, from counts of its values in both.

Sources: population stability index, the symmetric divergence of Jeffreys (1946, Proc. R. Soc. A 186) on frozen bins;
its mean between samples of one distribution is about (bins - 1) (1/n + 1/m) (Yurdakul 2018, Western Michigan
University). Jensen-Shannon divergence: Lin (1991, IEEE Trans. Inf. Theory 37). Kolmogorov-Smirnov with the limit law,
which is conservative where values tie (Noether 1963, Technometrics 5). Wasserstein's first distance is the area
between distribution functions (Vallender 1974). Tests of counts keep both margins: chi-square by
`featflow.measures.association`; a category's k rows all lie in one run by chance of its share to the power k.
Counts are of rows, whatever they weigh. Every p-value assumes independent rows. Cost: one sort of the cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from featflow.columns.sort_keys import key_values
from featflow.measures.association import chi_square_tail, moment_tail
from featflow.summaries.value_histograms import Histogram

__all__ = [
    "Aligned",
    "aligned",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "l_infinity",
    "population_stability",
    "same_counts",
    "unseen",
    "wasserstein",
]

SMOOTHING = 0.5
"""Rows added to every bin before logarithms are taken: the mean under Jeffreys' prior. Bins empty in both stay out."""


# --- counts ---------------------------------------------------------------------------------------------------------


def population_stability(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the population stability index of counts, both shape (bins,); `SMOOTHING` is added to each.

    Examples
    --------
    >>> round(population_stability(np.array([500, 500]), np.array([400, 600])), 4)
    0.0405
    """
    used = reference + current > 0
    p, q = (_shares(counts[used] + SMOOTHING) for counts in (reference, current))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the Jensen-Shannon divergence of counts, both shape (bins,), in nats: 0 to log 2.

    Examples
    --------
    >>> round(jensen_shannon(np.array([10, 0]), np.array([0, 10])), 6)
    0.693147
    """
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    return float(max((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum() / 2, 0.0))


def l_infinity(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the largest difference of shares of counts, both shape (levels,)."""
    return float(np.abs(_shares(current) - _shares(reference)).max(initial=0.0))


def same_counts(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the p-value of the chi-square test that counts, both shape (bins,), are of one distribution.

    Examples
    --------
    >>> round(same_counts(np.array([500, 500]), np.array([400, 600])) * 1e6, 1)  # scipy's limit law says 7.0
    7.1
    """
    table = np.stack([reference, current]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    rows, bins, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    if not rows.all():
        return float("nan")
    expected = np.outer(rows, bins) / n
    margins = [(np.array(len(each)), (1 / each).sum(), (1 / each**2).sum()) for each in (rows, bins)]
    return float(chi_square_tail(((table - expected) ** 2 / expected).sum(), n, *margins))


def unseen(seen: np.ndarray, counts: np.ndarray) -> tuple[float, float, float]:
    """Return the share of rows in categories that another run lacks, its mean under the null, and its p-value.

    The null permutes rows between the two runs, so rare categories, some of which any sample misses, do not count as a
    change. Its mean is exact but for sampling without replacement; categories are taken for independent, which widens
    it a little.

    Parameters
    ----------
    seen
        Rows of each category in the other run, shape (categories,).
    counts
        Rows of each category in this run.

    Examples
    --------
    >>> share, expected, p_value = unseen(np.array([50, 50, 0]), np.array([45, 45, 10]))
    >>> round(share, 2), round(expected, 5), p_value < 0.01
    (0.1, 0.0001, True)
    """
    rows, total = float(counts.sum()), float(counts.sum() + seen.sum())
    if not rows or rows == total:
        return float("nan"), float("nan"), float("nan")
    absent = float(counts[seen == 0].sum())
    both = (counts + seen).astype(np.float64)
    only_here = (rows / total) ** both
    mean, variance = (both * only_here).sum(), (both**2 * only_here * (1 - only_here)).sum()
    p_value = float(moment_tail(np.array(absent), mean, variance)) if absent else 1.0
    return absent / rows, float(mean / rows), p_value


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts / max(counts.sum(), 1))


# --- numbers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Two histograms of a column over the same cells."""

    shift: int
    """Cells are 2**shift keys wide; at 0 every value has its own."""
    cells: np.ndarray
    """Lowest key of every cell that either occupies, shape (cells,), uint64, ascending."""
    reference: np.ndarray
    """Values in every cell, shape (cells,), int64."""
    current: np.ndarray
    """Values in every cell, shape (cells,), int64."""


def aligned(reference: Histogram, current: Histogram) -> Aligned:
    """Return two histograms of one type at the coarser resolution of both.

    Examples
    --------
    >>> left = Histogram("uint64", 0, np.array([8, 9], np.uint64), np.array([1, 2]))
    >>> right = Histogram("uint64", 1, np.array([8, 12], np.uint64), np.array([5, 6]))
    >>> both = aligned(left, right)
    >>> both.cells.tolist(), both.reference.tolist(), both.current.tolist()
    ([8, 12], [3, 0], [5, 6])
    """
    shift = max(reference.shift, current.shift)
    keys = [each.cells >> np.uint64(shift) << np.uint64(shift) for each in (reference, current)]
    merged = np.sort(np.concatenate(keys), kind="stable")  # merges two ascending runs
    cells = merged[np.diff(merged, prepend=~merged[:1]) != 0]
    counts = (
        np.bincount(np.searchsorted(cells, cell_keys), each.counts, len(cells)).astype(np.int64)
        for cell_keys, each in zip(keys, (reference, current), strict=True)
    )
    return Aligned(shift, cells, *counts)


def kolmogorov_smirnov(both: Aligned) -> tuple[float, float, float]:
    """Return the largest difference of distribution functions, a bound on its error, and its p-value.

    It is taken at the ends of cells. Within a cell it may be larger by the share of rows there; where every value has
    a cell of its own, it is exact. NaN where a run has no value.
    """
    n, m = int(both.reference.sum()), int(both.current.sum())
    if not n or not m:
        return float("nan"), float("nan"), float("nan")
    p, q = both.reference / n, both.current / m
    distance = np.abs(np.cumsum(both.current) / m - np.cumsum(both.reference) / n)
    signed = np.cumsum(both.current) / m - np.cumsum(both.reference) / n
    value = float(distance.max())
    # All of one run may lie before all of the other in a cell: the difference at its end, and the other's share more.
    bound = max(float((signed + p).max()), float((q - signed).max())) if both.shift else value
    p_value = float(special.kolmogorov(np.sqrt(n * m / (n + m)) * value))
    return value, max(bound - value, 0.0), p_value


@np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null
def wasserstein(both: Aligned, kind: str, low: float, high: float) -> tuple[float, float]:
    """Return Wasserstein's first distance in the column's unit, and a bound on its error.

    Every value is replaced by the middle of its cell, so each run is off by half a cell's width at most.

    Parameters
    ----------
    kind
        Canonical type of the column.
    low, high
        Least and largest value of both runs: the outer cells end there.
    """
    n, m = int(both.reference.sum()), int(both.current.sum())
    if not n or not m:
        return float("nan"), float("nan")
    last = both.cells + np.uint64((1 << both.shift) - 1)
    lowest, highest = np.fmax(key_values(both.cells, kind), low), np.fmin(key_values(last, kind), high)
    middle, half_width = lowest / 2 + highest / 2, highest / 2 - lowest / 2
    distance = np.abs(np.cumsum(both.current) / m - np.cumsum(both.reference) / n)[:-1]
    error = (half_width * (both.reference / n + both.current / m)).sum() if both.shift else 0.0
    return float((distance * np.diff(middle)).sum()), float(error)
