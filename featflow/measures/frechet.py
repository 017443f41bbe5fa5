"""Frechet distance between the vectors of two runs, from their first two moments.

Source: Dowson & Landau (1982, J. Multivariate Analysis 12): ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2)``,
Wasserstein's second distance of normals, squared; of image vectors Heusel et al. (2017, NeurIPS 30). Between samples
of one distribution it is not 0 but about (1/n + 1/m) times a function of the spectrum, so distances compare at equal n.
That mean, and the variance, are those of the distance's second-order expansion in the errors of both moments of normal
vectors, ``|dm|^2 + sum_ij dS_ij^2 / (2 (l_i + l_j))`` in the axes of the covariance; a gamma with both gives p-values.
Vectors with heavier tails than a normal's have smaller p-values than they should. Cost: three eigenproblems of d x d.
"""

from __future__ import annotations

import numpy as np

from featflow.measures.association import moment_tail
from featflow.summaries.vector_moments import VectorMoments

__all__ = ["frechet"]


def frechet(reference: VectorMoments, current: VectorMoments) -> tuple[float, float]:
    """Return the squared Frechet distance over the reference's total variance, and its p-value.

    NaN where a run has fewer than two vectors, or the reference's never vary. Off by rounding of about 1e-7 where a
    covariance has no full rank.
    """
    if min(reference.n, current.n) < 2:
        return float("nan"), float("nan")
    before, now = (state.comoments / (state.n - 1) for state in (reference, current))
    total = float(np.trace(before))
    if total <= 0:
        return float("nan"), float("nan")
    mean_distance = float(((current.mean - reference.mean) ** 2).sum())
    square_root = _square_root(before)
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(square_root @ now @ square_root), 0.0)).sum()
    value = max(mean_distance + total + float(np.trace(now)) - 2 * float(overlap), 0.0)
    pooled = (reference.comoments + current.comoments) / (reference.n + current.n - 2)
    mean, variance = _null_moments(np.maximum(np.linalg.eigvalsh(pooled), 0.0), 1 / reference.n + 1 / current.n)
    return value / total, float(moment_tail(np.array(value), np.array(mean), np.array(variance)))


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root."""
    values, axes = np.linalg.eigh(covariance)
    return np.asarray((axes * np.sqrt(np.maximum(values, 0.0))) @ axes.T)


def _null_moments(spectrum: np.ndarray, share: float) -> tuple[float, float]:
    """Return mean and variance of the distance of two samples: a sum of weighted chi-squares of one degree.

    Parameters
    ----------
    share
        1/n + 1/m.
    """
    sums = spectrum[:, None] + spectrum
    off_diagonal = np.divide(np.outer(spectrum, spectrum), sums, out=np.zeros_like(sums), where=sums > 0)
    weights = share * np.concatenate([spectrum, spectrum / 2, off_diagonal[np.triu_indices(len(spectrum), k=1)]])
    return float(weights.sum()), float(2 * (weights**2).sum())
