"""Vectors projected on principal directions and coded by cluster, a row an image: columns of later passes.

Merging is concatenation. Cost: 4 bytes a number; d multiplications a direction and row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column
from featflow.summaries.protocol import Spec
from featflow.summaries.vector_batch import vectors_of
from featflow.transforms.images.embeddings import Embeddings
from featflow.transforms.projection.projection import Fit

__all__ = ["Projections", "ProjectionsSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class Projections(Embeddings):
    """Rows in their order, kept as `Embeddings` keeps them: one field, ``vector``, null without a finite vector."""


@dataclass(frozen=True, slots=True)
class ProjectionsSummarizer(Spec[Projections]):
    """Spec of `Projections`.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> fit = Fit(np.zeros(2), np.eye(2)[:1], 1, np.array([[0.0], [4.0]]))
    >>> spec = ProjectionsSummarizer(Column("v", "vector", Kind.VECTOR), fit)
    >>> lists = pa.array([[3.0, 8.0], None], pa.list_(pa.float32(), 2))
    >>> spec.summarize(pa.record_batch({"v": lists})).table["vector"].to_pylist()
    [[3.0, 1.0], None]
    """

    name = "projections"
    state = Projections
    by_shard = True

    vector: Column
    """The vectors."""
    fit: Fit
    """Directions and clusters; at least one column."""
    shard_rows: int = field(default=0, repr=False)
    """Rows of the largest shard, for `nbytes`."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors."""
        return (self.vector,)

    @property
    def schema(self) -> pa.Schema:
        """Columns of its states: `Fit.columns`."""
        return pa.schema([("vector", pa.list_(pa.float32(), self.fit.width))])

    def empty(self) -> Projections:
        """Return no rows."""
        return Projections(0, self.schema.empty_table())

    def summarize(self, batch: pa.RecordBatch) -> Projections:
        """Return the projections of a batch."""
        found = vectors_of(batch, self.vector)
        values = np.zeros((batch.num_rows, self.fit.width), np.float32)
        values[found.finite] = self.fit.columns(found.values[found.finite])
        absent = pa.array(~found.finite)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), self.fit.width, mask=absent)
        return Projections(batch.num_rows, pa.table([lists], self.schema))

    def nbytes(self) -> int:
        """Return the bytes of the largest shard's rows."""
        return self.shard_rows * (4 * self.fit.width + 1)
