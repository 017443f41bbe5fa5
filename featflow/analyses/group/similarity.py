"""Similarity of two features from their joint counts, on the scale of a correlation.

The larger of two figures:

* of two numbers, the correlation of ranks (Spearman 1904), of the pair coding's bins;
* of any pair, mutual information I, less its mean under independence, as Linfoot (1957, Information and Control 1)
  puts it on the scale of a correlation, ``sqrt(1 - exp(-2 I))``, over the same of the most that I could be,
  ``max(H(A), H(B))``: two copies of a rare flag say little, but all there is to say.

Linfoot's scale is that of normal variables. Categories have no distances, and of the 4.2 nats of 64 levels even the .7
of a common half would be a correlation of .87. So information of two categories is first shrunk to the one bit at most
that two halves have: of 64 levels, .7 nats then count for .53, and of two levels nothing changes.

Rows in which both are present count; what is missing adds nothing to either figure, so columns that share no more than
their missing rows are not alike. Of a column of one value, missing is a level. Counts are whole numbers, and
similarities are rounded to `STEP`: neither order nor layout of rows or columns shows in them. A figure within `NOISE`
standard deviations of what independent columns show is 0.

Cost: two look-ups and two products a cell, memory for a strip of cells (see `featflow.measures.block_pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featflow.columns.codebook import Coding, NumberCoding
from featflow.columns.column import Role
from featflow.execution.requests import Place
from featflow.measures.block_pairs import BlockPairs, Strip, column_sums, margins_of
from featflow.measures.effective_rows import EffectiveRows, effective_rows
from featflow.measures.information import xlogx
from featflow.measures.pair_permutation_null import information_null
from featflow.summaries import PairCounts, PairCountsSummarizer

__all__ = ["STEP", "Similarities", "SimilarityMeasure", "measure_similarity"]

STEP = 2.0**-16
"""What similarities are multiples of: far below their error of sampling, far above that of rounding. So equal ones tie,
and sums of their squares are exact in whole numbers."""
NOISE = 3.0
"""Standard deviations of noise. Without it, of 1,000 independent numbers of 4,000 rows half a million similarities of
.05 added up, and 1,000 features counted for some 300."""
BIT = float(np.log(2))
NOTHING = 1e-9
"""Information in nats, below which nothing is left to share."""


@dataclass(frozen=True)
class SimilarityMeasure:
    """Input that all blocks share."""

    features: dict[str, int]
    """Place of every feature, in the order of their names."""
    least: float | None = None
    """Similarity below which a pair is not returned; None returns all pairs."""


@dataclass(frozen=True)
class Similarities:
    """Similarities of a block's pairs."""

    a: np.ndarray
    """Place of one feature of each pair, shape (pairs,), int32."""
    b: np.ndarray
    """Place of the other."""
    values: np.ndarray
    """Shape (pairs,), float32, which holds multiples of `STEP` exactly."""
    squares: int
    """Sum of the squares of all pairs, returned or not, in `STEP` squared."""


def measure_similarity(
    work: SimilarityMeasure,
    place: Place | None,  # noqa: ARG001
    spec: PairCountsSummarizer,
    state: PairCounts,
) -> Similarities:
    """Return the similarities of all pairs of features of a block."""
    places = [np.array([work.features.get(c.column.name, -1) for c in side], np.int32) for side in _sides(spec)]
    pairs = BlockPairs(spec, *(_are_features(side) for side in _sides(spec)))
    values = pair_similarities(spec, state, pairs)
    squares = int((np.round(values / STEP).astype(np.int64) ** 2).sum())
    some = np.arange(len(values)) if work.least is None else np.flatnonzero(values >= work.least)
    i, j = pairs.sides()
    return Similarities(places[0][i[some]], places[1][j[some]], values[some].astype(np.float32), squares)


def _sides(spec: PairCountsSummarizer) -> tuple[tuple[Coding, ...], tuple[Coding, ...]]:
    return spec.left, spec.right


def _are_features(codings: tuple[Coding, ...]) -> np.ndarray:
    return np.array([coding.column.role is Role.FEATURE for coding in codings], bool)


