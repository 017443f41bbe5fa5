"""Vectors to projections, ``photo.direction_1`` and so on, and to their cluster, ``photo.cluster``.

Stored. Cost: 4 bytes for each number; d multiplications for each direction and row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column, Kind, Transform
from featflow.summaries.vector_batch import vectors_of
from featflow.transforms.projection.projection import Projection

__all__ = ["Placing"]


@dataclass(frozen=True, repr=False, eq=False)
class Placing(Transform):
    """Vectors to projections and clusters, null without a finite vector.

    Examples
    --------
    >>> fit = Projection(np.zeros(2), np.eye(2)[:1], 1, np.array([[0.0], [4.0]]), np.array([0, 7]))
    >>> made = Placing("v", Column("v.vector", "vector", Kind.VECTOR), fit)
    >>> lists = pa.array([[3.0, 8.0], None], pa.list_(pa.float32(), 2))
    >>> [array.to_pylist() for array in made.apply(pa.record_batch({"v.vector": lists}))]
    [[3.0, None], [7, None]]
    """

    kind = "placing"
    stored = True

    name: str
    """Beginning of the names of its columns."""
    vector: Column
    """The vectors."""
    fit: Projection
    """Directions and clusters."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The vectors."""
        return (self.vector,)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """A number for each direction, and a category where there are clusters."""
        names = [f"{self.name}.direction_{place + 1}" for place in range(self.fit.kept)]
        directions = tuple(Column(name, "float32", Kind.NUMBER, derived=self) for name in names)
        cluster = Column(f"{self.name}.cluster", "string", Kind.CATEGORY, derived=self)
        return (*directions, cluster) if len(self.fit.centres) else directions

    def apply(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return projections, float32, and the numbers of clusters, int32."""
        vectors = vectors_of(batch, self.vector)
        values = np.zeros((len(self.outputs), batch.num_rows))
        values[:, vectors.finite] = self.fit.columns(vectors.values[vectors.finite]).T
        arrays = [pa.array(each.astype(np.float32), mask=~vectors.finite) for each in values[: self.fit.kept]]
        arrays += [pa.array(each.astype(np.int32), mask=~vectors.finite) for each in values[self.fit.kept :]]
        return arrays
