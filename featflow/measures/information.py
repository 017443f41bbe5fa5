"""Entropy, mutual information and its exact mean under independence, all in nats.

Under a random permutation of one variable with both margins fixed, a cell of the table is hypergeometric (Vinh, Epps &
Bailey 2010, JMLR 11, eq. 24a), with mean m = v w / N. The sum of ``m log m`` over all cells is what the margins take
away again, so N times the expected information is the sum over cells of ``E[k log k] - m log m``. That is summed over
the distribution where the mean is small, and expanded in central moments where it is large. Cost: one expectation a
pair of distinct margins, of which a table of N rows has at most 2 sqrt(N) a side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import comb

import numpy as np
from scipy.special import xlogy

__all__ = [
    "corrected_mutual_information",
    "entropy",
    "expected_excess",
    "expected_excess_terms",
    "expected_information_terms",
    "expected_mutual_information",
    "expected_xlogx",
    "mutual_information",
    "mutual_informations",
    "stacked_information",
    "xlogx",
]

SERIES_FROM = 120.0
"""Mean from which the series is used: its first neglected term is below 4e-9, and is divided by N."""
SERIES_ORDER = 11
"""Central moments of the series: with fewer it would have to begin at a larger mean, where sums are longer."""
NEGLIGIBLE = 1e-19
"""Probability, relative to the mode's, below which a tail is dropped."""
DEVIATIONS, SKEWED = 7.0, 12.0
"""Counts beyond the mode that a sum takes, so many standard deviations and so many more: 1e-13 lies beyond them."""
PLACES = 16
"""Sums run over multiples of so many counts: how a sum is cut must not depend on what other cells there are."""
CHUNK = 2**18
"""Probabilities held at once: what a core's cache holds, and enough that threads seldom wait for the interpreter."""
KNOWN = 2**16
"""Counts below it are looked up in a table of 512 KiB, which takes no logarithm."""


def xlogx(x: np.ndarray | float) -> np.ndarray:
    """Return ``x log x``, 0 at 0; of counts below 65,536 the same bits as of floats, beyond within rounding."""
    x = np.asarray(x)
    if x.dtype.kind not in "iu" or not x.size:
        return np.asarray(xlogy(x, x), dtype=np.float64)
    looked_up = np.asarray(np.take(_xlogx_table(), x, mode="clip"))
    if x.max() < KNOWN:
        return looked_up
    floats = x.astype(np.float64, order="C")  # without gaps, numpy's logarithm has the same bits wherever a number lies
    result = np.asarray(np.log(np.maximum(floats, 1.0)))
    result *= floats
    np.copyto(result, looked_up, where=x < KNOWN)
    return result


@cache
def _xlogx_table() -> np.ndarray:
    k = np.arange(float(KNOWN))
    return np.asarray(xlogy(k, k))


def entropy(counts: np.ndarray) -> float:
    """Return the plug-in entropy of counts, shape (levels,).

    Examples
    --------
    >>> round(entropy(np.array([5, 5])), 6)
    0.693147
    """
    total = counts.sum()
    return float(np.log(total) - xlogx(counts).sum() / total) if total else 0.0


def mutual_information(table: np.ndarray) -> float:
    """Return the plug-in mutual information of a table of counts, shape (levels, classes).

    Examples
    --------
    >>> round(mutual_information(np.array([[5, 0], [0, 5]])), 6)
    0.693147
    """
    total = table.sum()
    if not total:
        return 0.0
    margins = xlogx(table.sum(axis=1)).sum() + xlogx(table.sum(axis=0)).sum()
    return max(0.0, float((xlogx(table).sum() - margins + xlogx(total)) / total))


def mutual_informations(tables: np.ndarray) -> np.ndarray:
    """Return `mutual_information` of many tables, shape (tables, levels, classes), each with rows; shape (tables,)."""
    total = tables.sum(axis=(1, 2))
    margins = xlogx(tables.sum(axis=2)).sum(axis=1) + xlogx(tables.sum(axis=1)).sum(axis=1)
    cells = xlogx(tables).reshape(len(tables), -1).sum(axis=1)
    return np.asarray(np.maximum((cells - margins + xlogx(total)) / np.maximum(total, 1e-300), 0.0))