def pair_similarities(spec: PairCountsSummarizer, state: PairCounts, pairs: BlockPairs) -> np.ndarray:
    """Return the similarity of each pair, shape (pairs,), float64, rounded to `STEP`."""
    counts = state.counts[0]
    if not len(pairs) or not counts.any():
        return np.zeros(len(pairs))
    left, right = (side.sum(axis=0) for side in margins_of(counts, pairs))
    n = float(left[: pairs.rows[1]].sum())
    sides = _Side(spec.left, left, pairs.rows), _Side(spec.right, right, pairs.columns)
    information, covariance = np.empty(len(pairs)), np.empty(len(pairs))
    for strip in pairs.strips():
        information[strip.place], covariance[strip.place] = _strip_figures(strip, counts, sides)
    i, j = pairs.sides()
    effective = effective_rows(state)
    expected = _expected(effective, (left, right), pairs)[i, j]
    rows = effective.total(n), effective.total(np.maximum(sides[0].present[i], sides[1].present[j]))
    with np.errstate(divide="ignore", invalid="ignore"):
        ranks = np.abs(covariance) / np.sqrt(sides[0].spread[i] * sides[1].spread[j])
        # The error of Fisher's z; of so few rows that a correlation of 1 is chance, none passes.
        ranks[~(ranks >= np.tanh(NOISE / np.sqrt(np.maximum(rows[1] - 3.0, 0.0)))) | (rows[1] <= 3)] = 0.0
    most = np.maximum(sides[0].entropy[i], sides[1].entropy[j]) / n - expected
    of_categories = ~(sides[0].are_numbers[i] | sides[1].are_numbers[j])
    corrected = information / n - expected
    corrected[corrected < NOISE * np.sqrt(expected / rows[0])] = 0.0  # N I is close to half a chi-square of mean N E
    similarity = np.clip(np.maximum(ranks, _shared(corrected, most, of_categories)), 0.0, 1.0)
    return np.asarray(np.round(similarity / STEP) * STEP)


def _shared(information: np.ndarray, most: np.ndarray, of_categories: np.ndarray) -> np.ndarray:
    """Return corrected information of pairs on the scale of a correlation, each shape (pairs,).

    Parameters
    ----------
    most
        What the information can be at most, in nats.
    of_categories
        Pairs of two categories.

    Examples
    --------
    >>> nats, of_categories = np.array([0.7, 0.7, 0.1985]), np.array([False, True, True])
    >>> _shared(nats, np.array([4.16, 4.16, 0.1985]), of_categories).round(2).tolist()
    [0.87, 0.53, 1.0]
    """
    known = most > NOTHING
    most = np.where(known, most, 1.0)
    scale = np.where(of_categories, np.minimum(most, BIT), most)
    share = np.clip(information / most, 0.0, 1.0)
    return np.where(known, np.sqrt(np.expm1(-2 * scale * share) / np.expm1(-2 * scale)), 0.0)


class _Side:
    """What the similarities of a block need of the columns of one side.

    Parameters
    ----------
    margin
        Rows of each level, shape (levels,).
    starts
        First level of each column, and the end of the last.
    """

    def __init__(self, codings: tuple[Coding, ...], margin: np.ndarray, starts: np.ndarray) -> None:
        first = starts[:-1]
        self.are_numbers = np.array([isinstance(coding, NumberCoding) for coding in codings], bool)
        self.used = np.ones(len(margin))
        """1 for levels that count, 0 for missing; of a column of one value missing counts."""
        present = np.add.reduceat((margin > 0) * 1, first) - (margin[first] > 0)
        self.used[first] = present <= 1
        rows = margin * self.used
        self.entropy = xlogx(np.add.reduceat(rows, first)) - np.add.reduceat(xlogx(rows), first)
        """Entropy of the rows that count, times their number, shape (columns,)."""
        rows = np.asarray(margin, np.float64)
        rows[first] = 0.0
        column = np.repeat(np.arange(len(first)), np.diff(starts))
        self.present = np.add.reduceat(rows, first)
        """Rows in which each column is present, shape (columns,)."""
        before = np.cumsum(rows) - rows
        self.ranks = before - before[first][column] + (rows - self.present[column]) / 2
        """Rank of each level less their mean, 0 for missing and for categories, shape (levels,)."""
        self.ranks[first] = 0.0
        self.ranks[~self.are_numbers[column]] = 0.0
        self.spread = np.add.reduceat(rows * self.ranks**2, first)
        """Sum of the squared ranks of all rows, shape (columns,)."""


def _strip_figures(strip: Strip, counts: np.ndarray, sides: tuple[_Side, _Side]) -> tuple[np.ndarray, np.ndarray]:
    """Return information times rows and the sum of products of ranks, over rows that count, shape (pairs,) each."""
    left, right = sides
    cells = strip.over_classes(counts)
    covariance = np.add.reduceat((left.ranks[strip.rows] @ cells) * right.ranks[strip.columns], strip.starts)
    cells = cells * left.used[strip.rows, None] * right.used[strip.columns]
    row_margins, column_margins = np.add.reduceat(cells, strip.starts, axis=1), column_sums(cells)
    information = (
        np.add.reduceat(column_sums(xlogx(cells)) - xlogx(column_margins), strip.starts)
        - column_sums(xlogx(row_margins))
        + xlogx(column_sums(row_margins))
    )
    return information, covariance


def _expected(effective: EffectiveRows, margins: tuple[np.ndarray, np.ndarray], pairs: BlockPairs) -> np.ndarray:
    """Return the mean information under independence of every left with every right column.

    It is that of all rows, missing as a level: exact where nothing is missing, else too large by order 1 / n.
    """
    starts = pairs.rows[:-1], pairs.columns[:-1]
    left, right = (effective.margins(m, start) for m, start in zip(margins, starts, strict=True))
    n = int(left[: pairs.rows[1]].sum())
    null = information_null(n)
    mean = null.left(left, starts[0]).mean.T @ null.right(right, starts[1]).mean
    return np.asarray(np.maximum(mean / n, 0.0))
