"""Computes p-values from moments of a null, and q-values from p-values.

Sources: Benjamini & Hochberg (1995, JRSS B 57); Benjamini & Yekutieli (2001,
Annals of Statistics 29). A gamma with the null's mean and variance is the
chi-square limit of information and of chi-square itself where counts are large,
and stays close where they are sparse.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammaincc, gammainccinv

__all__ = ["false_discovery_rates", "gamma_quantile", "gamma_tail"]

SMALLEST_TAIL = 1e-300
"""Tail below which a quantile is not told from that of 1e-300: doubles end there."""


def gamma_tail(value: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return P(T >= value) for a gamma T of this mean and variance, in the shape of the three broadcast.

    Examples
    --------
    >>> float(gamma_tail(np.array(3.0), np.array(1.0), np.array(1.0)).round(6))  # an exponential
    0.049787
    """
    value, mean, variance = np.broadcast_arrays(value, mean, variance)
    shape, scale = mean**2 / variance, variance / mean
    return np.asarray(np.where(shape > 0, gammaincc(shape, np.maximum(value / scale, 0.0)), np.nan))


def gamma_quantile(tail: float, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the value that a gamma of this mean and variance exceeds with probability ``tail``; shape of ``mean``.

    The inverse of `gamma_tail`; the mean where the variance is 0.

    Examples
    --------
    >>> value = gamma_quantile(0.049787, np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    >>> value.round(4).tolist()
    [3.0, 2.0]
    """
    spread = (mean > 0) & (variance > 0)
    shape = np.where(spread, mean, 1.0) ** 2 / np.where(spread, variance, 1.0)
    scale = np.where(spread, variance, 1.0) / np.where(spread, mean, 1.0)
    return np.asarray(np.where(spread, scale * gammainccinv(shape, max(tail, SMALLEST_TAIL)), mean))


def false_discovery_rates(p_values: np.ndarray, procedure: str, looked_at: int | None = None) -> np.ndarray:
    """Return q-values, shape (hypotheses,); NaN where p is NaN: such a hypothesis was not tested.

    Parameters
    ----------
    procedure
        benjamini_hochberg, or benjamini_yekutieli, which holds under any dependence.
    looked_at
        Number of hypotheses tested where more than these were; the others count as p = 1.

    Examples
    --------
    >>> false_discovery_rates(np.array([0.01, 0.04, np.nan, 0.03]), "benjamini_hochberg").round(3).tolist()
    [0.03, 0.04, nan, 0.04]
    """
    q_values = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    total = len(tested) if looked_at is None else max(looked_at, len(tested))
    if not total or not len(tested):
        return q_values
    order = tested[np.argsort(p_values[tested], kind="stable")]
    penalty = 1.0 if procedure == "benjamini_hochberg" else float(digamma(total + 1) + np.euler_gamma)
    raw = p_values[order] * total * penalty / np.arange(1, len(order) + 1)
    q_values[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return q_values
