"""Principal directions and clusters from the moments and a sample of vectors.

Directions are eigenvectors of the covariance, by falling eigenvalue; clusters are those of k-means (Lloyd 1982) from
starts by k-means++ (Arthur & Vassilvitskii 2007), the best of several, on the sample's projections. Units matter to
both: where dimensions have several, the widest decide. Moments depend in their last bits on the order of merging, so
directions and centroid are rounded, which leaves nothing of it but where two eigenvalues are as good as equal.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from scipy.cluster.vq import kmeans2

from featflow.summaries.vector_moments import VectorMoments
from featflow.summaries.vector_sample import VectorSample
from featflow.transforms.projection.projection import Projection, nearest, squared_distances

__all__ = ["fit", "principal_directions"]

ROUNDING_BITS = 20
"""Directions are rounded to multiples of 2^-20; the centroid to 2^-20 of a dimension's standard deviation."""
FLOAT32_NOISE = 2.0**-46
"""Square of what float32 rounds off: a smaller share of the largest eigenvalue, times d, is no direction."""
CLUSTER_DIRECTIONS = 32
"""Most directions that clusters are looked for in."""
CLUSTER_VARIANCE = 0.95
"""Share of the variance that is enough for them."""
STARTS, ROUNDS = 8, 100
"""Starts of k-means, and rounds of one: with 30, sums of squares of noise are up to 0.3 % larger."""


def principal_directions(moments: VectorMoments) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions that vectors vary in and the variance in each, ddof 1, falling.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Shape (rank, d), the component of the largest magnitude positive, and (rank,).

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> from featflow.summaries import VectorMomentsSummarizer
    >>> import pyarrow as pa
    >>> lists = pa.array([[0.0, 1.0], [0.0, 3.0]], pa.list_(pa.float32(), 2))
    >>> spec = VectorMomentsSummarizer(Column("v", "vector", Kind.VECTOR), 2)
    >>> directions, variances = principal_directions(spec.summarize(pa.record_batch({"v": lists})))
    >>> directions.tolist(), variances.tolist()
    ([[0.0, 1.0]], [2.0])
    """
    values, vectors = np.linalg.eigh(moments.comoments / max(moments.n - 1, 1))
    values, directions = values[::-1], vectors.T[::-1]
    rank = int((values > max(values[0], 0.0) * len(values) * FLOAT32_NOISE).sum())
    directions = np.round(np.ldexp(directions[:rank], ROUNDING_BITS))
    largest = np.abs(directions).argmax(axis=1)[:, None]
    directions *= np.sign(np.take_along_axis(directions, largest, axis=1))
    return np.ldexp(directions, -ROUNDING_BITS) + 0.0, values[:rank]


def fit(
    moments: VectorMoments, sample: VectorSample, directions: int, clusters: int, before: Projection | None = None
) -> Projection:
    """Return principal directions and clusters of vectors.

    Parameters
    ----------
    sample
        Of the same vectors.
    directions
        Most directions, the projections on which are columns; fewer where the vectors vary in fewer.
    clusters
        Most clusters, 0 for none; fewer where there are fewer distinct vectors.
    before
        An earlier fit of the same encoder's vectors, whose clusters keep their numbers where they are found again.
    """
    axes, variances = principal_directions(moments)
    kept = min(directions, len(axes))
    enough = 1 + int(np.searchsorted(np.cumsum(variances), CLUSTER_VARIANCE * variances.sum()))
    used = min(enough, CLUSTER_DIRECTIONS, len(axes)) if clusters else 0
    none = np.empty(0, np.int64)
    found = Projection(_centroid(moments), axes[: max(kept, used)], kept, np.empty((0, used)), none, _numbers(before))
    if not used or not len(sample.vectors):
        return found
    centres = _k_means(found.project(sample.vectors)[:, :used], clusters)
    return _numbered(replace(found, centres=centres[np.lexsort(centres.T[::-1])]), before)


def _numbers(before: Projection | None) -> int:
    return before.numbers if before else 0


def _numbered(found: Projection, before: Projection | None) -> Projection:
    """Return the fit with numbers for its clusters: those of before where they are found again, then new ones.

    First numbers go by the centres' coordinates, the leading direction first: sizes may be equal, and change places
    from night to night. A cluster is found again where its centre has moved by less than half of the way to the next
    one's: it then lies in what was that cluster's.
    """
    labels = np.full(len(found.centres), -1)
    if before and len(before.centres):
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  only a second fit needs it

        old, new = before.places(), found.places()
        way, apart = np.sqrt(squared_distances(old, new)), np.sqrt(squared_distances(old, old))
        np.fill_diagonal(apart, np.inf)
        reach = apart.min(axis=1)[:, None] / 2
        # Pairs out of reach cost more than all within it together, so none of those is given up for them.
        within = way < reach
        cost = np.where(within, way, 1 + way[within].sum() + way.max())
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if within[row, column]:
                labels[column] = before.labels[row]
    new_ones = labels < 0
    labels[new_ones] = found.numbers + np.arange(new_ones.sum())
    return replace(found, labels=labels, numbers=found.numbers + int(new_ones.sum()))


def _centroid(moments: VectorMoments) -> np.ndarray:
    """Return the mean, rounded to a power of two that is small beside the standard deviation."""
    spread = np.sqrt(np.diagonal(moments.comoments) / max(moments.n - 1, 1))
    unit = np.frexp(spread)[1] - ROUNDING_BITS
    return np.where(spread > 0, np.ldexp(np.round(np.ldexp(moments.mean, -unit)), unit), moments.mean)


def _k_means(points: np.ndarray, clusters: int) -> np.ndarray:
    """Return centres, each nearest to some points, shape (at most clusters, dimensions)."""
    random, most = np.random.default_rng(0), min(clusters, len(np.unique(points, axis=0)))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # a centre may lose all of its points
        runs = [kmeans2(points, most, ROUNDS, minit="++", rng=random)[0] for _ in range(STARTS)]
    centres = min(runs, key=lambda some: float(squared_distances(points, some).min(axis=1).sum()))
    return np.asarray(centres[np.unique(nearest(points, centres))])
