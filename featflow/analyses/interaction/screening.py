"""Limits of a pair's synergy from a sample of the rows. A search goes by them; tables hold what all rows say.

Under independence N * MI is close to half a chi-square (Wilks 1938), so the standard deviation of corrected information
is about ``sqrt(E / n)``, E its mean; of a signal the variance is near ``2 I / n`` while I is small. However strong,
synergy is bounded: S <= H(Y|A) - I(B;Y) = H(Y) - I(A;Y) - I(B;Y), so nothing is left where one feature says all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featflow.analyses.interaction.scores import without_constants
from featflow.measures.effective_rows import whole_rows
from featflow.measures.information import xlogx
from featflow.measures.null_interpolation import class_terms

__all__ = ["Scores", "limits", "scores"]

ERRORS = 3.0
"""Standard errors between an estimate and its limits. Wider limits send more pairs to the next round, narrower ones
lose pairs; with 3, a search kept 19 to 20 of 20 planted pairs for 5.0 % of pairs times rows (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Scores:
    """Information of pairs about a target, each shape (pairs,), in nats."""

    joint_mi: np.ndarray
    expected_mi: np.ndarray
    synergy: np.ndarray


def scores(tables: np.ndarray, scale: float) -> Scores:
    """Return joint information of pairs, its mean under independence, and corrected synergy.

    Parameters
    ----------
    tables
        Counts of every pair, missing targets left out, shape (pairs, left levels, right levels, classes).
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.

    Examples
    --------
    >>> xor = np.array([[[[25, 0], [0, 25]], [[0, 25], [25, 0]]]])
    >>> both = scores(xor, 1.0)
    >>> round(float(both.joint_mi[0]), 4), round(float(both.synergy[0]), 2)
    (0.6931, 0.69)
    """
    class_rows = tables[0].sum(axis=(0, 1))
    classes = whole_rows(class_rows, scale)
    n, whole, terms = float(class_rows.sum()), int(classes.sum()), class_terms(tuple(classes.tolist()))
    if not n:
        return Scores(*np.zeros((3, len(tables))))
    plug_in, expected, levels = [], [], []
    for counts in (tables.reshape(len(tables), -1, tables.shape[3]), tables.sum(axis=2), tables.sum(axis=1)):
        margins = counts.sum(axis=2)
        cells = xlogx(counts).sum(axis=2).sum(axis=1) - xlogx(margins).sum(axis=1)
        plug_in.append((cells - xlogx(class_rows).sum() + xlogx(n)) / n)
        rows = margins if scale == 1 else np.stack([whole_rows(row, scale, whole) for row in margins])
        expected.append(terms(rows).sum(axis=1) / whole)
        levels.append(np.count_nonzero(margins, axis=1))
    mi, mean = (without_constants(np.stack(each, axis=1), np.stack(levels, axis=1)) for each in (plug_in, expected))
    joint, left, right = (mi - mean).T
    return Scores(mi[:, 0], mean[:, 0], joint - left - right)


def limits(
    synergy: np.ndarray, joint: tuple[np.ndarray, np.ndarray], n: np.ndarray, entropy: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper limits of synergy, each shape (pairs,).

    Parameters
    ----------
    synergy
        Corrected synergy in the sample.
    joint
        Plug-in joint information and its mean under independence.
    n
        Rows of the sample in which the target is present.
    entropy
        Entropy of the target.

    Examples
    --------
    >>> low, high = limits(np.array([0.1]), (np.array([0.12]), np.array([0.02])), np.array([1000.0]), 0.69)
    >>> bool(low[0] < 0.1 < high[0] < 0.2)
    True
    """
    mi, expected = joint
    # A mean that is 0 may come out as -2e-16: 9,000 rows of two columns of one level against a number's bins.
    error = np.sqrt((np.maximum(expected, 0.0) + 2 * np.maximum(synergy, 0.0)) / np.maximum(n, 1))
    alone = mi - expected - synergy
    return synergy - ERRORS * error, np.minimum(synergy + ERRORS * error, entropy - alone)
