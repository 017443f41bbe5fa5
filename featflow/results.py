"""From whole states to the ranking, correlation and interaction tables; a further look for the pairs they keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from featflow import passes, progress
from featflow import states as stored
from featflow.analyses import RelationSpecs, kept_counts, kept_moments
from featflow.columns import Codebook, Role
from featflow.config import Config
from featflow.dataset import Shard
from featflow.discovery import Errors, Pairs, with_q_values
from featflow.engines.base import Resources
from featflow.errors import InfrastructureError
from featflow.measures.codebook import ColumnStates
from featflow.measures.correlation import correlation_ratio, pearson, spearman
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.measures.kept import interaction_errors, with_interaction_errors
from featflow.measures.kept_correlations import cramers_v_errors, information_errors, moment_errors
from featflow.measures.pairs import PairMeasures, measure_pairs, top
from featflow.measures.ranking import RankingMeasure, ranking
from featflow.measures.ranks import ranked
from featflow.passes import Workspace
from featflow.storage import Store
from featflow.summaries import KeptCounts, KeptCountsSummarizer, PairCountsSummarizer
from featflow.tables import build

__all__ = ["Relations"]

MOMENT_METHODS = ("pearson", "spearman")
COUNT_ERRORS = {"cramers_v": cramers_v_errors, "mutual_information": information_errors}
INSTEAD = {True: "their intervals are fisher_z, as of independent rows", False: "their intervals are null"}
"""What becomes of intervals without a jackknife, by whether a method is of `MOMENT_METHODS`."""
WHERE = "see analyses.uncertainty.group_by"


@dataclass(frozen=True)
class Relations:
    """The whole states of pass 2, and what it takes to measure them."""

    config: Config
    codebook: Codebook
    workspace: Workspace
    shards: tuple[Shard, ...]
    specs: RelationSpecs
    columns: ColumnStates
    whole: dict[Any, str]
    """Name of every spec's whole state."""
    warnings: list[str] = field(default_factory=list)
    """What is null or empty in the tables made so far, and why."""

    def state(self, spec: Any) -> Any:
        """Return a spec's whole state."""
        return stored.load(self.workspace.store, spec, self.whole[spec])

    # --- ranking ----------------------------------------------------------------------------------------------------

    def ranking(self, alerts: dict[str, list[str]]) -> pa.Table:
        """Return the ranking table of all targets."""
        options, wanted = self.config.analyses.uncertainty, self.config.analyses.ranking
        clustered = wanted is not None and wanted.clusters is not None
        measure = RankingMeasure(alerts, self.columns.effective_share, options.confidence, clustered)
        blocks = [ranking(spec, self.state(spec), measure) for spec in self.specs.targets]
        self.warnings.extend(dict.fromkeys(warning for _, block in blocks for warning in block))
        empty = build("ranking", {"target": []})
        return ranked(pa.concat_tables([empty, *(table for table, _ in blocks)]), options)

    # --- pairs ------------------------------------------------------------------------------------------------------

    def pairs(self) -> Iterator[PairMeasures]:
        """Yield the measures of every block pair, computed where the engine runs."""
        analyses = self.config.analyses
        methods = tuple(analyses.correlation.methods) if analyses.correlation else ()
        keep = analyses.interaction.keep if analyses.interaction else 0
        items = [(spec, self.whole[spec]) for spec in self.specs.pairs]
        memory = 8 * max((spec.nbytes() for spec in self.specs.pairs), default=0)
        shared = (self.workspace.store, methods, keep)
        return self.workspace.engine.map(_measure_block, shared, items, Resources(memory=memory))

    def correlation(self, pairs: Iterator[PairMeasures], interactions: list[pa.Table]) -> Iterator[pa.Table]:
        """Yield the correlation table; what the pairs say of interactions is put aside on the way."""
        options, wanted = self.config.analyses.uncertainty, self.config.analyses.correlation
        keep = wanted.keep if wanted else 0
        return with_q_values(self._correlations(pairs, interactions), options.procedure, keep, self._errors)

    def _correlations(self, pairs: Iterator[PairMeasures], interactions: list[pa.Table]) -> Iterator[pa.Table]:
        confidence, share = self.config.analyses.uncertainty.confidence, self.columns.effective_share
        present = {c.name: int(n) for c, n in zip(self.columns.numbers, self.columns.moments.n, strict=True)}
        for moments in self.specs.comoments:
            yield pearson(moments, self.state(moments), confidence, share)
        for ranks in self.specs.ranks:
            yield spearman(ranks, self.state(ranks), present, confidence, share)
        for grouped in self.specs.grouped:
            yield correlation_ratio(grouped, self.state(grouped), share)
        for measured in pairs:
            interactions.append(measured.interaction)
            yield measured.correlation

    def interaction(self, found: list[pa.Table]) -> pa.Table:
        """Return the interaction table: the best pairs of every target, with their error bars."""
        options, wanted = self.config.analyses.uncertainty, self.config.analyses.interaction
        best = top(pa.concat_tables([build("interaction", {"target": []}), *found]), wanted.keep if wanted else 0)
        names = list(zip(*(best.column(key).to_pylist() for key in ("target", "feature_a", "feature_b")), strict=True))
        errors: dict[str, list[float]] = {}
        for target in dict.fromkeys(name for name, _, _ in names):
            pairs = [(a, b) for name, a, b in names if name == target]
            measure = partial(_interaction_errors, self._scale(), options.confidence)
            for values in self._look_again(pairs, target, measure, f"error bars: {target}"):
                for name, array in values.items():
                    errors.setdefault(name, []).extend(array.tolist())
        features = sum(coding.column.role is Role.FEATURE for coding in self.codebook.codings)
        looked_at = dict.fromkeys((name for name, _, _ in names), features * (features - 1) // 2)
        arrays = {name: np.array(values) for name, values in errors.items()}
        groups = dict(zip((name for name, _, _ in names), errors.get("groups", ()), strict=True))
        self.warnings.extend(
            f"interactions with target '{target}': their rows fall into {count:.0f} group(s) and the jackknife needs "
            f"{FEWEST_GROUPS}; intervals are null; {WHERE}"
            for target, count in groups.items()
            if count < FEWEST_GROUPS
        )
        return with_interaction_errors(best, arrays, options, looked_at) if names else best

    # --- error bars -------------------------------------------------------------------------------------------------

    def _errors(self, kept: Pairs) -> Errors:
        """Return the jackknife's error bars of the kept correlations."""
        found: dict[tuple[str, str, str], tuple[float, float, float]] = {}
        few: Counter[str] = Counter()
        confidence, scale = self.config.analyses.uncertainty.confidence, self._scale()
        specs = kept_moments({m: kept[m] for m in MOMENT_METHODS if m in kept}, self.codebook, self.specs, self.config)
        if specs:
            every = [spec for _, spec in specs]
            done = passes.compute(self.workspace, self.shards, every, "reading: error bars")
            if done.quarantined:
                raise InfrastructureError(f"{done.quarantined[0].uri}: became unreadable during the run; run again")
            for (method, spec), name in zip(
                specs, passes.merge(self.workspace, done.shards, every, "merging"), strict=True
            ):
                state = stored.load(self.workspace.store, spec, name)
                bars = moment_errors(state, confidence)
                few[method] += int((np.count_nonzero(state.total, axis=0) < FEWEST_GROUPS).sum())
                columns = zip(bars.standard_error, bars.low, bars.high, strict=True)
                names = ((left.column.name, right.column.name) for left, right in spec.pairs)
                found |= {(method, *pair): end for pair, end in zip(names, columns, strict=True)}
        for method, function in COUNT_ERRORS.items():
            if method not in kept:
                continue
            measure = partial(_count_errors, function, scale, confidence)
            blocks = self._look_again(kept[method], None, measure, f"error bars: {method}")
            bars_of = [bars for block in blocks for bars in block]
            found |= {(method, *pair): bars[:3] for pair, bars in zip(kept[method], bars_of, strict=True)}
            few[method] += sum(groups < FEWEST_GROUPS for *_, groups in bars_of)
        self.warnings.extend(
            f"correlation: {count} of {len(kept[method])} kept pair(s) of {method} have rows in fewer groups than the "
            f"{FEWEST_GROUPS} that the jackknife needs; {INSTEAD[method in MOMENT_METHODS]}; {WHERE}"
            for method, count in few.items()
            if count
        )
        return {key: end for key, end in found.items() if np.isfinite(end[1])}

    def _look_again(
        self, pairs: list[tuple[str, str]], target: str | None, measure: Callable[..., Any], stage: str
    ) -> Iterator[Any]:
        specs = kept_counts(pairs, target, self.codebook, self.specs, self.config)
        with progress.stage(self.workspace.progress, stage, len(specs)):
            for result in passes.look_again(self.workspace, self.shards, self.specs.codes, specs, measure):
                self.workspace.progress.advance(0)
                yield result

    def _scale(self) -> float:
        """Return the rows of equal weight that a unit of weight is worth."""
        moments = self.columns.moments
        return moments.weight_sum / moments.weight_square_sum if self.specs.weighted else 1.0


def _measure_block(shared: tuple[Store, tuple[str, ...], int], item: tuple[PairCountsSummarizer, str]) -> PairMeasures:
    (store, methods, keep), (spec, name) = shared, item
    return measure_pairs(spec, stored.load(store, spec, name), methods, keep)


def _interaction_errors(
    scale: float, confidence: float, spec: KeptCountsSummarizer, state: KeptCounts
) -> dict[str, np.ndarray]:
    return interaction_errors([table[..., 1:] for table in spec.tables(state)], scale, confidence)


def _count_errors(
    function: Callable[..., Any], scale: float, confidence: float, spec: KeptCountsSummarizer, state: KeptCounts
) -> list[tuple[float, float, float, int]]:
    bars = [function(table[..., 0], scale, confidence) for table in spec.tables(state)]
    return [(float(b.standard_error), float(b.low), float(b.high), b.degrees + 1) for b in bars]
