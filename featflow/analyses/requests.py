"""Which summaries each analysis needs, over which blocks of columns.

Blocks are cut so that a state fits its share of ``budget.memory``. The cut
depends on the columns and the budget alone: not on the engine, the rows or the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from featflow.analyses.interaction.options import SAMPLED_FROM
from featflow.columns.codebook import CategoryCoding, Codebook, Coding, NumberCoding
from featflow.columns.column import Column, Role
from featflow.columns.jackknife_groups import Grouping
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.execution.column_blocks import block_pairs, blocks, column_blocks
from featflow.measures.codebook import ColumnStates, histogram_cells
from featflow.pipeline.fitted import Basis
from featflow.summaries import (
    AgreementSummarizer,
    CodesSummarizer,
    CoMomentsSummarizer,
    DistinctSummarizer,
    FrequentSummarizer,
    GroupedMomentsSummarizer,
    KeptCountsSummarizer,
    KeptMomentsSummarizer,
    KeptRankMomentsSummarizer,
    LevelsSummarizer,
    Moments,
    MomentsSummarizer,
    PairCountsSummarizer,
    QuantileSketchSummarizer,
    QuantilesSummarizer,
    RankCoMomentsSummarizer,
    Summarizer,
    TargetCountsSummarizer,
    TimeCountsSummarizer,
)

__all__ = [
    "ProfileSpecs",
    "RelationSpecs",
    "kept_counts",
    "kept_moments",
    "profile_specs",
    "relation_specs",
    "searches_samples",
    "state_bytes",
]

STATE_SHARE = 16
"""A task's states may take one part in so many of ``budget.memory``: two tasks with their working copies take half."""

NUMBERS_BESIDE_CATEGORIES = 64
"""Numbers that a block of categories must leave room for, so that neither side is cut into slivers."""

PAIRS_AT_ONCE = 256
"""Kept pairs that one task looks at again."""

NUMBERS_BY_GROUP = 128
"""Numbers up to which the moments of all pairs are kept by group: error bars then take no further look at values."""


def state_bytes(config: Config) -> int:
    """Return the bytes that the states of one task may take."""
    return int(config.budget.memory) // STATE_SHARE


@dataclass(frozen=True)
class ProfileSpecs:
    """Pass 1, by block of columns."""

    numbers: tuple[Column, ...]
    categories: tuple[Column, ...]
    moments: tuple[MomentsSummarizer, ...]
    quantiles: tuple[QuantilesSummarizer, ...]
    quantile_sketches: tuple[QuantileSketchSummarizer, ...]
    levels: tuple[LevelsSummarizer, ...]
    frequent: tuple[FrequentSummarizer, ...]
    distinct: tuple[DistinctSummarizer, ...]

    def all(self) -> tuple[Summarizer[Any], ...]:
        """Return the specs, those of the same columns together: one task reads these columns once."""
        of_numbers: tuple[Any, ...] = (*self.moments, *self.quantiles, *self.quantile_sketches)
        specs = (*of_numbers, *self.levels, *self.frequent, *self.distinct)
        place: dict[Any, int] = {column: index for index, column in enumerate(self.numbers + self.categories)}
        return tuple(sorted(specs, key=lambda spec: place.get(next(iter(spec.columns), None), -1)))

    def states(self, load: Callable[[Any], Any]) -> ColumnStates:
        """Return the whole states, column by column.

        Parameters
        ----------
        load
            Returns the whole state of a spec.
        """
        distinct = [load(spec) for spec in self.distinct]
        return ColumnStates(
            rows=distinct[0].rows,
            numbers=self.numbers,
            categories=self.categories,
            moments=joined([load(spec) for spec in self.moments]) if self.moments else MomentsSummarizer(()).empty(),
            histograms=tuple(histogram for spec in self.quantiles for histogram in load(spec).histograms),
            levels=tuple(counts for spec in self.levels for counts in load(spec).columns),
            quantile_sketches=tuple(data for spec in self.quantile_sketches for data in load(spec).data),
            frequent_sketches=tuple(data for spec in self.frequent for data in load(spec).data),
            distinct_sketches=tuple(data for state in distinct for data in state.data),
        )


