"""Principal directions and clusters from the moments and a sample of vectors.

Directions are eigenvectors of the covariance, by falling eigenvalue; clusters are those of k-means (Lloyd 1982) from
starts by k-means++ (Arthur & Vassilvitskii 2007), the best of several, on the sample's projections. Units matter to
both: where dimensions have several, those of the largest spread dominate. Moments depend in their last bits on the
order of merging, so directions and centroid are rounded, which removes the difference unless two eigenvalues are all
but equal.
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
"""Directions are rounded to multiples of 2^-20; the centroid to 2^-20 of a dimension's standard deviation: far above
the last bits of sums, which the order of merging changes, and far below what a column shows."""
FLOAT32_NOISE = 2.0**-46
"""Square of float32's rounding error: an eigenvalue that is less than d times this share of the largest is noise."""
CLUSTER_DIRECTIONS = 32
"""Most directions that clusters are looked for in: more cost time, and their noise hides distances between clusters."""
CLUSTER_VARIANCE = 0.95
"""Share of the variance that clusters are looked for in: the directions of the rest are mostly noise."""
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
        Sample of the same vectors.
    directions
        Most directions, the projections on which are columns; fewer where the vectors vary in fewer.
    clusters
        Most clusters, 0 for none; fewer where there are fewer distinct vectors.
    before
        An earlier fit of the same encoder's vectors, whose clusters keep their numbers where they are found again.
    """
    axes, variances = principal_directions(moments)
    columns = min(directions, len(axes))
    sufficient = 1 + int(np.searchsorted(np.cumsum(variances), CLUSTER_VARIANCE * variances.sum()))
    used = min(sufficient, CLUSTER_DIRECTIONS, len(axes)) if clusters else 0
    unlabelled = np.empty(0, np.int64)
    projection = Projection(
        _centroid(moments), axes[: max(columns, used)], columns, np.empty((0, used)), unlabelled, _numbers_given(before)
    )
    if not used or not len(sample.vectors):
        return projection
    centres = _k_means(projection.project(sample.vectors)[:, :used], clusters)
    return _with_labels(replace(projection, centres=centres[np.lexsort(centres.T[::-1])]), before)


def _numbers_given(before: Projection | None) -> int:
    return before.numbers if before else 0


def _with_labels(projection: Projection, before: Projection | None) -> Projection:
    """Return the fit with labels of its clusters: a cluster of the earlier fit keeps its label, others get new ones.

    New labels go by the centres' coordinates, the leading direction first: sizes may be equal, and change order from
    run to run. A cluster is an earlier one if its centre has moved by less than half of the distance to the nearest
    other earlier centre: it then lies in the earlier cluster's own region.
    """
    labels = np.full(len(projection.centres), -1)
    if before and len(before.centres):
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  only a second fit needs it

        old, new = before.places(), projection.places()
        distances, spacing = np.sqrt(squared_distances(old, new)), np.sqrt(squared_distances(old, old))
        np.fill_diagonal(spacing, np.inf)
        reach = spacing.min(axis=1)[:, None] / 2
        # A pair out of reach costs more than all within reach together: none of those is given up for it.
        within = distances < reach
        cost = np.where(within, distances, 1 + distances[within].sum() + distances.max())
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if within[row, column]:
                labels[column] = before.labels[row]
    unmatched = labels < 0
    labels[unmatched] = projection.numbers + np.arange(unmatched.sum())
    return replace(projection, labels=labels, numbers=projection.numbers + int(unmatched.sum()))


def _centroid(moments: VectorMoments) -> np.ndarray:
    """Return the mean, rounded to a power of two that is small beside the standard deviation."""
    spread = np.sqrt(np.diagonal(moments.comoments) / max(moments.n - 1, 1))
    unit = np.frexp(spread)[1] - ROUNDING_BITS
    return np.where(spread > 0, np.ldexp(np.round(np.ldexp(moments.mean, -unit)), unit), moments.mean)


def _k_means(points: np.ndarray, clusters: int) -> np.ndarray:
    """Return centres, each of which is nearest to some points, shape (at most clusters, dimensions)."""
    random, count = np.random.default_rng(0), min(clusters, len(np.unique(points, axis=0)))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # a centre may lose all of its points
        runs = [kmeans2(points, count, ROUNDS, minit="++", rng=random)[0] for _ in range(STARTS)]
    centres = min(runs, key=lambda run: float(squared_distances(points, run).min(axis=1).sum()))
    return np.asarray(centres[np.unique(nearest(points, centres))])
