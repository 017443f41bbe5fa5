"""How many rows a classifier gets right, by class: accuracy on rows that it was not made from.

A classifier is made of the moments of some shards and counts over others, so the counts of all folds add up to a
held-out accuracy. Two are counted at once: the nearest class mean, over the leading dimensions alone for several
numbers of them (nested prefixes as in Matryoshka representations, Kusupati et al. 2022), and a linear probe. Scores
are summed over dimensions in order, so a row's answer does not depend on the rows beside it. Cost: d (classes)
operations a row and classifier; a state is a few counts a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import Coding
from featflow.columns.column import Column
from featflow.columns.hashing import array_digest
from featflow.summaries.array_state import ArrayState
from featflow.summaries.class_moments import class_count, labelled
from featflow.summaries.protocol import Spec

__all__ = ["Classification", "ClassificationSummarizer", "Classifier", "prefix_lengths"]


def prefix_lengths(width: int) -> np.ndarray:
    """Return how many leading dimensions are looked at alone: powers of two below the width, and the width.

    Examples
    --------
    >>> prefix_lengths(22).tolist()
    [1, 2, 4, 8, 16, 22]
    """
    return np.array([*(1 << power for power in range((width - 1).bit_length())), width])


@dataclass(frozen=True, repr=False, eq=False)
class Classifier:
    """Nearest class mean and a linear probe over standardised vectors; the embedding profile fits one."""

    n: np.ndarray
    """Rows of each class that it was made from, shape (K,), int64; a class without rows is never the answer."""
    origin: np.ndarray
    """Subtracted from a vector first, shape (d,)."""
    factor: np.ndarray
    """What the difference is multiplied by, shape (d,); 0 leaves a dimension out."""
    means: np.ndarray
    """Standardised mean of each class, shape (K, d)."""
    prefixes: np.ndarray
    """Numbers of leading dimensions of which the nearest mean is asked, ascending, the last is d, shape (P,)."""
    weights: np.ndarray
    """Weights of the probe's scores, shape (d, K)."""
    bias: np.ndarray
    """Constants of the probe's scores, shape (K,); the class with the largest score is the answer."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides an answer."""
        fields = self.n, self.origin, self.factor, self.means, self.prefixes, self.weights, self.bias
        return array_digest(*fields)

    def __repr__(self) -> str:
        return f"Classifier({self.digest})"

    def answers(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes of finite vectors, shape (rows, d), the first of several as good; -1 if none is known.

        Returns
        -------
        tuple[np.ndarray, np.ndarray]
            By the nearest mean for every prefix, shape (P, rows), and by the probe, shape (rows,); classes from 0.
        """
        rows = len(vectors)
        if not self.n.any():
            return np.full((len(self.prefixes), rows), -1), np.full(rows, -1)
        unknown = np.where(self.n > 0, 0.0, np.inf)[:, None]
        distance, score = unknown + np.zeros(rows), (self.bias[:, None] - unknown) + np.zeros(rows)
        by_prefix = np.empty((len(self.prefixes), rows), np.int64)
        for place in range(vectors.shape[1]):
            values = (vectors[:, place] - self.origin[place]) * self.factor[place]
            distance += (values - self.means[:, place, None]) ** 2
            score += self.weights[place, :, None] * values
            for index in np.flatnonzero(self.prefixes == place + 1):
                by_prefix[index] = distance.argmin(axis=0)
        return by_prefix, score.argmax(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Classification(ArrayState):
    """Rows that a classifier got right, in each of K classes."""

    n: np.ndarray
    """Rows with the target and a finite vector, by class, shape (K,), int64."""
    nearest: np.ndarray
    """Those right by the nearest mean over each prefix of the dimensions, shape (P, K), int64."""
    probe: np.ndarray
    """Those right by the linear probe, shape (K,), int64."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows, whichever classifiers they come from."""
        nearest, probe = self.nearest + other.nearest, self.probe + other.probe
        return type(self)(self.rows + other.rows, self.n + other.n, nearest, probe)


@dataclass(frozen=True, slots=True)
class ClassificationSummarizer(Spec[Classification]):
    """Spec of `Classification`.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Kind
    >>> label = category_coding(Column("y", "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16)
    >>> one, means = np.ones(1), np.array([[-1.0], [1.0], [0.0]])
    >>> made = Classifier(np.array([5, 5, 0]), 0 * one, one, means, np.array([1]), means.T, np.zeros(3))
    >>> spec = ClassificationSummarizer(Column("v", "vector", Kind.VECTOR), 1, label, made)
    >>> lists = pa.array([[-3.0], [0.5], [2.0]], pa.list_(pa.float32(), 1))
    >>> batch = pa.record_batch({"v": lists, "y": pa.array(["a", "a", "b"]).dictionary_encode()})
    >>> state = spec.summarize(batch)
    >>> state.n.tolist(), state.nearest.tolist(), state.probe.tolist()
    ([2, 1, 0], [[1, 1, 0]], [1, 1, 0])
    """

    name = "classification"
    state = Classification

    vector: Column
    """The vectors."""
    width: int
    """Their number of dimensions."""
    target: Coding
    """Coding of the target."""
    classifier: Classifier
    """Made from other rows, of the same classes."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors and the target."""
        return (self.vector, self.target.column)

    def empty(self) -> Classification:
        """Return the counts of no rows."""
        none = np.zeros(class_count(self.target), np.int64)
        return Classification(0, none, np.zeros((len(self.classifier.prefixes), len(none)), np.int64), none)

    def summarize(self, batch: pa.RecordBatch) -> Classification:
        """Return the counts of a batch."""
        x, classes = labelled(batch, self.vector, self.target)
        by_prefix, by_probe = self.classifier.answers(x)
        size = class_count(self.target)
        n, probe, *nearest = (
            np.bincount(classes[right], minlength=size)
            for right in (np.ones(len(x), bool), by_probe == classes, *(by_prefix == classes))
        )
        return Classification(batch.num_rows, n, np.stack(nearest), probe)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * class_count(self.target) * (len(self.classifier.prefixes) + 2)