def profile_specs(columns: Sequence[Column], config: Config, weight: Column | None = None) -> ProfileSpecs:
    """Return the specs of pass 1."""
    numbers = tuple(column for column in columns if column.is_numeric)
    categories = tuple(column for column in columns if not column.is_numeric)
    cells, limit = histogram_cells(config.codebook, len(numbers)), state_bytes(config)
    moments = column_blocks(partial(MomentsSummarizer, weight=weight), numbers, limit)
    return ProfileSpecs(
        numbers,
        categories,
        moments or ((MomentsSummarizer((), weight),) if weight else ()),
        column_blocks(partial(QuantilesSummarizer, cells=cells), numbers, limit),
        column_blocks(QuantileSketchSummarizer, numbers, limit),
        column_blocks(partial(LevelsSummarizer, limit=config.codebook.levels), categories, limit),
        column_blocks(FrequentSummarizer, categories, limit),
        (column_blocks(DistinctSummarizer, numbers, limit) + column_blocks(DistinctSummarizer, categories, limit))
        or (DistinctSummarizer(()),),  # which counts rows
    )


@dataclass(frozen=True)
class RelationSpecs:
    """Pass 2."""

    grouping: Grouping
    """Rows that the jackknife deletes together."""
    targets: tuple[TargetCountsSummarizer, ...]
    """Features against targets, by block of features."""
    comoments: tuple[CoMomentsSummarizer, ...]
    """Numbers against numbers, by block pair."""
    ranks: tuple[RankCoMomentsSummarizer, ...]
    """Ranks against ranks, by block pair."""
    grouped: tuple[GroupedMomentsSummarizer, ...]
    """Categories against numbers, by block pair."""
    agreement: tuple[AgreementSummarizer, ...]
    """Columns that may be duplicates."""
    codes: tuple[CodesSummarizer, ...]
    """Codes of all columns in pairs, by block of columns; none if no pair is wanted."""
    pairs: tuple[PairCountsSummarizer, ...]
    """Columns against columns on codes, by block pair; counted from the codes, not from the shards."""

    screens: tuple[PairCountsSummarizer, ...] = ()
    """Features against features about the targets, for a search on samples; ``pairs`` has no target then."""

    weighted: bool = False
    """Whether rows have weights."""

    times: tuple[TimeCountsSummarizer, ...] = ()
    """Features against targets by unit of event time, by block of features."""

    def over_shards(self) -> tuple[Summarizer[Any], ...]:
        """Return the specs that are computed from shards and merged."""
        return (*self.targets, *self.times, *self.comoments, *self.ranks, *self.grouped, *self.agreement)


def relation_specs(basis: Basis, config: Config, dataset: Dataset, rows: int, shard_rows: int) -> RelationSpecs:
    """Return the specs of pass 2.

    Parameters
    ----------
    rows
        Of the dataset.
    shard_rows
        Rows of the largest shard.
    """
    codebook, grouping, weight = basis.codebook, basis.grouping, dataset.weight
    limit, analyses = state_bytes(config), config.analyses
    codings = tuple(coding for coding in codebook.codings if coding.column.role is not Role.EVENT_TIME)
    features = tuple(coding for coding in codings if coding.column.role is Role.FEATURE)
    targets = tuple(coding for coding in codings if coding.column.role is Role.TARGET)
    numbers = tuple(coding for coding in codings if isinstance(coding, NumberCoding))
    categories = tuple(coding for coding in codings if isinstance(coding, CategoryCoding))
    methods = set(analyses.correlation.methods) if analyses.correlation else set()
    interactions = analyses.interaction is not None and bool(targets)
    sampled = interactions and searches_samples(config, len(features), rows)
    counted = bool(methods & {"cramers_v", "mutual_information"})
    pairs = (interactions and not sampled) or counted
    of_targets, pair_targets = targets if interactions else (), () if sampled or not interactions else targets
    ranking = analyses.ranking if targets else None
    strata = tuple(codebook[name] for name in dict.fromkeys(ranking.strata)) if ranking else ()

    by_group = grouping if len(numbers) <= NUMBERS_BY_GROUP else None

    def target_counts(block: tuple[Coding, ...]) -> TargetCountsSummarizer:
        return TargetCountsSummarizer(block, targets, strata, grouping, dataset.weight)

    return RelationSpecs(
        grouping=grouping,
        targets=column_blocks(target_counts, features, limit) if ranking else (),
        comoments=block_pairs(partial(CoMomentsSummarizer, weight=weight, grouping=by_group), numbers, limit)
        if "pearson" in methods
        else (),
        ranks=block_pairs(partial(RankCoMomentsSummarizer, weight=weight, grouping=by_group), numbers, limit)
        if "spearman" in methods
        else (),
        grouped=tuple(
            GroupedMomentsSummarizer(left, right, weight)
            for left in blocks(categories, partial(_grouped_bytes, weight, numbers[:NUMBERS_BESIDE_CATEGORIES]), limit)
            for right in blocks(numbers, partial(_grouped_bytes, weight, categories=left), limit)
            if "correlation_ratio" in methods
        ),
        agreement=(AgreementSummarizer(basis.compared),) if basis.compared else (),
        codes=_codes(codings, CodesSummarizer((), of_targets, shard_rows, weight, grouping), limit)
        if pairs or sampled
        else (),
        pairs=block_pairs(partial(PairCountsSummarizer, targets=pair_targets, weight=weight), codings, limit)
        if pairs
        else (),
        screens=block_pairs(partial(PairCountsSummarizer, targets=targets, weight=weight), features, limit)
        if sampled
        else (),
        weighted=weight is not None,
        times=_times(basis, config, features, targets) if ranking else (),
    )


