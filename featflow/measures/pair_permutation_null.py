"""Mean and variance of mutual information under independence, for all pairs of a block.

``N * MI`` is, margins apart, a sum over cells of ``phi(n_ij) = n_ij log n_ij``.
With both margins fixed a cell is hypergeometric, and its share of phi on the
m-th orthogonal polynomial of that law is

    a_ij = sqrt(v^(m) w^(m) / (N^m m!)) E[D^m phi(X)],  X ~ Hypergeometric(N - 2m, v - m, w - m),

``v^(m)`` falling factorials, D the forward difference. Standardised cells of one
table are correlated as the entries of ``(I - sqrt(p p')) x (I - sqrt(q q'))``,
p and q the shares of the levels, and polynomials of two cells as the m-th power
of that (Lancaster 1958, Annals of Mathematical Statistics 29). So

    Var(N MI) = sum_m a' (P_m x Q_m) a,  P_m and Q_m entry-wise m-th powers,

where m = 1 keeps of the slopes only what is no sum of a row's and a column's.
The expectation is taken over a Poisson, and the hypergeometric's smaller variance
is allowed for to first order; Poisson expectations are interpolated from a table made once. Of many
rows it is ``(R - 1)(C - 1) / 2``.

Mean and variance are sums over cells of functions of the two margins, or of
squares of sums over one of them. A function of margins is a weighted sum of its
values at nodes (see `featflow.measures.null_interpolation`), so summed over the levels
of a column the weights are a vector that says all that is needed of it, and a
pair is a dozen products of two vectors, however many cells it has. The mean is
within 1e-8 a cell of the exact one times N. Cost: about 100 numbers a column and
vector, once a column; of each pair a multiplication for each, added in the order
of the nodes, so that the block does not show in the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from math import factorial

import numpy as np
from scipy.special import gammaln, xlogy

from featflow.measures.information import expected_excess, xlogx
from featflow.measures.null_interpolation import COARSE, margin_nodes, node_weights

__all__ = ["InformationNull", "Vectors", "information_moments", "information_null"]

TERMS = 3
"""Polynomials kept; the fourth adds about 1 % where cells hold a few rows, and less elsewhere."""
NODES = 1024
"""Nodes of the table, even in mean / (1 + mean): interpolated to 1e-5."""
NO_VARIANCE = 1e-9
"""Variance of N MI that rounding can leave where the information is one value."""


@dataclass(frozen=True)
class Vectors:
    """Vectors of the columns on one side of pairs: mean and variance of a pair are sums of products of both sides'."""

    mean: np.ndarray
    """Its product with the other side's is the mean, shape (nodes, columns)."""
    plain: np.ndarray
    """Added to the variance by its product with the other side's, shape (2 x terms x nodes, columns)."""
    squared: np.ndarray
    """Added to the variance by the square of that product, term by term, shape (terms, nodes, columns)."""

    def __getitem__(self, columns: slice) -> Vectors:
        """Return those of some columns."""
        return Vectors(*(np.ascontiguousarray(x[..., columns]) for x in (self.mean, self.plain, self.squared)))


