"""The descriptors of images as columns, ``photo.brightness`` and so on: the elements of their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column, Kind, Transform
from featflow.dataset.image_options import DESCRIPTORS
from featflow.summaries.vector_batch import vectors_of

__all__ = ["DescriptorColumns"]


@dataclass(frozen=True, repr=False, eq=False)
class DescriptorColumns(Transform):
    """The elements of vectors of descriptors, null where there is no vector.

    Examples
    --------
    >>> vector = Column("photo.descriptors.vector", "vector", Kind.VECTOR)
    >>> made = DescriptorColumns("photo", vector)
    >>> lists = pa.array([range(20), None], pa.list_(pa.float32(), 20))
    >>> made.outputs[3].name, made.apply(pa.record_batch({vector.name: lists}))[3].to_pylist()
    ('photo.brightness', [3.0, None])
    """

    kind = "descriptors"

    image: str
    """Name of the image column."""
    vector: Column
    """Its vectors."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The vectors."""
        return (self.vector,)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """One column for each descriptor."""
        return tuple(Column(f"{self.image}.{name}", "float32", Kind.NUMBER, derived=self) for name in DESCRIPTORS)

    def apply(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return each element of the vectors."""
        vectors = vectors_of(batch, self.vector)
        values = np.where(vectors.present[:, None], vectors.values, np.nan)
        return [pa.array(element, mask=np.isnan(element)) for element in values.T]
