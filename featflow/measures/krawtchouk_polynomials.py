"""Coefficients of h(k) = k log(k / l) - (k - l) on the orthonormal polynomials of a binomial with mean l.

Source of the polynomials: Krawtchouk (1929), by their three-term recurrence. Sums run over the binomial's points
around its mean, every point where there are few, evenly spaced ones where it is smooth. Cost: at most 64 points a cell.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import gammaln

__all__ = ["DEGREES", "coefficients_of_h"]

DEGREES = 8
"""Krawtchouk polynomials used for covariances, which fall off as powers r^m; variances are computed whole."""
ORDERS = np.arange(1.0, DEGREES + 1)
NOISE = 1e-9
"""Rounding in a coefficient from which it is left out: with nearly all draws of one class high degrees are noise."""
NOISY_BELOW = np.append(0.0, (NOISE / np.finfo(np.float64).eps) ** (2 / (1 - ORDERS[1:])) / ORDERS[1:])
"""Variance below which it is that of a degree: eps (m variance)^((1 - m) / 2) in degree m."""
WIDTH, MARGIN = 8.0, 8.0
"""A cell is summed so many standard deviations and so many counts around its mean: below 1e-14 of a normal is left out;
the counts are for small means, whose tails are longer."""
STRIDE = 2.0
"""Points a standard deviation: a smooth sum at this step errs by exp(-2 (pi STRIDE)^2)."""
PLACES = 8
"""Sums run over multiples of so many points: few widths, so that many cells are summed at once."""
CHUNK = 2**17
"""Points evaluated at once: what a core's cache holds, and enough that threads seldom wait for the interpreter."""
TABLE = 2**20
"""Logarithms of factorials below this number are looked up, in 8 MiB: five times as fast as computing them."""


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
    # Each cell is summed over as many places as its own points need, up to a multiple: how a sum is cut, and with it
    # the last bit, must not depend on what other cells there are.
    width = -(-points // PLACES) * PLACES
    coefficients, beyond = np.zeros((len(v), DEGREES)), np.zeros(len(v))
    for places in np.unique(width).tolist():
        same_width = np.flatnonzero(width == places)
        for part in np.array_split(same_width, len(same_width) * places // CHUNK + 1):
            cells = (x[part, None] for x in (v, q, low, step, points))
            coefficients[part], beyond[part] = _project_cells(*cells, width=places)
    coefficients[deviation[:, None] ** 2 < NOISY_BELOW] = 0.0
    return coefficients, beyond


def _project_cells(
    v: np.ndarray, q: np.ndarray, low: np.ndarray, step: np.ndarray, points: np.ndarray, *, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Project h onto the orthonormal polynomials of Binomial(v, q), by sums over its points; all shapes (cells, 1)."""
    index = np.arange(width)[None, :]
    k = low + index * step
    np.minimum(k, v, out=k)
    p = k * (np.log(q) - np.log(np.maximum(1 - q, np.finfo(np.float64).tiny)))
    p -= _log_factorial(k)
    p -= _log_factorial(v - k)
    p[:, -PLACES:][index[:, -PLACES:] >= points] = -np.inf  # only among the last: widths are as few as hold them
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    mean = v * q
    h = np.maximum(k, 1.0)
    h /= mean
    np.log(h, out=h)
    h *= k
    h -= k
    h -= _row_products(p, h)[:, None]  # a constant adds nothing to the variance and would cost digits
    weighted = p  # in place: the probabilities are not needed any more
    weighted *= h
    variance = _row_products(weighted, h)
    previous, current, successor = np.empty_like(k), np.empty_like(k), np.empty_like(k)
    coefficients = np.zeros((len(v), DEGREES))
    off_diagonal = np.zeros_like(v)
    for m in range(DEGREES):  # x K_m = o_(m+1) K_(m+1) + (q (v - m) + m (1 - q)) K_m + o_m K_(m-1)
        next_off_diagonal = np.sqrt(np.maximum((m + 1) * q * (1 - q) * (v - m), 0.0))
        np.subtract(k, q * (v - m) + m * (1 - q), out=successor)
        if m:  # K_0 is 1, and before it comes nothing
            successor *= current
        if m > 1:
            previous *= off_diagonal
            successor -= previous
        elif m:
            successor -= off_diagonal
        successor *= np.divide(
            1.0, next_off_diagonal, out=np.zeros_like(next_off_diagonal), where=next_off_diagonal > 0
        )
        previous, current, successor, off_diagonal = current, successor, previous, next_off_diagonal
        coefficients[:, m] = _row_products(weighted, current)
    return coefficients, np.maximum(variance - coefficients[:, 0] ** 2, 0.0)


def _row_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("ij,ij->i", left, right))


def _log_factorial(counts: np.ndarray) -> np.ndarray:
    """Return log(k!) of whole numbers, from a table up to `TABLE`: five times as fast, with the same bits."""
    if counts.max(initial=0.0) >= TABLE:
        return np.asarray(gammaln(counts + 1))
    return np.take(_log_factorials(), counts.astype(np.int64))


@cache
def _log_factorials() -> np.ndarray:
    return np.asarray(gammaln(np.arange(1, TABLE + 1, dtype=np.float64)))
