"""Counts of a table's few best pairs by jackknife group, taken from the stored codes after the pairs are chosen.

Counts of all pairs by group would take as many times the memory as there are groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

from featflow.analyses.requests import counts_by_group
from featflow.execution import state_store
from featflow.execution.context import Context
from featflow.execution.stored_columns import StoredColumns
from featflow.summaries import PairCountsByGroup, PairCountsByGroupSummarizer

__all__ = ["GROUP_BY_HINT", "Bars", "PairErrors", "Pairs", "recount_pairs"]

Pairs = list[tuple[str, str]]
Tuples = Sequence[tuple[str, ...]]
"""Pairs of columns, or triples."""


class PairErrors(NamedTuple):
    """Error bars of one pair and method."""

    standard_error: float
    ci_low: float
    ci_high: float
    estimate: float = nan
    """What the interval is around; NaN for the value."""
    error_bound: float = nan
    """Bound on the distance from the exact statistic, where it was measured; else NaN."""


Bars = dict[str, dict[tuple[str, str], PairErrors]]
"""Error bars by method and pair."""

GROUP_BY_HINT = "see analyses.uncertainty.group_by"
"""Ends warnings of too few groups: the option that decides how rows are grouped."""


@dataclass(frozen=True)
class _Recount:
    codes: StoredColumns
    specs: tuple[PairCountsByGroupSummarizer, ...]
    measure: Callable[[PairCountsByGroupSummarizer, PairCountsByGroup], Any]


def recount_pairs(
    context: Context, pairs: Tuples, target: str | None, measure: Callable[..., Any], stage: str
) -> Iterator[Any]:
    """Yield a measure's result for each block of pairs, counted over all codes by group; counts are not stored."""
    specs = counts_by_group(context, pairs, target)
    memory = max((spec.nbytes() for spec in specs), default=0) * state_store.WORKING_COPIES
    yield from context.map(_measure_block, _Recount(context.codes, specs, measure), range(len(specs)), stage, memory)


def _measure_block(work: _Recount, index: int) -> Any:
    spec = work.specs[index]
    return work.measure(spec, work.codes.count(spec))
