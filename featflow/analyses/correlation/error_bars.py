"""Error bars of correlations, from the moments and counts of kept pairs by jackknife group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from featflow.analyses.correlation.jackknife import cramers_v_errors, information_errors, moment_errors
from featflow.analyses.recount import WHERE, Bars, Pairs, look_again, looked_up
from featflow.execution.context import Relations
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.summaries import CoMoments, KeptCounts, KeptCountsSummarizer

__all__ = ["correlation_bars"]

MOMENT_METHODS = ("pearson", "spearman")

COUNT_ERRORS = {"cramers_v": cramers_v_errors, "mutual_information": information_errors}

INSTEAD = {True: "their intervals are fisher_z, as of independent rows", False: "their intervals are null"}
"""What becomes of intervals without a jackknife, by whether a method is of `MOMENT_METHODS`."""


def correlation_bars(relations: Relations, kept: dict[str, Pairs]) -> Bars:
    """Return the jackknife's error bars of the kept pairs of each method; those that it cannot give are left out."""
    found: Bars = {}
    few: Counter[str] = Counter()
    for method, pair, bars, groups in (*_of_moments(relations, kept), *_of_counts(relations, kept)):
        if np.isfinite(bars[1]):
            found.setdefault(method, {})[pair] = bars
        few[method] += groups < FEWEST_GROUPS
    relations.warnings.extend(
        f"correlation: {count} of {len(kept[method])} kept pair(s) of {method} have rows in fewer groups than the "
        f"{FEWEST_GROUPS} that the jackknife needs; {INSTEAD[method in MOMENT_METHODS]}; {WHERE}"
        for method, count in few.items()
        if count
    )
    return found


Of = tuple[str, tuple[str, str], tuple[float, float, float], int]
"""Method, pair, its error bars, and the groups in which it has rows."""


def _of_moments(relations: Relations, kept: dict[str, Pairs]) -> Iterator[Of]:
    wanted = {method: kept[method] for method in MOMENT_METHODS if method in kept}
    for method, pairs, state in _moments(relations, wanted):
        bars = moment_errors(state, relations.config.analyses.uncertainty.confidence)
        groups = np.count_nonzero(state.total, axis=0).tolist()
        columns = zip(bars.standard_error, bars.low, bars.high, strict=True)
        for pair, ends, count in zip(pairs, columns, groups, strict=True):
            yield method, pair, ends, count


def _moments(relations: Relations, wanted: dict[str, Pairs]) -> Iterator[tuple[str, Pairs, CoMoments]]:
    """Yield pairs of a method and their moments by group: those of pass 2 where it has them, else of a further look."""
    specs = {"pearson": relations.specs.comoments, "spearman": relations.specs.ranks}
    again = dict(wanted)
    for method, pairs in wanted.items():
        for spec in specs[method]:
            if spec.grouping:
                again.pop(method, None)
                left, right = ({c.column.name: i for i, c in enumerate(side)} for side in (spec.left, spec.right))
                some = [(a, b) for a, b in pairs if a in left and b in right]
                at = np.array([(left[a], right[b]) for a, b in some], int).reshape(-1, 2).T
                yield method, some, relations.state(spec).of_pairs(*at)
    if again:
        yield from looked_up(relations, again)


def _of_counts(relations: Relations, kept: dict[str, Pairs]) -> Iterator[Of]:
    for method, function in COUNT_ERRORS.items():
        if method in kept:
            confidence = relations.config.analyses.uncertainty.confidence
            measure = partial(_count_errors, function, relations.scale, confidence)
            blocks = look_again(relations, kept[method], None, measure, f"error bars: {method}")
            every = (bars for block in blocks for bars in block)
            for pair, (error, low, high, groups) in zip(kept[method], every, strict=True):
                yield method, pair, (error, low, high), groups


def _count_errors(
    function: Callable[..., Any], scale: float, confidence: float, spec: KeptCountsSummarizer, state: KeptCounts
) -> list[tuple[float, float, float, int]]:
    bars = [function(table[..., 0], scale, confidence) for table in spec.tables(state)]
    return [(float(b.standard_error), float(b.low), float(b.high), b.degrees + 1) for b in bars]
