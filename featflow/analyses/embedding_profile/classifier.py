"""Classifiers from the moments of classes: nearest mean, and linear discriminant analysis.

Every dimension is divided by its standard deviation within classes, so answers do not depend on units. The probe is
the classifier of linear discriminant analysis: the pooled correlations R within classes, shrunken towards none as
Friedman (1989, JASA 84) does, and the classes' shares of the rows as prior chances. How far R is shrunken is
Schaefer & Strimmer (2005, SAGMB 4:32), with the variance that correlations have in normal data.
"""

from __future__ import annotations

import numpy as np

from featflow.measures.classification import Classifier, prefix_lengths
from featflow.summaries.class_moments import ClassMoments

__all__ = ["classifier", "shrinkage", "within_scale"]

LEAST_SHRINKAGE = 1e-4
"""Least shrinkage, which bounds the weight of directions in which classes hardly vary: dimensions may be functions of
one another, and their correlations then have no inverse."""
LEAST_WITHIN = 2.0**-20
"""Least variance within classes, as a share of a dimension's variance: a dimension that is constant within classes but
tells them apart then has a scale to be divided by."""


def within_scale(moments: ClassMoments) -> np.ndarray:
    """Return the standard deviation of each dimension within classes, ddof 0, shape (d,); 0 where it is dead."""
    rows = max(int(moments.n.sum()), 1)
    within = moments.scatter.sum(axis=0)
    deviations = moments.mean - moments.n @ moments.mean / rows
    total = within + moments.n @ deviations**2
    return np.asarray(np.sqrt(np.maximum(within, LEAST_WITHIN * total) / rows))


def shrinkage(correlations: np.ndarray, freedom: int) -> float:
    """Return the share by which correlations are shrunken: 1 leaves none of them.

    Parameters
    ----------
    correlations
        Shape (d, d).
    freedom
        Degrees of freedom that they rest on.

    Examples
    --------
    >>> few, many = (shrinkage(np.array([[1.0, 0.6], [0.6, 1.0]]), freedom) for freedom in (10, 1000))
    >>> round(few, 3), round(many, 5)
    (0.114, 0.00114)
    """
    squares = correlations[~np.eye(len(correlations), dtype=bool)] ** 2
    noise = float(((1 - squares) ** 2).sum()) / max(freedom, 1)
    signal = float(squares.sum())
    return min(1.0, max(LEAST_SHRINKAGE, noise / signal)) if signal > 0 else 1.0


def classifier(moments: ClassMoments) -> Classifier:
    """Return the nearest-mean and the linear classifier of the rows whose moments are given.

    Examples
    --------
    >>> moments = ClassMoments(4, np.array([2, 2]), np.array([[0.0], [4.0]]), np.full((2, 1), 2.0), np.full((1, 1), 4))
    >>> both = classifier(moments)
    >>> both.answers(np.array([[1.5], [2.5]]))[1].tolist()
    [0, 1]
    """
    rows, width = int(moments.n.sum()), moments.mean.shape[1]
    scale = within_scale(moments)
    factor = np.divide(1.0, scale, out=np.zeros(width), where=scale > 0)
    origin = moments.n @ moments.mean / max(rows, 1)
    means = np.where(moments.n[:, None] > 0, (moments.mean - origin) * factor, 0.0)
    pooled = moments.within / max(rows, 1) * np.outer(factor, factor)
    np.fill_diagonal(pooled, 1.0)
    live = np.ix_(scale > 0, scale > 0)
    share = shrinkage(pooled[live], rows - int((moments.n > 0).sum()))
    weights = np.linalg.solve((1 - share) * pooled + share * np.eye(width), means.T)
    prior = np.log(np.maximum(moments.n, 1) / max(rows, 1))
    bias = prior - (means.T * weights).sum(axis=0) / 2
    return Classifier(moments.n, origin, factor, means, prefix_lengths(width), weights, bias)
