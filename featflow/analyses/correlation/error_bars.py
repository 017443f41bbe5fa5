"""Error bars of correlations, from the moments and counts of kept pairs by jackknife group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from featflow.analyses.correlation.jackknife import cramers_v_errors, information_errors, moment_errors
from featflow.analyses.recount import WHERE, Bars, Pairs, look_again
from featflow.analyses.requests import ComomentsOfNumbers, MomentsOfPairs, RanksOfNumbers
from featflow.execution.context import Context
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.summaries import CoMoments, PairCountsByGroup, PairCountsByGroupSummarizer

__all__ = ["correlation_bars"]

MOMENT_METHODS = ("pearson", "spearman")

COUNT_ERRORS = {"cramers_v": cramers_v_errors, "mutual_information": information_errors}

INSTEAD = {True: "their intervals are fisher_z, as of independent rows", False: "their intervals are null"}
"""What becomes of intervals without a jackknife, by whether a method is of `MOMENT_METHODS`."""


def correlation_bars(context: Context, kept: dict[str, Pairs]) -> Bars:
    """Return the jackknife's error bars of the kept pairs of each method; those that it cannot give are left out."""
    found: Bars = {}
    few: Counter[str] = Counter()
    for method, pair, bars, groups in (*_of_moments(context, kept), *_of_counts(context, kept)):
        if np.isfinite(bars[1]):
            found.setdefault(method, {})[pair] = bars
        few[method] += groups < FEWEST_GROUPS
    said = (
        f"correlation: {count} of {len(kept[method])} kept pair(s) of {method} have rows in fewer groups than the "
        f"{FEWEST_GROUPS} that the jackknife needs; {INSTEAD[method in MOMENT_METHODS]}; {WHERE}"
        for method, count in few.items()
        if count
    )
    context.warn(*said)
    return found


Of = tuple[str, tuple[str, str], tuple[float, float, float], int]
"""Method, pair, its error bars, and the groups in which it has rows."""


def _of_moments(context: Context, kept: dict[str, Pairs]) -> Iterator[Of]:
    wanted = {method: kept[method] for method in MOMENT_METHODS if method in kept}
    for method, pairs, state in _moments(context, wanted):
        bars = moment_errors(state, context.uncertainty.confidence)
        groups = np.count_nonzero(state.total, axis=0).tolist()
        columns = zip(bars.standard_error, bars.low, bars.high, strict=True)
        for pair, ends, count in zip(pairs, columns, groups, strict=True):
            yield method, pair, ends, count


def _moments(context: Context, wanted: dict[str, Pairs]) -> Iterator[tuple[str, Pairs, CoMoments]]:
    """Yield pairs of a method and their moments by group: those of pass 2 where it has them, else of a further look."""
    again = dict[str, MomentsOfPairs]()
    for method, pairs in wanted.items():
        request = RanksOfNumbers() if method == "spearman" else ComomentsOfNumbers()
        specs = context.specs(request)
        if not all(spec.jackknife for spec in specs):
            again[method] = MomentsOfPairs(tuple(pairs), method == "spearman")
            continue
        for spec in specs:
            left, right = ({c.column.name: i for i, c in enumerate(side)} for side in (spec.left, spec.right))
            some = [(a, b) for a, b in pairs if a in left and b in right]
            at = np.array([(left[a], right[b]) for a, b in some], int).reshape(-1, 2).T
            yield method, some, context.state(spec).of_pairs(*at)
    if again:
        methods = [method for method, request in again.items() for _ in context.specs(request)]
        states = context.states(*again.values(), stage="error bars")
        for method, (spec, state) in zip(methods, states, strict=True):
            yield method, [(left.column.name, right.column.name) for left, right in spec.pairs], state


def _of_counts(context: Context, kept: dict[str, Pairs]) -> Iterator[Of]:
    for method, function in COUNT_ERRORS.items():
        if method in kept:
            confidence = context.uncertainty.confidence
            measure = partial(_count_errors, function, context.scale, confidence)
            blocks = look_again(context, kept[method], None, measure, f"error bars: {method}")
            every = (bars for block in blocks for bars in block)
            for pair, (error, low, high, groups) in zip(kept[method], every, strict=True):
                yield method, pair, (error, low, high), groups


def _count_errors(
    function: Callable[..., Any],
    scale: float,
    confidence: float,
    spec: PairCountsByGroupSummarizer,
    state: PairCountsByGroup,
) -> list[tuple[float, float, float, int]]:
    bars = [function(table[..., 0], scale, confidence) for table in spec.tables(state)]
    return [(float(b.standard_error), float(b.low), float(b.high), b.degrees + 1) for b in bars]
