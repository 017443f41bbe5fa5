"""Correlations from second moments: Pearson, Spearman, correlation ratio. Each pair has its own rows.

Spearman's is Pearson's correlation of ranks taken from the codebook's histogram.
Its `error_bound` against the exact coefficient has two parts: the rank error
within a histogram cell, and, where a column is missing in some rows, the change
of ranks when they are taken among the remaining rows only. The second is small
because a rank among all rows is a mixture: the share that stays times the rank
among the rows that stay, which changes no correlation, and the share f that goes
times a rank among those. What of a rank is no linear function of another has
at most a standard deviation of 1 / sqrt(12), so it turns the column by at most
``arcsin(f / sqrt(12) / spread)``, about f.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.correlation.tables import CORRELATION
from featflow.columns.values import divisor
from featflow.measures.association import (
    bonett_wright_error,
    correlation_ratio_tail,
    correlation_tail,
    fisher_end,
    fisher_error,
    rank_correlation_bound,
)
from featflow.measures.effective_rows import rank_error_growth
from featflow.summaries import (
    CoMoments,
    CoMomentsSummarizer,
    GroupedMoments,
    GroupedMomentsSummarizer,
    RankCoMomentsSummarizer,
)

__all__ = ["correlation_ratio", "pearson", "spearman"]

CONSTANT_BELOW = 16 * np.finfo(np.float64).eps
"""Standard deviation, relative to the mean, that rounding alone can leave in a constant column."""
EQUAL_BELOW = 1 + 1e-9
"""Heaviest weight over the mean weight, below which weights are equal but for rounding."""


def pearson(
    spec: CoMomentsSummarizer, state: CoMoments, confidence: float = 0.95, effective_share: float = 1.0
) -> pa.Table:
    """Return Pearson's correlation of every pair of numbers.

    Parameters
    ----------
    confidence
        Level of the intervals.
    effective_share
        Rows of equal weight that would say as much, as a share of the rows.
    """
    pairs = _Pairs(spec, state)
    value, n = pairs.take(_correlations(state)), pairs.n * effective_share
    error = fisher_error(n)
    columns = {
        "value": value,
        "standard_error": (1 - value**2) * error,
        "ci_low": fisher_end(value, error, confidence, -1),
        "ci_high": fisher_end(value, error, confidence, 1),
        "p_value": correlation_tail(value, n),
    }
    return pairs.table("pearson", columns)


def spearman(
    spec: RankCoMomentsSummarizer,
    state: CoMoments,
    present: dict[str, int],
    confidence: float = 0.95,
    effective_share: float = 1.0,
) -> pa.Table:
    """Return Spearman's correlation of every pair of numbers.

    Parameters
    ----------
    present
        Finite values of every column, from its moments.
    confidence
        Level of the intervals, which hold those of every coefficient within `error_bound`.
    effective_share
        Rows of equal weight that would say as much, as a share of the rows.
    """
    pairs = _Pairs(spec, state)
    value, n = pairs.take(_correlations(state)), pairs.n * effective_share
    bound = rank_correlation_bound(value, pairs.take(_rank_angles(spec, state, present)))
    lowest, highest = np.maximum(value - bound, -1.0), np.minimum(value + bound, 1.0)
    columns = {
        "value": value,
        "error_bound": bound,
        "standard_error": (1 - value**2) * bonett_wright_error(value, n),
        "ci_low": fisher_end(lowest, bonett_wright_error(lowest, n), confidence, -1),
        "ci_high": fisher_end(highest, bonett_wright_error(highest, n), confidence, 1),
        "p_value": correlation_tail(np.maximum(np.abs(value) - bound, 0.0), n),
    }
    return pairs.table("spearman", columns)


def _rank_angles(spec: RankCoMomentsSummarizer, state: CoMoments, present: dict[str, int]) -> np.ndarray:
    """Return a bound on the angle between each pair's binned and exact ranks, both columns' angles added."""
    n = np.maximum(state.n, 1)
    angles, growth = np.zeros((1, 1)), rank_error_growth(state)
    sides = ((spec.left, state.left_m2, (-1, 1)), (spec.right, state.right_m2, (1, -1)))
    for codings, m2, shape in sides:
        variance = np.array([c.rank_variance for c in codings]).reshape(shape) * growth
        whole = np.array([max(present[c.column.name], 1) for c in codings]).reshape(shape)
        spread = np.maximum(np.sqrt(m2 / divisor(state.total)), 1e-300)
        # A cell's rank is the mean of its values' ranks, so binned ranks and their error are at right angles and exact
        # ranks are the hypotenuse. Under weights, or with rows left out, they are not.
        in_cells = np.arctan(np.sqrt(variance) / spread)
        dropped = (np.sqrt(variance * whole / n) + (1 - n / whole) / np.sqrt(12)) / spread
        complete = (state.n == whole) & (growth < EQUAL_BELOW)
        angles = angles + np.where(complete, in_cells, np.arcsin(np.minimum(dropped, 1.0)))
    return angles


@np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null
def correlation_ratio(spec: GroupedMomentsSummarizer, state: GroupedMoments, effective_share: float = 1.0) -> pa.Table:
    """Return the correlation ratio (eta) of every number within every category, missing values left out.

    Parameters
    ----------
    effective_share
        Rows of equal weight that would say as much, as a share of the rows.
    """
    offsets = spec.offsets()
    columns: dict[str, list[object]] = {name: [] for name in ("feature_a", "feature_b", "n", "value", "p_value")}
    for index, coding in enumerate(spec.categories):
        level = slice(offsets[index] + 1, offsets[index + 1])
        n, mean, m2 = state.total[level], state.mean[level], state.m2[level]
        total = n.sum(axis=0)
        grand = (n * mean).sum(axis=0) / divisor(total)
        between = (n * (mean - grand) ** 2).sum(axis=0)
        whole = between + m2.sum(axis=0)
        constant = np.sqrt(whole / divisor(total)) <= CONSTANT_BELOW * np.abs(grand)
        levels, rows = (n > 0).sum(axis=0), state.n[level].sum(axis=0)
        value = np.where(levels < 2, np.nan, np.sqrt(between / np.where(constant, np.nan, whole)))
        columns["feature_a"] += [coding.column.name] * len(spec.numbers)
        columns["feature_b"] += [number.column.name for number in spec.numbers]
        columns["n"] += rows.tolist()
        columns["value"] += value.tolist()
        columns["p_value"] += correlation_ratio_tail(value, rows * effective_share, levels).tolist()
    return CORRELATION.build({"method": ["correlation_ratio"] * len(columns["n"]), **columns})


class _Pairs:
    """The pairs of a block; a block on the diagonal has each pair once and no column with itself."""

    def __init__(self, spec: CoMomentsSummarizer | RankCoMomentsSummarizer, state: CoMoments) -> None:
        self.spec, self.shape = spec, state.c.shape
        where = np.ones(self.shape, bool)
        self.flat = np.flatnonzero(np.triu(where, k=1) if spec.left == spec.right else where)
        self.n = self.take(state.n)

    def take(self, array: np.ndarray) -> np.ndarray:
        """Return an entry a pair of what has the block's shape, or what broadcasts to it."""
        return np.asarray(np.broadcast_to(array, self.shape).reshape(-1)[self.flat])

    def table(self, method: str, columns: dict[str, np.ndarray]) -> pa.Table:
        """Return the table of the pairs, one row each."""
        length = len(self.flat)
        first, second = np.divmod(self.flat, self.shape[1])
        names = ([coding.column.name for coding in side] for side in (self.spec.left, self.spec.right))
        a, b = (
            pa.array(block, pa.string()).take(pa.array(index))
            for block, index in zip(names, (first, second), strict=True)
        )
        has_interval = pa.array(np.isfinite(columns["standard_error"]))
        fixed = {
            "method": pa.repeat(pa.scalar(method, pa.string()), length),
            "feature_a": a,
            "feature_b": b,
            "n": self.n,
            "error_method": pc.if_else(has_interval, pa.scalar("fisher_z"), pa.scalar(None, pa.string())),
        }
        return CORRELATION.build(fixed | columns)


@np.errstate(all="ignore")  # what overflows becomes null
def _correlations(state: CoMoments) -> np.ndarray:
    """Return every pair's correlation, NaN where a column does not vary, shape of the state."""
    constant = state.n < 2
    for m2, mean in ((state.left_m2, state.left_mean), (state.right_m2, state.right_mean)):
        constant = constant | (np.sqrt(m2 / divisor(state.total)) <= CONSTANT_BELOW * np.abs(mean))
    value: np.ndarray = state.c / np.sqrt(state.left_m2)
    value /= np.sqrt(state.right_m2)
    np.clip(value, -1.0, 1.0, out=value)
    value[np.broadcast_to(constant, value.shape)] = np.nan
    return value
