"""Converts a batch's column of vectors to a matrix, once for all summaries of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import CachedBatch, cached
from featflow.columns.column import Column

__all__ = ["Vectors", "vectors_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of a batch."""

    values: np.ndarray
    """Shape (rows, width), float32; undefined in rows without a vector."""
    present: np.ndarray
    """Rows that have a vector, shape (rows,), bool."""
    finite: np.ndarray
    """Rows whose vector is finite in every dimension, shape (rows,), bool."""


def vectors_of(batch: pa.RecordBatch | CachedBatch, column: Column) -> Vectors:
    """Return the vectors of a column of fixed-size lists of float32.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> lists = pa.array([[1.0, 2.0], None, [np.nan, 0.0]], pa.list_(pa.float32(), 2))
    >>> vectors = vectors_of(pa.record_batch({"v": lists}).slice(1), Column("v", "vector", Kind.VECTOR))
    >>> vectors.values.shape, vectors.present.tolist(), vectors.finite.tolist()
    ((2, 2), [False, True], [False, False])
    """

    def make() -> Vectors:
        array = batch.column(column.name)
        width, rows = array.type.list_size, len(array)
        flat = array.values.slice(array.offset * width, rows * width)
        values = flat.to_numpy(zero_copy_only=False).reshape(rows, width)
        present = array.is_valid().to_numpy(zero_copy_only=False)
        return Vectors(values, present, present & np.isfinite(values).all(axis=1))

    return cached(batch, ("vectors", column), make)
