"""A further look at the pairs that tables keep: their counts or moments by group of rows, for the jackknife."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from featflow import passes, progress, states
from featflow.analyses import kept_counts, kept_moments
from featflow.engines.base import Resources
from featflow.errors import InfrastructureError
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.measures.kept import interaction_errors
from featflow.measures.kept_correlations import cramers_v_errors, information_errors, moment_errors
from featflow.relations import Relations
from featflow.streams import CodeStream
from featflow.summaries import CoMoments, KeptCounts, KeptCountsSummarizer

__all__ = ["WHERE", "Bars", "Pairs", "correlation_bars", "interaction_bars"]

Pairs = list[tuple[str, str]]
Bars = dict[str, dict[tuple[str, str], tuple[float, float, float]]]
"""Standard error and interval, by method and pair."""

MOMENT_METHODS = ("pearson", "spearman")
COUNT_ERRORS = {"cramers_v": cramers_v_errors, "mutual_information": information_errors}
INSTEAD = {True: "their intervals are fisher_z, as of independent rows", False: "their intervals are null"}
"""What becomes of intervals without a jackknife, by whether a method is of `MOMENT_METHODS`."""
WHERE = "see analyses.uncertainty.group_by"


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
        yield from _looked_up(relations, again)


def _looked_up(relations: Relations, wanted: dict[str, Pairs]) -> Iterator[tuple[str, Pairs, CoMoments]]:
    specs = kept_moments(wanted, relations.codebook, relations.specs, relations.config)
    workspace, every = relations.workspace, [spec for _, spec in specs]
    done = passes.compute(workspace, relations.shards, every, "reading: error bars")
    if done.quarantined:
        raise InfrastructureError(f"{done.quarantined[0].uri}: became unreadable during the run; run again")
    names = passes.merge(workspace, done.shards, every, "merging")
    for (method, spec), name in zip(specs, names, strict=True):
        pairs = [(left.column.name, right.column.name) for left, right in spec.pairs]
        yield method, pairs, states.load(workspace.store, spec, name)


def _of_counts(relations: Relations, kept: dict[str, Pairs]) -> Iterator[Of]:
    for method, function in COUNT_ERRORS.items():
        if method in kept:
            confidence = relations.config.analyses.uncertainty.confidence
            measure = partial(_count_errors, function, relations.scale, confidence)
            blocks = _look_again(relations, kept[method], None, measure, f"error bars: {method}")
            every = (bars for block in blocks for bars in block)
            for pair, (error, low, high, groups) in zip(kept[method], every, strict=True):
                yield method, pair, (error, low, high), groups


def interaction_bars(relations: Relations, pairs: Pairs, target: str) -> dict[str, np.ndarray]:
    """Return what `featflow.measures.kept.interaction_errors` says of pairs about a target, in their order."""
    confidence = relations.config.analyses.uncertainty.confidence
    measure = partial(_interaction_errors, relations.scale, confidence)
    blocks = list(_look_again(relations, pairs, target, measure, f"error bars: {target}"))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _interaction_errors(
    scale: float, confidence: float, spec: KeptCountsSummarizer, state: KeptCounts
) -> dict[str, np.ndarray]:
    return interaction_errors([table[..., 1:] for table in spec.tables(state)], scale, confidence)


def _count_errors(
    function: Callable[..., Any], scale: float, confidence: float, spec: KeptCountsSummarizer, state: KeptCounts
) -> list[tuple[float, float, float, int]]:
    bars = [function(table[..., 0], scale, confidence) for table in spec.tables(state)]
    return [(float(b.standard_error), float(b.low), float(b.high), b.degrees + 1) for b in bars]


# --- counts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    stream: CodeStream
    specs: tuple[KeptCountsSummarizer, ...]
    measure: Callable[[KeptCountsSummarizer, KeptCounts], Any]


def _look_again(
    relations: Relations, pairs: Pairs, target: str | None, measure: Callable[..., Any], stage: str
) -> Iterator[Any]:
    """Yield what a measure says of the pairs' counts over all codes, few pairs at a time; nothing is stored."""
    specs = kept_counts(pairs, target, relations.codebook, relations.specs, relations.config)
    workspace, work = relations.workspace, _Look(relations.stream, tuple(specs), measure)
    memory = max((spec.nbytes() for spec in specs), default=0) * states.WORKING_COPIES
    with progress.stage(workspace.progress, stage, len(specs)):
        for result in workspace.engine.map(_look, work, range(len(specs)), Resources(memory=memory)):
            workspace.progress.advance(0)
            yield result


def _look(work: _Look, index: int) -> Any:
    spec = work.specs[index]
    return work.measure(spec, work.stream.count(spec))
