"""Moments of vectors within the classes of a target: for Fisher's ratio and linear classifiers.

Merging is Chan et al. (1983) in every class. Rows without the target, and vectors that are absent or not finite,
take no part. Cost: one d x d and two (classes x d) float64 matrices; d^2 multiplications a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import CachedBatch, classes_of
from featflow.columns.codebook import Coding, target_classes
from featflow.columns.column import Column
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec
from featflow.summaries.vector_batch import vectors_of

__all__ = ["ClassMoments", "ClassMomentsSummarizer", "class_count", "labelled"]


def class_count(target: Coding) -> int:
    """Return the number of classes K of a target, "missing" not counted."""
    return int(target_classes(target).max())


def labelled(batch: pa.RecordBatch | CachedBatch, vector: Column, target: Coding) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite vectors of rows whose target is present, shape (n, d), float64, and their classes from 0."""
    vectors, classes = vectors_of(batch, vector), classes_of(batch, target)
    finite = vectors.finite & (classes > 0)
    return vectors.values[finite].astype(np.float64), classes[finite].astype(np.int64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class ClassMoments(ArrayState):
    """Moments of vectors of d dimensions in each of K classes.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Kind
    >>> label = category_coding(Column("y", "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16)
    >>> spec = ClassMomentsSummarizer(Column("v", "vector", Kind.VECTOR), 1, label)
    >>> lists = pa.array([[1.0], [3.0], [7.0]], pa.list_(pa.float32(), 1))
    >>> batch = pa.record_batch({"v": lists, "y": pa.array(["a", "a", "b"]).dictionary_encode()})
    >>> state = spec.summarize(batch)
    >>> state.n.tolist(), state.mean[:2, 0].tolist(), state.within.tolist()  # the third class is every other level
    ([2, 1, 0], [2.0, 7.0], [[2.0]])
    """

    n: np.ndarray
    """Vectors of each class, shape (K,), int64."""
    mean: np.ndarray
    """Mean vector of each class, 0 where there is none, shape (K, d)."""
    scatter: np.ndarray
    """Sum of squared deviations from the class's mean, shape (K, d)."""
    within: np.ndarray
    """Sum over classes of products of deviations from the class's mean, shape (d, d)."""

    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        n = self.n + other.n
        share = (other.n / np.maximum(n, 1))[:, None]
        delta = other.mean - self.mean
        pull = delta * (self.n[:, None] * share)
        within = pull.T @ delta
        within += self.within
        within += other.within
        scatter = self.scatter + other.scatter + pull * delta
        return type(self)(self.rows + other.rows, n, self.mean + delta * share, scatter, within)


@dataclass(frozen=True, slots=True)
class ClassMomentsSummarizer(Spec[ClassMoments]):
    """Spec of `ClassMoments`."""

    name = "class_moments"
    state = ClassMoments

    vector: Column
    """The vectors."""
    width: int
    """Their number of dimensions."""
    target: Coding
    """Coding of the target, whose classes are kept apart."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors and the target."""
        return (self.vector, self.target.column)

    def empty(self) -> ClassMoments:
        """Return the moments of no rows."""
        classes, d = class_count(self.target), self.width
        shape = (classes, d)
        return ClassMoments(0, np.zeros(classes, np.int64), np.zeros(shape), np.zeros(shape), np.zeros((d, d)))

    def summarize(self, batch: pa.RecordBatch) -> ClassMoments:
        """Return the moments of a batch."""
        x, classes = labelled(batch, self.vector, self.target)
        n = np.bincount(classes, minlength=class_count(self.target))
        mean, scatter = np.zeros((len(n), self.width)), np.zeros((len(n), self.width))
        for index in np.flatnonzero(n):
            mean[index] = x[classes == index].sum(axis=0) / n[index]
        x -= mean[classes]
        for index in np.flatnonzero(n):
            scatter[index] = (x[classes == index] ** 2).sum(axis=0)
        return ClassMoments(batch.num_rows, n, mean, scatter, x.T @ x)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        classes = class_count(self.target)
        return 8 * (self.width * (self.width + 2 * classes) + classes)
