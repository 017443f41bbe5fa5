"""A further look at the pairs that tables keep: their counts or moments by group of rows, for the jackknife."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from featflow.analyses.requests import kept_counts, kept_moments
from featflow.errors import InfrastructureError
from featflow.execution import passes, progress, state_store
from featflow.execution.context import Relations
from featflow.execution.engines.base import Resources
from featflow.execution.stored_columns import CodeStream
from featflow.summaries import CoMoments, KeptCounts, KeptCountsSummarizer

__all__ = ["WHERE", "Bars", "Pairs", "look_again", "looked_up"]

Pairs = list[tuple[str, str]]

Bars = dict[str, dict[tuple[str, str], tuple[float, float, float]]]
"""Standard error and interval, by method and pair."""

WHERE = "see analyses.uncertainty.group_by"


def looked_up(relations: Relations, wanted: dict[str, Pairs]) -> Iterator[tuple[str, Pairs, CoMoments]]:
    """Yield moments by jackknife group of pairs wanted: their method, the pairs, and the whole state of each spec."""
    specs = kept_moments(wanted, relations.codebook, relations.specs, relations.config)
    workspace, every = relations.workspace, [spec for _, spec in specs]
    done = passes.compute(workspace, relations.shards, every, "reading: error bars")
    if done.quarantined:
        raise InfrastructureError(f"{done.quarantined[0].uri}: became unreadable during the run; run again")
    names = passes.merge(workspace, done.shards, every, "merging")
    for (method, spec), name in zip(specs, names, strict=True):
        pairs = [(left.column.name, right.column.name) for left, right in spec.pairs]
        yield method, pairs, state_store.load(workspace.store, spec, name)


# --- counts ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Look:
    stream: CodeStream
    specs: tuple[KeptCountsSummarizer, ...]
    measure: Callable[[KeptCountsSummarizer, KeptCounts], Any]


def look_again(
    relations: Relations, pairs: Pairs, target: str | None, measure: Callable[..., Any], stage: str
) -> Iterator[Any]:
    """Yield what a measure says of the pairs' counts over all codes, few pairs at a time; nothing is stored."""
    specs = kept_counts(pairs, target, relations.codebook, relations.specs, relations.config)
    workspace, work = relations.workspace, _Look(relations.stream, tuple(specs), measure)
    memory = max((spec.nbytes() for spec in specs), default=0) * state_store.WORKING_COPIES
    with progress.stage(workspace.progress, stage, len(specs)):
        for result in workspace.engine.map(_look, work, range(len(specs)), Resources(memory=memory)):
            workspace.progress.advance(0)
            yield result


def _look(work: _Look, index: int) -> Any:
    spec = work.specs[index]
    return work.measure(spec, work.stream.count(spec))
