"""Groups of redundant features: those that repeat one another, and one of each to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from rich.console import RenderableType

from featflow.analyses.group.grouping import (
    DENSE_UP_TO,
    Candidate,
    effective_features,
    group_rows,
    grouped,
    representatives,
    similarity_to_heads,
)
from featflow.analyses.group.options import GroupOptions
from featflow.analyses.group.similarity import Similarities, SimilarityMeasure, measure_similarity
from featflow.analyses.group.tables import GROUP
from featflow.analyses.protocol import Analysis
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.requests import CodesOfColumns, CountsOfPairs
from featflow.columns.column import Role
from featflow.execution import state_store
from featflow.execution.context import Context
from featflow.execution.requests import Measurement, Request
from featflow.execution.stored_columns import StoredColumns
from featflow.measures.options import EXHAUSTIVE_UP_TO
from featflow.storage.run import Run
from featflow.summaries import PairCountsSummarizer

__all__ = ["Group"]

PAIRS = CountsOfPairs(features_only=True)
DIGITS = 12
"""Digits after the point in which relevance is compared: features that say the same share a rank."""
MEASURE_COPIES = 8
"""Memory that measuring a block takes, in copies of its state."""


class Group(Analysis[GroupOptions]):
    """The group table."""

    name = "group"
    tables = (GROUP,)

    def relate(self, context: Context) -> Iterable[Request]:
        """Return codes, and counts of all pairs unless a sample says how similar they are."""
        return (CodesOfColumns(), PAIRS) if context.exhaustive else (CodesOfColumns(),)

    def measure(self, context: Context) -> Iterable[Measurement]:
        """Return the similarities of every block; none where a sample is counted."""
        if context.exhaustive:
            yield Measurement(PAIRS, measure_similarity, self._work(context))

    def write(self, context: Context) -> None:
        """Write the groups, those of the best features first."""
        names = _names(context)
        blocks = self._blocks(context)
        groups = grouped(blocks, len(names), self.options.similarity)
        candidates = _candidates(context, names)
        heads = representatives(candidates, groups)
        context.write(GROUP, [group_rows(candidates, heads, similarity_to_heads(blocks, heads))])
        context.note(
            self.name,
            features=len(names),
            groups=len(np.unique(groups)),
            effective_features=effective_features(blocks, len(names)),
            similarity=self.options.similarity,
        )
        if len(names) > DENSE_UP_TO:
            context.warn(
                f"group: {len(names):,} features are more than {DENSE_UP_TO:,}, whose similarities are held at once; "
                f"groups are chains of pairs of similarity {self.options.similarity:g} or more, so two features of a "
                "group may be less alike; a higher analyses.group.similarity makes them tighter"
            )

    def _work(self, context: Context) -> SimilarityMeasure:
        names = _names(context)
        least = self.options.similarity if len(names) > DENSE_UP_TO else None
        return SimilarityMeasure({name: index for index, name in enumerate(names)}, least)

    def _blocks(self, context: Context) -> list[Similarities]:
        """Return the similarities of all pairs: as measured on all rows, else of a sample that is counted now."""
        if context.exhaustive:
            return context.results(measure_similarity)
        rows = context.columns.rows
        share = min(1.0, self.options.sample / max(rows, 1))
        specs = context.specs(PAIRS)
        memory = max((spec.nbytes() for spec in specs), default=0) * max(state_store.WORKING_COPIES, MEASURE_COPIES)
        work = _Sample(context.codes, specs, self._work(context), share)
        stage = "similarities of a sample"
        blocks = list(context.map(_measure_sample, work, range(len(specs)), stage, memory, gpus=True))
        context.note(self.name, sample=share)
        context.warn(
            f"group: similarities are of about {min(self.options.sample, rows):,} sampled rows of {rows:,}, as pairs "
            f"times rows are beyond {EXHAUSTIVE_UP_TO:.0e}; analyses.group.sample says how many"
        )
        return blocks

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the groups of two features or more."""
        from featflow.analyses.group import report  # noqa: PLC0415  polars, for those who look

        return report.section(run, limits)

    @classmethod
    def shown(cls, run: Run, width: int) -> RenderableType | None:
        """Return how many features repeat others, and which."""
        from featflow.analyses.group import terminal  # noqa: PLC0415  polars, for those who look

        return terminal.shown(run, width)


@dataclass(frozen=True)
class _Sample:
    codes: StoredColumns
    specs: tuple[PairCountsSummarizer, ...]
    work: SimilarityMeasure
    share: float


def _measure_sample(sample: _Sample, index: int) -> Similarities:
    spec = sample.specs[index]
    return measure_similarity(sample.work, None, spec, sample.codes.count(spec, sample.share))


def _names(context: Context) -> list[str]:
    """Return the features that have codings, all but texts, in the order of their names."""
    return sorted(coding.column.name for coding in context.codings_of(Role.FEATURE))


def _candidates(context: Context, names: list[str]) -> list[Candidate]:
    """Return what decides between features: their best rank over the targets, and how many rows they lack."""
    columns = context.columns
    missing = {column.name: columns.rows - int(n) for column, n in zip(columns.numbers, columns.moments.n, strict=True)}
    missing |= {column.name: int(each.missing) for column, each in zip(columns.categories, columns.levels, strict=True)}
    best: dict[str, dict[str, Any]] = {}
    for row in _ranked(context):
        if row["feature"] not in best or row["rank"] < best[row["feature"]]["rank"]:
            best[row["feature"]] = row
    return [Candidate(name, missing[name], **_relevance(best.get(name))) for name in names]


def _relevance(row: dict[str, Any] | None) -> dict[str, Any]:
    return {"rank": row["rank"], "target": row["target"], "relevance": row["corrected_mi"]} if row else {}


def _ranked(context: Context) -> Iterable[dict[str, Any]]:
    """Yield target, feature and corrected_mi of the ranking, best first, with a rank that equal features share."""
    ranking = context.table("ranking")
    if ranking is None:
        return
    ranking = ranking.select(["target", "feature", "corrected_mi"]).filter(pc.is_valid(ranking["corrected_mi"]))
    target, before, rank = None, np.nan, 0
    order = [("target", "ascending"), ("corrected_mi", "descending"), ("feature", "ascending")]
    for place, row in enumerate(ranking.sort_by(order).to_pylist()):
        value = round(row["corrected_mi"], DIGITS)
        if row["target"] != target:
            target, first, before = row["target"], place, np.nan
        if value != before:
            rank, before = place - first + 1, value
        yield row | {"rank": rank}
