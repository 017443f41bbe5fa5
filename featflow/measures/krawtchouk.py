"""Coefficients of h(k) = k log(k / l) - (k - l) on the orthonormal polynomials of a binomial with mean l.

Source of the polynomials: Krawtchouk (1929), by their three-term recurrence. Sums run over the binomial's points
around its mean, every point where there are few, evenly spaced ones where it is smooth. Cost: at most 50 points a cell.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

__all__ = ["DEGREES", "coefficients_of_h"]

DEGREES = 8
"""Krawtchouk polynomials used for covariances; variances are whole."""
WIDTH, MARGIN = 8.0, 8.0
"""A cell is summed so many standard deviations and so many counts around its mean."""
STRIDE = 2.0
"""Points a standard deviation: a smooth sum at this step errs by exp(-2 (pi STRIDE)^2)."""
CHUNK = 2**19
"""Points evaluated at once."""


def coefficients_of_h(v: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of degrees 1 to `DEGREES`, shape (cells, DEGREES), and the variance beyond degree 1.

    Parameters
    ----------
    v, q
        Draws and probability of every binomial, shapes (cells,), float64; 0 < q <= 1.

    Examples
    --------
    >>> coefficients, beyond = coefficients_of_h(np.array([1.0, 1e6]), np.array([0.3, 0.3]))
    >>> beyond.round(6).tolist(), float(coefficients[1, 1].round(4))  # one draw is linear; many are a square
    ([0.0, 0.245], 0.495)
    """
    mean = v * q
    deviation = np.sqrt(mean * (1 - q))
    step = np.maximum(1.0, np.floor(deviation / STRIDE))
    low = np.maximum(0.0, np.floor(mean - WIDTH * deviation - MARGIN))
    points = np.floor((np.minimum(v, np.ceil(mean + WIDTH * deviation + MARGIN)) - low) / step).astype(np.int64) + 1
    # Each cell is summed over as many places as its own points need, up to a power of two: how a sum is cut, and with
    # it the last bit, must not depend on what other cells there are.
    width = 1 << np.ceil(np.log2(points)).astype(np.int64)
    coefficients, beyond = np.zeros((len(v), DEGREES)), np.zeros(len(v))
    for places in np.unique(width).tolist():
        alike = np.flatnonzero(width == places)
        for some in np.array_split(alike, len(alike) * places // CHUNK + 1):
            cells = (x[some, None] for x in (v, q, low, step, points))
            coefficients[some], beyond[some] = _projected(*cells, width=places)
    return coefficients, beyond


def _projected(
    v: np.ndarray, q: np.ndarray, low: np.ndarray, step: np.ndarray, points: np.ndarray, *, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Project h onto the orthonormal polynomials of Binomial(v, q), by sums over its points; all shapes (cells, 1)."""
    index = np.arange(width)[None, :]
    k = np.minimum(low + index * step, v)
    log_p = xlogy(k, q) + xlogy(v - k, 1 - q) - gammaln(k + 1) - gammaln(v - k + 1)
    log_p[index >= points] = -np.inf
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    mean = v * q
    h = xlogy(k, k / mean) - (k - mean)
    h -= (p * h).sum(axis=1, keepdims=True)
    before, now = np.zeros_like(k), np.ones_like(k)
    coefficients = np.zeros((len(v), DEGREES))
    off = np.zeros_like(v)
    for m in range(DEGREES):  # x K_m = off_(m+1) K_(m+1) + (q (v - m) + m (1 - q)) K_m + off_m K_(m-1)
        following = np.sqrt(np.maximum((m + 1) * q * (1 - q) * (v - m), 0.0))
        exists = following > 0
        raised = (k - (q * (v - m) + m * (1 - q))) * now - off * before
        before, now, off = now, np.where(exists, raised / np.where(exists, following, 1.0), 0.0), following
        coefficients[:, m] = (p * h * now).sum(axis=1)
    variance = (p * h**2).sum(axis=1)
    return coefficients, np.maximum(variance - coefficients[:, 0] ** 2, 0.0)
