"""A further look at the codes of pairs that tables keep: their counts by group of rows, for the jackknife."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from featflow.analyses.requests import counts_by_group
from featflow.execution import state_store
from featflow.execution.context import Context
from featflow.execution.stored_columns import StoredColumns
from featflow.summaries import PairCountsByGroup, PairCountsByGroupSummarizer

__all__ = ["WHERE", "Bars", "Pairs", "look_again"]

Pairs = list[tuple[str, str]]

Bars = dict[str, dict[tuple[str, str], tuple[float, float, float]]]
"""Standard error and interval, by method and pair."""

WHERE = "see analyses.uncertainty.group_by"


@dataclass(frozen=True)
class _Look:
    codes: StoredColumns
    specs: tuple[PairCountsByGroupSummarizer, ...]
    measure: Callable[[PairCountsByGroupSummarizer, PairCountsByGroup], Any]


def look_again(
    context: Context, pairs: Pairs, target: str | None, measure: Callable[..., Any], stage: str
) -> Iterator[Any]:
    """Yield what a measure says of the pairs' counts over all codes, few pairs at a time; nothing is stored."""
    specs = counts_by_group(context, pairs, target)
    memory = max((spec.nbytes() for spec in specs), default=0) * state_store.WORKING_COPIES
    yield from context.map(_look, _Look(context.codes, specs, measure), range(len(specs)), stage, memory)


def _look(work: _Look, index: int) -> Any:
    spec = work.specs[index]
    return work.measure(spec, work.codes.count(spec))
