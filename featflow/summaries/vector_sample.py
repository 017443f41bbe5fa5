"""A sample of distinct images, their vectors and classes: those with the smallest digests of their bytes.

A digest is as good as a random number, so this is a uniform sample without replacement of the distinct images (bottom-k
sample, Cohen & Kaplan 2007, PODC), and it does not depend by a bit on order or sharding: encoders give equal images
equal vectors. Images of the same bytes and classes are one entry with its number of rows, exact in any merge: an entry
of the whole sample is in the sample of every part that has it. Cost: ``size`` vectors of float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import classes_of
from featflow.columns.codebook import Coding
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
    >>> sample = spec.summarize(pa.record_batch({"v": lists, "c": digests}))
    >>> sample.vectors.tolist(), sample.counts.tolist()
    ([[3.0], [1.0]], [1, 2])
    """

    size: int
    """Most entries kept."""
    keys: np.ndarray
    """Digest of the bytes, then a class of each target, 0 where it is missing; shape (entries, 16 + targets), uint8."""
    counts: np.ndarray
    """Rows of each entry, shape (entries,), int64."""
    vectors: np.ndarray
    """Their vectors, all finite, shape (entries, d), float32."""

    def classes(self, target: int) -> np.ndarray:
        """Return the class of every entry about a target by its place, 0 where it is missing, uint8."""
        return np.asarray(self.keys[:, DIGEST_BYTES + target])

    def merge(self, other: Self) -> Self:
        """Return the sample of both operands' rows."""
        keys, counts = (np.concatenate([getattr(each, name) for each in (self, other)]) for name in ("keys", "counts"))
        kept, sums = _smallest(keys, counts, self.size)
        vectors = np.concatenate([self.vectors, other.vectors])[kept]
        return type(self)(self.rows + other.rows, self.size, keys[kept], sums, vectors)


@dataclass(frozen=True, slots=True)
class VectorSampleSummarizer(Spec[VectorSample]):
    """Spec of `VectorSample`."""

    name = "vector_sample"
    state = VectorSample

    vector: Column
    """The vectors."""
    content: Column
    """Digests of the images' bytes, fixed-size binary."""
    width: int
    """Dimensions of a vector."""
    targets: tuple[Coding, ...] = ()
    """Codings of targets whose classes are kept."""
    size: int = 2048
    """Most entries kept: a share of half of them has a standard error of 1.1 %."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors, the digests and the targets."""
        return (self.vector, self.content, *(target.column for target in self.targets))

    def empty(self) -> VectorSample:
        """Return no images."""
        keys = np.empty((0, DIGEST_BYTES + len(self.targets)), np.uint8)
        return VectorSample(0, self.size, keys, np.empty(0, np.int64), np.empty((0, self.width), np.float32))

    def summarize(self, batch: pa.RecordBatch) -> VectorSample:
        """Return the sample of a batch."""
        vectors, digests = vectors_of(batch, self.vector), batch.column(self.content.name)
        used = np.flatnonzero(vectors.finite & digests.is_valid().to_numpy(zero_copy_only=False))
        joined = b"".join(digests.take(pa.array(used)).to_pylist())
        content = np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
        keys = np.column_stack([content, *(classes_of(batch, target)[used] for target in self.targets)])
        kept, counts = _smallest(keys, np.ones(len(keys), np.int64), self.size)
        return VectorSample(batch.num_rows, self.size, keys[kept], counts, vectors.values[used[kept]])

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return self.size * (DIGEST_BYTES + len(self.targets) + 8 + 4 * self.width)


def _smallest(keys: np.ndarray, counts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the smallest keys, each once, ascending as bytes, at most ``size``; and their rows."""
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    first = np.ones(len(order), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(counts[order], starts) if len(starts) else counts[:0]
    return order[starts][:size], sums[:size]
