"""Principal directions and clusters of vectors, which turn a vector into a few columns.

`featflow.transforms.projection.fit` fits them. Products are added over dimensions in order, so that a row's numbers do
not depend by a bit on the other rows of its batch, as those of a matrix product may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from featflow.columns.hashing import array_digest

__all__ = ["Projection", "nearest", "squared_distances"]


@dataclass(frozen=True, repr=False, eq=False)
class Projection:
    """A centroid, principal directions and cluster centres.

    Examples
    --------
    >>> axes, centres = np.eye(2)[::-1], np.array([[0.0, 0.0], [5.0, 0.0]])
    >>> fit = Projection(np.array([1.0, 1.0]), axes, 1, centres, np.array([0, 1]))
    >>> fit.columns(np.array([[1, 1], [9, 5]], np.float32)).tolist()
    [[0.0, 0.0], [4.0, 1.0]]
    """

    centroid: np.ndarray
    """Subtracted from a vector first, shape (d,)."""
    directions: np.ndarray
    """Directions, that of the largest variance first, each of length 1 to within rounding, shape (m, d)."""
    kept: int
    """Leading directions, the projections on which are columns; further ones serve the clusters."""
    centres: np.ndarray
    """Cluster centres in projections on the leading directions, shape (clusters, at most m)."""
    labels: np.ndarray
    """Number of each cluster, shape (clusters,), int64: a cluster keeps it when all is fitted anew."""
    numbers: int = 0
    """Count of the numbers that clusters have had in this and earlier fits: the next new one."""

    @property
    def width(self) -> int:
        """Number of columns: the projections, and the cluster where there are clusters."""
        return self.kept + (1 if len(self.centres) else 0)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides the columns."""
        return array_digest(self.centroid, self.directions, np.array(self.kept), self.centres, self.labels)

    def __repr__(self) -> str:
        return f"Fit({self.digest})"

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all fields as arrays, by name."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Projection:
        """Rebuild it from `arrays`."""
        values: dict[str, Any] = {name: array if array.ndim else int(array) for name, array in arrays.items()}
        return cls(**values)

    def places(self) -> np.ndarray:
        """Return the centres of the clusters as vectors, shape (clusters, d)."""
        return np.asarray(self.centroid + self.centres @ self.directions[: self.centres.shape[1]])

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return the projections of finite vectors, shape (rows, d), on all directions, shape (rows, m), float64."""
        projected = np.zeros((len(self.directions), len(vectors)))
        for values, centre, weights in zip(vectors.T, self.centroid, self.directions.T, strict=True):
            projected += weights[:, None] * (values - centre)
        return projected.T

    def columns(self, vectors: np.ndarray) -> np.ndarray:
        """Return the columns of finite vectors, shape (rows, d): projections, then the number of the cluster.

        Returns
        -------
        np.ndarray
            Shape (rows, `width`), float32.
        """
        projected = self.project(vectors)
        parts = [projected[:, : self.kept]]
        if len(self.centres):
            parts.append(self.labels[nearest(projected[:, : self.centres.shape[1]], self.centres)][:, None])
        return np.concatenate(parts, axis=1).astype(np.float32)


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the index of the nearest centre of each point, the first of several, shape (points,)."""
    return np.asarray(squared_distances(points, centres).argmin(axis=1))


def squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the squared distance of each point from each centre, shape (points, centres)."""
    from scipy.spatial.distance import cdist  # noqa: PLC0415  takes a third of a second; only vectors need it

    return np.asarray(cdist(points, centres, "sqeuclidean"))