def expected_mutual_information(rows: np.ndarray, columns: np.ndarray) -> float:
    """Return the exact mean of `mutual_information` over tables with these margins.

    Parameters
    ----------
    rows, columns
        Margins of one total, shapes (levels,) and (classes,).

    Examples
    --------
    >>> round(expected_mutual_information(np.array([1, 1]), np.array([1, 1])), 6)  # all tables are diagonal
    0.693147
    """
    total = float(rows.sum())
    if not total:
        return 0.0
    v, times_v = np.unique(rows[rows > 0], return_counts=True)
    w, times_w = np.unique(columns[columns > 0], return_counts=True)
    return max(0.0, float(times_v @ expected_excess(total, v[:, None], w[None, :]) @ times_w / total))


def corrected_mutual_information(table: np.ndarray) -> tuple[float, float]:
    """Return plug-in mutual information and its mean under independence."""
    return mutual_information(table), expected_mutual_information(table.sum(axis=1), table.sum(axis=0))


def stacked_information(
    counts: np.ndarray, starts: np.ndarray, rows: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return plug-in information of many tables against one target, and its mean under independence, shape (tables,).

    Parameters
    ----------
    counts
        Tables one below another, shape (levels of all, classes): counts or sums of weights.
    starts
        First level of every table, shape (tables,).
    rows
        Row margins in whole rows, shape (levels of all,); those of each table sum to ``classes.sum()``.
    classes
        Class totals in whole rows, shape (classes,).
    """
    margins, class_weights = counts.sum(axis=1), counts[: starts[1] if len(starts) > 1 else None].sum(axis=0)
    total, rows_in_all = float(class_weights.sum()), float(classes.sum())
    cells = np.add.reduceat(xlogx(counts).sum(axis=1) - xlogx(margins), starts)
    mi = (cells - (xlogx(class_weights).sum() - xlogx(total))) / total
    if not rows_in_all:
        return np.maximum(mi, 0.0), np.zeros(len(starts))
    # The same terms in the same order as above: a unique key scores its expectation to the last bit.
    terms = np.add.reduceat(expected_information_terms(rows, classes) - xlogx(rows), starts)
    expected = (terms - (xlogx(classes).sum() - xlogx(rows_in_all))) / rows_in_all
    return np.maximum(mi, 0.0), np.maximum(expected, 0.0)


def expected_information_terms(margins: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return each level's share of ``E[sum n log n]`` against fixed classes, in the shape of ``margins``."""
    return _summed_over_classes(expected_xlogx, margins, classes)


def expected_excess_terms(margins: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return what each level adds to N times the expected information about fixed classes, shape of ``margins``."""
    return _summed_over_classes(expected_excess, margins, classes)


def _summed_over_classes(function: Callable[..., np.ndarray], margins: np.ndarray, classes: np.ndarray) -> np.ndarray:
    v, inverse = np.unique(margins, return_inverse=True)
    w, times = np.unique(classes[classes > 0], return_counts=True)
    # A sum over the last axis, not a product: it does not depend, by a bit, on how many margins stand together.
    terms = (function(float(classes.sum()), v[:, None], w[None, :]) * times).sum(axis=1)
    return np.asarray(terms[inverse].reshape(margins.shape))


def expected_xlogx(total: np.ndarray | float, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return ``E[k log k]`` for k hypergeometric: v draws out of ``total``, w of them marked.

    Parameters
    ----------
    total, v, w
        Counts, v and w between 0 and ``total``, of shapes that broadcast.

    Returns
    -------
    np.ndarray
        Shape of the broadcast, float64, within 1e-8.
    """
    v, w = np.asarray(v, np.float64), np.asarray(w, np.float64)
    return np.asarray(expected_excess(total, v, w) + xlogx(v * w / total))


def expected_excess(total: np.ndarray | float, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return ``E[k log k] - m log m``, m the mean; parameters as in `expected_xlogx`.

    Examples
    --------
    >>> expected_excess(10**6, np.array([0, 10**5, 10**6]), np.array([10**5, 10**5, 7])).round(4).tolist()
    [0.0, 0.405, 0.0]
    """
    total, v, w = (np.asarray(x, dtype=np.float64) for x in np.broadcast_arrays(total, v, w))
    result = np.zeros(v.shape)
    mean = v * w / total
    large = mean >= SERIES_FROM
    small = (mean > 0) & ~large
    result[large] = _by_series(total[large], v[large], w[large])
    result[small] = _by_sum(total[small], v[small], w[small])
    return result


def _by_series(total: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Expand about the mean m: ``sum_r (-1)^r E[(k - m)^r] / (r (r - 1) m^(r - 1))``.

    Central moments by the recurrence that follows from p(k + 1) / p(k), with x = k - m, s = v + w - 2m and
    A = m (m + N - v - w): ``(N - r) E[x^(r+1)] = sum_{i < r} C(r, i) (E[x^(i+2)] - s E[x^(i+1)] + A E[x^i])``,
    where the sum leaves out the term in x^(r+1).
    """
    mean = v * w / total
    s, a = v + w - 2 * mean, mean * (mean + total - v - w)
    moments = [np.ones_like(mean), np.zeros_like(mean)]
    for r in range(1, SERIES_ORDER):
        right = np.zeros_like(mean)
        for i in range(r):
            term = a * moments[i] - s * moments[i + 1]
            if i + 2 <= r:
                term = term + moments[i + 2]
            right += comb(r, i) * term
        moments.append(right / (total - r))
    result = np.zeros_like(mean)
    for r in range(2, SERIES_ORDER + 1):
        result += (-1) ** r * moments[r] / (r * (r - 1) * mean ** (r - 1))
    return np.asarray(result)


def _by_sum(total: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sum from the mode outwards with ratios of neighbouring probabilities; no factorial, no lost digits."""
    mean = v * w / total
    widths = np.ceil((DEVIATIONS * np.sqrt(mean) + SKEWED) / PLACES).astype(np.int64) * PLACES
    result = np.empty(v.shape)
    for width in np.unique(widths).tolist():
        same_width = np.flatnonzero(widths == width)
        largest_mode = int(((width - SKEWED) / DEVIATIONS) ** 2) + 1  # mode of such a width
        below = min(width, largest_mode + 1)
        for part in np.array_split(same_width, len(same_width) * (width + below) // CHUNK + 1):
            result[part] = _sum_from_mode(total[part], v[part], w[part], width, below)
    return np.asarray(result - xlogx(mean))


def _sum_from_mode(total: np.ndarray, v: np.ndarray, w: np.ndarray, counts_above: int, counts_below: int) -> np.ndarray:
    """Return ``E[k log k]`` over so many counts above the mode and below it; all shapes (cells,).

    A row a count: a step of a running product is then one operation on neighbouring numbers, twice as fast.
    """
    mode, unmarked = np.floor((v + 1) * (w + 1) / (total + 2)), total - v - w
    up = mode + np.arange(1.0, counts_above + 1)[:, None]
    above = _probability_ratios(v + 1 - up, w + 1 - up, unmarked + up, up)
    down = np.maximum(mode - np.arange(1.0, counts_below + 1)[:, None], -1.0)  # -1 is reached with probability 0
    one_higher = down + 1
    below = _probability_ratios(unmarked + one_higher, one_higher, v - down, w - down)
    norm = 1.0 + _sum_of_rows(above) + _sum_of_rows(below)
    above *= _xlogx_of_float(up)
    below *= _xlogx_of_float(down)
    return np.asarray((_sum_of_rows(above) + _sum_of_rows(below) + xlogx(mode)) / norm)


def _probability_ratios(p: np.ndarray, q: np.ndarray, r: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return running products of p q / (r s) down columns, 0 where they are negligible; p and r are used up."""
    p *= q
    r *= s
    p /= r
    for before, following in pairwise(p):
        np.multiply(following, before, out=following)
    p *= p > NEGLIGIBLE
    return p


def _sum_of_rows(terms: np.ndarray) -> np.ndarray:
    """Return the sum over the first axis, in the order in which numpy adds up to 128 neighbouring numbers.

    Eight sums side by side, joined in pairs; then what is left. It keeps the bits of sums along rows.
    """
    whole = len(terms) // 8 * 8
    left = terms[whole:]
    if not whole:
        return np.asarray(sum(left[1:], start=left[0]))
    eight = terms[:8].copy()
    for first in range(8, whole, 8):
        eight += terms[first : first + 8]
    two = eight[::2] + eight[1::2]
    joined = (two[0] + two[1]) + (two[2] + two[3])
    for row in left:
        joined += row
    return np.asarray(joined)


def _xlogx_of_float(k: np.ndarray) -> np.ndarray:
    return np.take(_xlogx_table(), k.astype(np.int64), mode="clip")
