"""A sample of distinct images and their vectors: those with the smallest digests of their pixels.

A digest is as good as a random number, so this is a uniform sample without replacement of the distinct pictures
(bottom-k sample, Cohen & Kaplan 2007, PODC), and it does not depend by a bit on order or sharding: encoders give
equal pictures equal vectors. Cost: ``size`` vectors of float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column
from featflow.columns.hashing import DIGEST_BYTES
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec
from featflow.summaries.vector_batch import vectors_of

__all__ = ["VectorSample", "VectorSampleSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class VectorSample(ArrayState):
    """Images with the smallest digests, ascending.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> vector, content = Column("v", "vector", Kind.VECTOR), Column("c", "binary", Kind.VECTOR)
    >>> lists = pa.array([[1.0], [2.0], [3.0], [1.0]], pa.list_(pa.float32(), 1))
    >>> digests = pa.array([bytes([b]) * DIGEST_BYTES for b in (7, 9, 3, 7)], pa.binary(DIGEST_BYTES))
    >>> spec = VectorSampleSummarizer(vector, content, 1, size=2)
    >>> spec.summarize(pa.record_batch({"v": lists, "c": digests})).vectors.tolist()
    [[3.0], [1.0]]
    """

    size: int
    """Most images kept."""
    content: np.ndarray
    """Digests of the pixels, ascending as bytes, shape (images, 16), uint8."""
    vectors: np.ndarray
    """Their vectors, all finite, shape (images, d), float32."""

    def merge(self, other: Self) -> Self:
        """Return the sample of both operands' rows."""
        content = np.concatenate([self.content, other.content])
        vectors = np.concatenate([self.vectors, other.vectors])
        kept = _smallest(content, self.size)
        return type(self)(self.rows + other.rows, self.size, content[kept], vectors[kept])


@dataclass(frozen=True, slots=True)
class VectorSampleSummarizer(Spec[VectorSample]):
    """Spec of `VectorSample`."""

    name = "vector_sample"
    state = VectorSample

    vector: Column
    """The vectors."""
    content: Column
    """Digests of the pixels, fixed-size binary."""
    width: int
    """Dimensions of a vector."""
    size: int = 2048
    """Most images kept."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors and the digests."""
        return (self.vector, self.content)

    def empty(self) -> VectorSample:
        """Return no images."""
        none = np.empty((0, DIGEST_BYTES), np.uint8), np.empty((0, self.width), np.float32)
        return VectorSample(0, self.size, *none)

    def summarize(self, batch: pa.RecordBatch) -> VectorSample:
        """Return the sample of a batch."""
        found, digests = vectors_of(batch, self.vector), batch.column(self.content.name)
        used = np.flatnonzero(found.finite & digests.is_valid().to_numpy(zero_copy_only=False))
        joined = b"".join(digests.take(pa.array(used)).to_pylist())
        content = np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
        kept = _smallest(content, self.size)
        return VectorSample(batch.num_rows, self.size, content[kept], found.values[used[kept]])

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return self.size * (DIGEST_BYTES + 4 * self.width)


def _smallest(content: np.ndarray, size: int) -> np.ndarray:
    """Return the places of the smallest digests, each once, ascending by digest, at most ``size``."""
    high, low = np.ascontiguousarray(content).view(">u8").T
    order = np.lexsort((low, high))
    first = np.ones(len(order), bool)
    first[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    return np.asarray(order[first][:size])
