"""Error bars of correlations, from moments and counts of the strongest pairs by jackknife group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from math import nan
from typing import Any, cast

import numpy as np

from featflow.analyses.correlation.jackknife import cramers_v_errors, information_errors, moment_errors
from featflow.analyses.correlation.rank_errors import RankedColumn, measured_bound
from featflow.analyses.recount import GROUP_BY_HINT, Bars, PairErrors, Pairs, recount_pairs
from featflow.analyses.requests import ComomentsOfNumbers, MomentsOfPairs, RanksOfNumbers
from featflow.columns.codebook import NumberCoding
from featflow.execution.context import Context
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.summaries import CoMoments, PairCountsByGroup, PairCountsByGroupSummarizer

__all__ = ["correlation_bars"]

MOMENT_METHODS = ("pearson", "spearman")

COUNT_ERRORS = {"cramers_v": cramers_v_errors, "mutual_information": information_errors}

EQUAL_FROM = 1 - 1e-12
"""Effective share from which weights are equal but for rounding, and sums of them stand for whole rows."""
INSTEAD = {True: "their intervals are fisher_z, as of independent rows", False: "their intervals are null"}
"""Intervals that a pair has without a jackknife, for warnings, by whether its method is of `MOMENT_METHODS`."""


def correlation_bars(context: Context, best_pairs: dict[str, Pairs], *, has_codes: bool) -> Bars:
    """Return jackknife error bars of the strongest pairs of each method, without pairs that have too few groups.

    Parameters
    ----------
    has_codes
        Whether codes are stored, by which Spearman's error bound is measured.
    """
    errors: Bars = {}
    few: Counter[str] = Counter()
    pair_bars = (*_moment_bars(context, best_pairs, has_codes=has_codes), *_count_bars(context, best_pairs))
    for method, pair, bars, groups in pair_bars:
        if np.isfinite(bars.ci_low):
            errors.setdefault(method, {})[pair] = bars
        few[method] += groups < FEWEST_GROUPS
    messages = (
        f"correlation: {count} of {len(best_pairs[method])} kept pair(s) of {method} have rows in fewer groups than "
        f"the {FEWEST_GROUPS} that the jackknife needs; {INSTEAD[method in MOMENT_METHODS]}; {GROUP_BY_HINT}"
        for method, count in few.items()
        if count
    )
    context.warn(*messages)
    return errors


PairBars = tuple[str, tuple[str, str], PairErrors, int]
"""Method, pair, its error bars, and the groups in which it has rows."""


def _moment_bars(context: Context, best_pairs: dict[str, Pairs], *, has_codes: bool) -> Iterator[PairBars]:
    requested = {method: best_pairs[method] for method in MOMENT_METHODS if method in best_pairs}
    for method, pairs, state in _moments(context, requested):
        bars = moment_errors(state, context.uncertainty.confidence)
        bounds = _rank_bounds(context, pairs, state.over_groups()) if method == "spearman" and has_codes else None
        groups = np.count_nonzero(state.total, axis=0).tolist()
        columns = zip(bars.standard_error, bars.low, bars.high, strict=True)
        for pair, values, count in zip(pairs, columns, groups, strict=True):
            bound = nan if bounds is None else bounds.get(pair, nan)
            yield method, pair, PairErrors(*map(float, values))._replace(error_bound=bound), count


def _rank_bounds(context: Context, pairs: Pairs, state: CoMoments) -> dict[tuple[str, str], float]:
    """Return the measured bound of every pair of which a column has values that the other lacks.

    Parameters
    ----------
    state
        Moments of ranks, shape (pairs,).
    """
    columns = context.columns
    present = {c.name: int(n) for c, n in zip(columns.numbers, columns.moments.n, strict=True)}
    some = [at for at, pair in enumerate(pairs) if state.n[at] < max(present[name] for name in pair)]
    if not some or columns.effective_share < EQUAL_FROM:  # weighted counts do not say how many rows a bin holds
        return {}
    spreads = [np.sqrt(m2 / np.maximum(state.n, 1)) for m2 in (state.left_m2, state.right_m2)]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.clip(state.c / np.sqrt(state.left_m2 * state.right_m2), -1.0, 1.0)
    blocks = recount_pairs(context, [pairs[at] for at in some], None, _tables, "error bounds: spearman")
    bounds = {}
    for at, table in zip(some, (table for block in blocks for table in block), strict=True):
        sides = (
            RankedColumn(cast("NumberCoding", context.codebook[name]), float(spread[at]), present[name])
            for name, spread in zip(pairs[at], spreads, strict=True)
        )
        bounds[pairs[at]] = measured_bound(float(values[at]), np.rint(table * context.scale), *sides)
    return bounds


def _tables(spec: PairCountsByGroupSummarizer, state: PairCountsByGroup) -> list[np.ndarray]:
    return [table[..., 0].sum(axis=0) for table in spec.tables(state)]


def _moments(context: Context, requested: dict[str, Pairs]) -> Iterator[tuple[str, Pairs, CoMoments]]:
    """Yield pairs of a method and their moments by group, from pass 2 if it has them, else from another pass."""
    recounts = dict[str, MomentsOfPairs]()
    for method, pairs in requested.items():
        request = RanksOfNumbers() if method == "spearman" else ComomentsOfNumbers()
        specs = context.specs(request)
        if not all(spec.jackknife for spec in specs):
            recounts[method] = MomentsOfPairs(tuple(pairs), method == "spearman")
            continue
        for spec in specs:
            left, right = ({c.column.name: i for i, c in enumerate(side)} for side in (spec.left, spec.right))
            some = [(a, b) for a, b in pairs if a in left and b in right]
            index = np.array([(left[a], right[b]) for a, b in some], int).reshape(-1, 2).T
            yield method, some, context.state(spec).of_pairs(*index)
    if recounts:
        methods = [method for method, request in recounts.items() for _ in context.specs(request)]
        states = context.states(*recounts.values(), stage="error bars")
        for method, (spec, state) in zip(methods, states, strict=True):
            yield method, [(left.column.name, right.column.name) for left, right in spec.pairs], state


def _count_bars(context: Context, best_pairs: dict[str, Pairs]) -> Iterator[PairBars]:
    for method, function in COUNT_ERRORS.items():
        if method in best_pairs:
            confidence = context.uncertainty.confidence
            measure = partial(_count_errors, function, context.scale, confidence)
            blocks = recount_pairs(context, best_pairs[method], None, measure, f"error bars: {method}")
            pair_bars = (bars for block in blocks for bars in block)
            for pair, (errors, groups) in zip(best_pairs[method], pair_bars, strict=True):
                yield method, pair, errors, groups


def _count_errors(
    function: Callable[..., Any],
    scale: float,
    confidence: float,
    spec: PairCountsByGroupSummarizer,
    state: PairCountsByGroup,
) -> list[tuple[PairErrors, int]]:
    bars = [function(table[..., 0], scale, confidence) for table in spec.tables(state)]
    columns = [(b.standard_error, b.low, b.high, b.estimate) for b in bars]
    return [(PairErrors(*map(float, values)), b.degrees + 1) for values, b in zip(columns, bars, strict=True)]
