"""Counts the rows that a classifier gets right, by class: accuracy on rows that it was not fitted to.

A classifier is fitted to the moments of some shards and evaluated on rows of others, so the counts of all folds add up
to a held-out accuracy. Two classifiers are evaluated at once: the nearest class mean, over the leading dimensions alone
for several numbers of them (nested prefixes as in Matryoshka representations, Kusupati et al. 2022), and a linear
probe. Scores are summed over dimensions in order, so a row's class does not depend on the rows beside it. Cost: d
(classes) operations a row and classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Classification", "Classifier", "classified", "prefix_lengths"]


def prefix_lengths(width: int) -> np.ndarray:
    """Return how many leading dimensions are looked at alone: powers of two below the width, and the width.

    Examples
    --------
    >>> prefix_lengths(22).tolist()
    [1, 2, 4, 8, 16, 22]
    """
    return np.array([*(1 << power for power in range((width - 1).bit_length())), width])


@dataclass(frozen=True, eq=False)
class Classifier:
    """Nearest class mean and a linear probe over standardised vectors; the embedding profile fits one."""

    n: np.ndarray
    """Rows of each class that it was fitted to, shape (K,), int64; a class without rows is never predicted."""
    origin: np.ndarray
    """Subtracted from a vector first, shape (d,)."""
    factor: np.ndarray
    """What the difference is multiplied by, shape (d,); 0 leaves a dimension out."""
    means: np.ndarray
    """Standardised mean of each class, shape (K, d)."""
    prefixes: np.ndarray
    """Numbers of leading dimensions that the nearest mean is taken over, ascending, the last is d, shape (P,)."""
    weights: np.ndarray
    """Weights of the probe's scores, shape (d, K)."""
    bias: np.ndarray
    """Constants of the probe's scores, shape (K,); the class with the largest score is predicted."""

    def answers(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted classes of finite vectors, shape (rows, d): the first of ties; -1 if no class has rows.

        Returns
        -------
        tuple[np.ndarray, np.ndarray]
            By the nearest mean for every prefix, shape (P, rows), and by the probe, shape (rows,); classes from 0.
        """
        rows = len(vectors)
        if not self.n.any():
            return np.full((len(self.prefixes), rows), -1), np.full(rows, -1)
        penalty = np.where(self.n > 0, 0.0, np.inf)[:, None]
        # Dimension by dimension, not as a matrix product: its last bits would depend on the rows beside a row.
        distance, score = penalty + np.zeros(rows), (self.bias[:, None] - penalty) + np.zeros(rows)
        by_prefix = np.empty((len(self.prefixes), rows), np.int64)
        for dimension in range(vectors.shape[1]):
            values = (vectors[:, dimension] - self.origin[dimension]) * self.factor[dimension]
            distance += (values - self.means[:, dimension, None]) ** 2
            score += self.weights[dimension, :, None] * values
            for index in np.flatnonzero(self.prefixes == dimension + 1):
                by_prefix[index] = distance.argmin(axis=0)
        return by_prefix, score.argmax(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """Rows that classifiers got right, in each of K classes."""

    n: np.ndarray
    """Rows that were classified, by class, shape (K,), int64."""
    nearest: np.ndarray
    """Rows that the nearest mean gets right, over each prefix of the dimensions, shape (P, K), int64."""
    probe: np.ndarray
    """Rows that the linear probe gets right, shape (K,), int64."""

    def merge(self, other: Classification) -> Classification:
        """Return the counts of both operands' rows, whichever classifiers they come from."""
        return Classification(self.n + other.n, self.nearest + other.nearest, self.probe + other.probe)


def classified(classifier: Classifier, vectors: np.ndarray, classes: np.ndarray, counts: np.ndarray) -> Classification:
    """Return how many rows a classifier gets right.

    Parameters
    ----------
    vectors
        Finite vectors that the classifier was not fitted to, shape (entries, d).
    classes
        Class of each from 0, shape (entries,).
    counts
        Rows that each stands for, shape (entries,).

    Examples
    --------
    >>> one, means = np.ones(1), np.array([[-1.0], [1.0], [0.0]])
    >>> classifier = Classifier(np.array([5, 5, 0]), 0 * one, one, means, np.array([1]), means.T, np.zeros(3))
    >>> rows = classified(classifier, np.array([[-3.0], [0.5], [2.0]]), np.array([0, 0, 1]), np.array([1, 1, 4]))
    >>> rows.n.tolist(), rows.nearest.tolist(), rows.probe.tolist()
    ([2, 4, 0], [[1, 4, 0]], [1, 4, 0])
    """
    by_prefix, by_probe = classifier.answers(vectors)

    def count(correct: np.ndarray) -> np.ndarray:
        return np.bincount(classes, np.where(correct, counts, 0), len(classifier.n)).astype(np.int64)

    nearest = np.stack([count(answers == classes) for answers in by_prefix])
    return Classification(count(np.ones(len(classes), bool)), nearest, count(by_probe == classes))