def _times(
    basis: Basis, config: Config, features: tuple[Coding, ...], targets: tuple[Coding, ...]
) -> tuple[TimeCountsSummarizer, ...]:
    """Return the specs of the ranking by window; none with weights, as its counts are of rows."""
    times = [coding.column for coding in basis.codebook.codings if coding.column.role is Role.EVENT_TIME]
    ranking, unit = config.analyses.ranking, basis.time_unit
    if not times or unit is None or not ranking or ranking.windows < 2 or config.dataset.weight:
        return ()

    def counts(block: tuple[Coding, ...]) -> TimeCountsSummarizer:
        return TimeCountsSummarizer(block, targets, times[0], unit)

    return column_blocks(counts, features, state_bytes(config))


def kept_counts(
    pairs: list[tuple[str, str]], target: str | None, codebook: Codebook, specs: RelationSpecs, config: Config
) -> list[KeptCountsSummarizer]:
    """Return the specs of the further look at the codes of kept pairs, few pairs each, so that many run at once."""
    beside = specs.codes[-1]
    make = partial(
        KeptCountsSummarizer,
        target=codebook[target] if target else None,
        groups=specs.grouping.groups,
        weight=beside.weight,
    )
    limit = state_bytes(config)
    return list(column_blocks(make, tuple((codebook[a], codebook[b]) for a, b in pairs), limit, PAIRS_AT_ONCE))


def kept_moments(
    kept: dict[str, list[tuple[str, str]]], codebook: Codebook, specs: RelationSpecs, config: Config
) -> list[tuple[str, KeptMomentsSummarizer | KeptRankMomentsSummarizer]]:
    """Return the specs, by method, of the further look at the values of kept pairs of numbers."""
    limit, weight = state_bytes(config), next((spec.weight for spec in (*specs.comoments, *specs.ranks)), None)
    makers: dict[str, Callable[..., KeptMomentsSummarizer | KeptRankMomentsSummarizer]] = {
        "pearson": partial(KeptMomentsSummarizer, grouping=specs.grouping, weight=weight),
        "spearman": partial(KeptRankMomentsSummarizer, grouping=specs.grouping, weight=weight),
    }
    codings = {method: tuple((codebook[a], codebook[b]) for a, b in pairs) for method, pairs in kept.items()}
    return [(method, spec) for method, pairs in codings.items() for spec in column_blocks(makers[method], pairs, limit)]


def _codes(codings: tuple[Coding, ...], beside: CodesSummarizer, limit: int) -> tuple[CodesSummarizer, ...]:
    """Return the specs of all codes, ``beside`` last: what every block pair reads."""
    columns = column_blocks(partial(CodesSummarizer, targets=(), shard_rows=beside.shard_rows), codings, limit)
    return (*columns, beside) if beside.fields else columns


def _grouped_bytes(
    weight: Column | None, numbers: tuple[NumberCoding, ...], categories: tuple[CategoryCoding, ...]
) -> int:
    return GroupedMomentsSummarizer(categories, numbers, weight).nbytes()


def joined(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all columns from those of blocks of columns over the same rows."""
    values = {field.name: [getattr(moments, field.name) for moments in parts] for field in fields(Moments)}
    arrays: dict[str, Any] = {n: np.concatenate(v) for n, v in values.items() if isinstance(v[0], np.ndarray)}
    return replace(parts[0], **arrays)


def searches_samples(config: Config, features: int, rows: int) -> bool:
    """Return whether interactions are searched for on samples of the rows."""
    options = config.analyses.interaction
    if options is None or options.search:
        return options is not None and options.search == "sample"
    return features * (features - 1) / 2 * rows > SAMPLED_FROM