class InformationNull:
    """The null of all pairs of columns over one number of rows.

    Parameters
    ----------
    total
        Rows, a whole number.
    """

    def __init__(self, total: int) -> None:
        self.total, self.nodes, self.coarse = total, margin_nodes(total), margin_nodes(total, COARSE)
        v, coarse = self.nodes.astype(np.float64), self.coarse.astype(np.float64)
        upper = np.triu_indices(len(v))
        self._excess = np.zeros((len(v), len(v)))
        self._excess[upper] = expected_excess(float(total), v[upper[0]], v[upper[1]])
        self._excess.T[upper] = self._excess[upper]
        degrees = range(1, TERMS + 1)
        self._differences = [_expected_difference(m, float(total), coarse[:, None], coarse) for m in degrees]

    def left(self, margins: np.ndarray, starts: np.ndarray) -> Vectors:
        """Return the vectors of first columns.

        Parameters
        ----------
        margins
            Rows of each level, one column's levels after another's, whole numbers, shape (levels,).
        starts
            First level of each column, shape (columns,).
        """
        summed, diagonals, roots = self._weights(margins, starts)
        applied = [
            _ordered_products(difference, root) for difference, root in zip(self._differences, roots, strict=True)
        ]
        return Vectors(summed, np.concatenate([*diagonals, *(array**2 for array in applied)]), np.stack(roots))

    def right(self, margins: np.ndarray, starts: np.ndarray) -> Vectors:
        """Return the vectors of second columns; parameters as in `left`."""
        summed, diagonals, roots = self._weights(margins, starts)
        applied = [
            _ordered_products(difference, root) for difference, root in zip(self._differences, roots, strict=True)
        ]
        plain, signed = [], []
        scale = self.total / max(self.total - 1, 1)
        for m, (difference, diagonal) in enumerate(zip(self._differences, diagonals, strict=True), start=1):
            sign, factor = (-1) ** m, float(self.total) ** m / factorial(m) * scale**m
            plain.append(factor * (_ordered_products(difference**2, diagonal) + sign * applied[m - 1] ** 2))
            signed.append(factor * sign * diagonal)
            applied[m - 1] *= np.sqrt(factor)
        return Vectors(_ordered_products(self._excess, summed), np.concatenate(plain + signed), np.stack(applied))

    def _weights(
        self, margins: np.ndarray, starts: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Return weights of the nodes summed over levels: plain, and times the diagonals and the vectors of P_m.

        P_m is a diagonal plus the product of one vector with itself. Shapes (nodes, columns).
        """
        mean, variance = (_NodeWeights(nodes, margins, starts) for nodes in (self.nodes, self.coarse))
        rows = margins.astype(np.float64)
        share = rows / self.total
        scale, power, other = np.ones(len(rows)), np.ones(len(rows)), np.ones(len(rows))
        diagonals, roots = [], []
        for m in range(1, TERMS + 1):
            scale = scale * np.maximum(rows - (m - 1), 0.0) / self.total
            power, other = power * share, other * (1 - share)
            diagonals.append(variance.summed((other - (-1) ** m * power) * scale))
            roots.append(variance.summed(np.sqrt(power * scale)))
        return mean.summed(np.ones(len(rows))), diagonals, roots


class _NodeWeights:
    """Weights of nodes for the levels of columns."""

    def __init__(self, nodes: np.ndarray, margins: np.ndarray, starts: np.ndarray) -> None:
        distinct, inverse = np.unique(margins, return_inverse=True)
        index, self._weights = (array[inverse] for array in node_weights(nodes, distinct))
        column = np.searchsorted(starts, np.arange(len(margins)), side="right") - 1
        self._shape = len(nodes), len(starts)
        self._place = (index * len(starts) + column[:, None]).ravel()

    def summed(self, factor: np.ndarray) -> np.ndarray:
        """Return the weights times a factor a level, summed over each column's levels, shape (nodes, columns)."""
        weights = (self._weights * factor[:, None]).ravel()
        return np.bincount(self._place, weights, int(np.prod(self._shape))).reshape(self._shape)


def information_moments(left: Vectors, right: Vectors, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return null mean and variance of the information of every left with every right column, nats and nats squared.

    Returns
    -------
    tuple
        Shapes (left columns, right columns); the variance is 0 where the information can have one value only.

    Examples
    --------
    >>> many, first = np.array([40_000, 60_000]), np.array([0])
    >>> null = information_null(100_000)
    >>> mean, variance = information_moments(null.left(many, first), null.right(many, first), null.total)
    >>> float((mean[0, 0] * 100_000).round(4)), float((variance[0, 0] * 100_000**2).round(4))  # one degree of freedom
    (0.5, 0.5)
    """
    scaled_variance = _ordered_products(left.plain, right.plain)
    for one, other in zip(left.squared, right.squared, strict=True):
        scaled_variance += _ordered_products(one, other) ** 2
    variance = np.where(scaled_variance > NO_VARIANCE, scaled_variance, 0.0) / float(total) ** 2
    return np.maximum(_ordered_products(left.mean, right.mean) / total, 0.0), variance


@lru_cache(maxsize=4)
def information_null(total: int) -> InformationNull:
    """Return the null of so many rows, kept for the next call."""
    return InformationNull(total)


def _ordered_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return sums over the first axis of products, shape (left columns, right columns), added in order of nodes."""
    # A matrix product would be faster, but its order of additions, and so the last bit, depends on the block's shape.
    result, term = np.zeros((left.shape[1], right.shape[1])), np.empty((left.shape[1], right.shape[1]))
    for node in np.flatnonzero(left.any(axis=1) & right.any(axis=1)):
        np.multiply(left[node, :, None], right[node], out=term)
        result += term
    return result


def _expected_difference(m: int, total: float, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return ``E[D^m phi(X)]`` of cells in rows of v and columns of w, less, for m = 1, ``1 + log(v w / N)``."""
    left, right = (np.maximum(side - m, 0.0) / max(total - 2 * m, 1.0) for side in (v, w))
    mean = left * right * max(total - 2 * m, 1.0)
    variance_gap = mean * np.minimum(
        left + right - left * right, 1.0
    )  # the Poisson's variance less the hypergeometric's
    expected = _poisson_difference(m, mean) - variance_gap / 2 * _poisson_difference(m + 2, mean)
    if m == 1:
        expected += np.log((1 + mean) / np.maximum(v * w / total, 1 / total))
    return np.asarray(expected)


def _poisson_difference(m: int, mean: np.ndarray) -> np.ndarray:
    """Return ``E[D^m phi(Y)]`` for Y Poisson of this mean, less, for m = 1, ``1 + log(1 + mean)``."""
    nodes, values = _poisson_table()
    expected = np.interp(mean / (1 + mean), nodes, values[m - 1])
    return np.asarray(expected if m == 1 else expected / (1 + mean) ** (m - 1))


@cache
def _poisson_table() -> tuple[np.ndarray, list[np.ndarray]]:
    """Return nodes mean / (1 + mean) in [0, 1], and at them ``(1 + mean)^(m - 1) E[D^m phi(Y)]``, which is bounded."""
    nodes = np.arange(NODES) / NODES
    mean = nodes / (1 - nodes)
    k = np.arange(np.ceil(mean[-1] + 12 * np.sqrt(mean[-1]) + 40))
    probability = np.exp(xlogy(k, mean[:, None]) - mean[:, None] - gammaln(k + 1))
    values = []
    for m in range(1, TERMS + 3):
        expected = probability @ np.diff(xlogx(np.arange(len(k) + m)), m)
        if m == 1:
            values.append(np.append(expected - 1 - np.log1p(mean), 0.0))
        else:
            values.append(np.append(expected * (1 + mean) ** (m - 1), (-1) ** m * factorial(m - 2)))
    return np.append(nodes, 1.0), values
