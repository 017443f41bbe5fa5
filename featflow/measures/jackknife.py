"""Estimates sampling errors by deleting groups of rows in turn.

Source: Busing, Meijer & van der Leeden (1999, Statistics and Computing 9), the
jackknife for groups of unequal size; of equal sizes it is the usual one,
``(G - 1) / G sum (theta_-g - mean)^2`` (Quenouille 1956; Tukey 1958). Intervals use Student's t with
G - 1 degrees of freedom around the jackknife's own estimate, which is free of bias of
the order of 1 / rows: dependence between rows of a group biases some scores. So a table should publish that
estimate with the interval.
What rows of one group have in common is in the error, so grouping by what makes
rows depend on one another gives honest intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from scipy.special import stdtrit

from featflow.measures.information import entropy

__all__ = ["FEWEST_GROUPS", "ErrorBars", "clipped", "entropy_limit", "error_bars"]

FEWEST_GROUPS = 8
"""Groups with rows below which no error is given: it would itself be off by a third and more."""


@dataclass(frozen=True)
class ErrorBars:
    """Standard errors and confidence intervals, NaN where there are too few groups; shapes of the estimate."""

    standard_error: np.ndarray
    """In the unit of the estimate."""
    low: np.ndarray
    """Lower end of the interval."""
    high: np.ndarray
    """Upper end of the interval."""
    degrees: int
    """Degrees of freedom: groups with rows, less one."""
    estimate: np.ndarray
    """The jackknife's own estimate, the middle of the interval; the estimate from all rows where there are too few."""


def error_bars(estimate: np.ndarray, deleted: np.ndarray, rows: np.ndarray, confidence: float) -> ErrorBars:
    """Return the jackknife's error bars.

    Parameters
    ----------
    estimate
        Estimate from all rows, any shape.
    deleted
        Estimates from all rows but one group's, shape (groups, *shape of the estimate).
    rows
        Rows, or weight, of each group, shape (groups,); groups of none are left out.
    confidence
        Level of the interval.

    Examples
    --------
    >>> x = np.arange(10.0)
    >>> bars = error_bars(x.mean(), (x.sum() - x) / 9, np.ones(10), 0.95)
    >>> bool(np.isclose(bars.standard_error, x.std(ddof=1) / np.sqrt(10)))
    True
    """
    estimate = np.asarray(estimate, np.float64)
    occupied = np.asarray(rows) > 0
    groups = int(occupied.sum())
    if groups < FEWEST_GROUPS:
        unknown = np.full(estimate.shape, np.nan)
        return ErrorBars(unknown, unknown, unknown, max(groups - 1, 0), estimate)
    group_rows = np.asarray(rows, np.float64)[occupied]
    inverse_shares = group_rows.sum() / group_rows
    # Groups along the last axis: a sum over it does not depend, by a bit, on how many estimates stand side by side.
    leave_one_out = np.ascontiguousarray(np.moveaxis(deleted[occupied], 0, -1))
    mean = groups * estimate - ((1 - 1 / inverse_shares) * leave_one_out).sum(axis=-1)
    pseudo = inverse_shares * estimate[..., None] - (inverse_shares - 1) * leave_one_out
    error = np.sqrt(((pseudo - mean[..., None]) ** 2 / (inverse_shares - 1)).mean(axis=-1))
    half_width = stdtrit(groups - 1, (1 + confidence) / 2) * error
    return ErrorBars(error, mean - half_width, mean + half_width, groups - 1, mean)


def clipped(
    low: np.ndarray, high: np.ndarray, estimate: np.ndarray, most: np.ndarray | float, least: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of an interval clipped to what is possible, around the published estimate.

    An estimate corrected for chance can lie outside what is possible, by noise: the end on its side is then the
    estimate itself, so an interval never excludes the estimate it is published with.

    Parameters
    ----------
    low, high, estimate
        Ends of the intervals and estimates, any one shape; NaN ends stay NaN.
    most, least
        Greatest and least possible value, in the unit of the estimate: entropy of the target and 0 for information.

    Examples
    --------
    >>> low, high = clipped(np.array([-0.2, -0.3]), np.array([0.9, 0.1]), np.array([0.4, -0.1]), most=0.7)
    >>> low.tolist(), high.tolist()
    ([0.0, -0.1], [0.7, 0.1])
    """
    possible_low, possible_high = np.clip(low, least, most), np.clip(high, least, most)
    return np.asarray(np.minimum(possible_low, estimate)), np.asarray(np.maximum(possible_high, estimate))


def entropy_limit(classes: np.ndarray, confidence: float) -> float:
    """Return the most that can be known of a target: the upper end of the interval of its entropy, in nats.

    The entropy of the rows at hand is too low by chance: that of a fair coin is below log 2 in every sample, so an
    interval clipped to it would never hold the truth where a feature says all.

    Parameters
    ----------
    classes
        Rows, or weight, of every class in every group, shape (groups, classes).

    Examples
    --------
    >>> coin = np.array([[6, 4], [5, 5], [6, 4], [3, 7], [7, 3], [5, 5], [6, 4], [5, 6]])
    >>> round(entropy(coin.sum(axis=0)), 4), round(entropy_limit(coin, 0.95), 4), round(float(np.log(2)), 4)
    (0.6912, 0.6931, 0.6931)
    """
    whole, rows = classes.sum(axis=0), classes.sum(axis=1)
    seen = entropy(whole)
    bars = error_bars(np.array(seen), np.array([entropy(whole - group) for group in classes]), rows, confidence)
    most = max(seen, log(max(int(np.count_nonzero(whole)), 1)))
    return most if np.isnan(bars.high) else max(seen, min(float(bars.high), most))
