"""Second moments, extremes and lengths of vectors, for a spectrum, its rank and principal directions.

Merging is Chan et al. (1983) extended to co-moments by Pebay (2008, SAND2008-6212, eq. 3.2), so a common offset
costs no digits. Vectors with a NaN or an infinity are counted and take part in nothing else. Cost: one d x d float64
matrix; d^2 multiplications a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec
from featflow.summaries.vector_batch import vectors_of

__all__ = ["NORM_EDGES", "VectorMoments", "VectorMomentsSummarizer"]

NORM_EDGES = np.concatenate([[0.0], np.exp2(np.arange(-32 * 4, 136 * 4 + 1) / 4)])
"""Edges of the bins of lengths, shape (674,): 0, then 2^-32 to 2^136 by quarter octaves; a bin holds its lower edge.

No vector of finite float32 of up to 65,536 dimensions is longer.
"""


@dataclass(frozen=True, slots=True, eq=False)
class VectorMoments(ArrayState):
    """Moments of finite vectors of d dimensions.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> spec = VectorMomentsSummarizer(Column("v", "vector", Kind.VECTOR), 2)
    >>> lists = pa.array([[1.0, 5.0], [3.0, 5.0], None, [np.inf, 0.0]], pa.list_(pa.float32(), 2))
    >>> state = spec.summarize(pa.record_batch({"v": lists}))
    >>> (state.n, state.absent, state.nonfinite), state.mean.tolist(), state.comoments.tolist()
    ((2, 1, 1), [2.0, 5.0], [[2.0, 0.0], [0.0, 0.0]])
    """

    absent: int
    """Rows without a vector."""
    nonfinite: int
    """Vectors with a NaN or an infinity."""
    n: int
    """Finite vectors."""
    norms: np.ndarray
    """Finite vectors by Euclidean length, shape (len(NORM_EDGES) - 1,), int64."""
    mean: np.ndarray
    """Mean of the finite vectors, 0 where there is none, shape (d,)."""
    comoments: np.ndarray
    """Sum of products of deviations from the mean, shape (d, d)."""
    low: np.ndarray
    """Smallest value of each dimension, infinity where n is 0, shape (d,)."""
    high: np.ndarray
    """Largest value of each dimension, minus infinity where n is 0, shape (d,)."""

    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        n = self.n + other.n
        share = other.n / max(n, 1)
        delta = other.mean - self.mean
        comoments = np.outer(delta, delta)
        comoments *= self.n * share
        comoments += self.comoments
        comoments += other.comoments
        return type(self)(
            self.rows + other.rows,
            self.absent + other.absent,
            self.nonfinite + other.nonfinite,
            n,
            self.norms + other.norms,
            self.mean + delta * share,
            comoments,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


@dataclass(frozen=True, slots=True)
class VectorMomentsSummarizer(Spec[VectorMoments]):
    """Spec of `VectorMoments`."""

    name = "vector_moments"
    state = VectorMoments

    vector: Column
    """The vectors."""
    width: int
    """Their number of dimensions."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors."""
        return (self.vector,)

    def empty(self) -> VectorMoments:
        """Return the moments of no rows."""
        d = self.width
        norms, extremes = np.zeros(len(NORM_EDGES) - 1, np.int64), (np.full(d, np.inf), np.full(d, -np.inf))
        return VectorMoments(0, 0, 0, 0, norms, np.zeros(d), np.zeros((d, d)), *extremes)

    def summarize(self, batch: pa.RecordBatch) -> VectorMoments:
        """Return the moments of a batch."""
        vectors = vectors_of(batch, self.vector)
        x = vectors.values[vectors.finite].astype(np.float64)
        n, present = len(x), int(vectors.present.sum())
        lengths = np.sqrt((x**2).sum(axis=1))
        bins = np.clip(np.searchsorted(NORM_EDGES, lengths, side="right") - 1, 0, len(NORM_EDGES) - 2)
        mean = x.sum(axis=0) / max(n, 1)
        low, high = x.min(axis=0, initial=np.inf), x.max(axis=0, initial=-np.inf)
        x -= mean
        norms = np.bincount(bins, minlength=len(NORM_EDGES) - 1)
        return VectorMoments(batch.num_rows, batch.num_rows - present, present - n, n, norms, mean, x.T @ x, low, high)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * (self.width * (self.width + 3) + len(NORM_EDGES))
