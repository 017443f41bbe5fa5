"""Requests of pass 2: relations between columns, on codings that are known.

Each says which columns its summary is of; the context joins those of one kind over all analyses and cuts them into
blocks that depend on the columns and the budget alone: not on the engine, the rows or the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from featflow.columns.codebook import CategoryCoding, Coding, NumberCoding
from featflow.columns.column import Column, Role
from featflow.execution.column_blocks import blocks
from featflow.execution.context import Context
from featflow.summaries import (
    CodesSummarizer,
    CoMomentsSummarizer,
    EqualRowsSummarizer,
    GroupedMomentsSummarizer,
    PairCountsByGroupSummarizer,
    PairCountsSummarizer,
    PairMomentsByGroupSummarizer,
    PairRankMomentsByGroupSummarizer,
    RankCoMomentsSummarizer,
    TargetCountsSummarizer,
    TimeCountsSummarizer,
)

__all__ = [
    "CodesOfColumns",
    "ComomentsOfNumbers",
    "CountsOfFeatures",
    "CountsOfPairs",
    "CountsOverTime",
    "EqualRowsOfPairs",
    "MomentsByCategory",
    "MomentsOfPairs",
    "RanksOfNumbers",
    "counts_by_group",
]

NUMBERS_BESIDE_CATEGORIES = 64
"""Numbers for which a block of categories leaves room in a state's memory. With less, categories fill the state and
numbers are cut into slivers, each of which goes over the categories again."""

PAIRS_AT_ONCE = 256
"""Pairs that one task recounts: more share the cost of reading codes, fewer let more tasks run at once."""

NUMBERS_BY_GROUP = 128
"""Numbers up to which the moments of all pairs are kept by jackknife group: error bars then need no second pass over
values. With 32 groups an array of float64 of 128 x 128 pairs takes 4 MiB, and grows with the square of the numbers."""


@dataclass(frozen=True)
class CountsOfFeatures:
    """Features against targets, within strata, by jackknife group."""

    strata: tuple[str, ...] = ()
    """Columns within whose joint levels rows are counted apart; an analysis without strata adds these counts up."""

    def join(self, other: Self) -> Self:
        """Return counts within the strata of either."""
        return type(self)(tuple(dict.fromkeys(self.strata + other.strata)))

    def specs(self, context: Context) -> tuple[TargetCountsSummarizer, ...]:
        """Return a spec a block of features."""
        targets, strata = context.codings_of(Role.TARGET), tuple(context.codebook[name] for name in self.strata)

        def make(block: tuple[Coding, ...]) -> TargetCountsSummarizer:
            return TargetCountsSummarizer(block, targets, strata, context.jackknife, context.dataset.weight)

        return context.blocks(make, context.codings_of(Role.FEATURE)) if targets else ()


@dataclass(frozen=True)
class CountsOverTime:
    """Features against targets, by unit of event time."""

    unit: float
    """Width of a unit, in event time's own unit; microseconds where event time holds times."""

    def join(self, other: Self) -> Self:
        """Return counts in the finer units."""
        return min(self, other, key=lambda each: each.unit)

    def specs(self, context: Context) -> tuple[TimeCountsSummarizer, ...]:
        """Return a spec a block of features."""
        targets, (time,) = context.codings_of(Role.TARGET), context.dataset.with_role(Role.EVENT_TIME)

        def make(block: tuple[Coding, ...]) -> TimeCountsSummarizer:
            return TimeCountsSummarizer(block, targets, time, self.unit)

        return context.blocks(make, context.codings_of(Role.FEATURE)) if targets else ()


@dataclass(frozen=True)
class _NoChoices:
    """A request without choices."""

    def join(self, other: Self) -> Self:  # noqa: ARG002
        """Return the same."""
        return self


@dataclass(frozen=True)
class ComomentsOfNumbers(_NoChoices):
    """Numbers against numbers, by block pair."""

    def specs(self, context: Context) -> tuple[CoMomentsSummarizer, ...]:
        """Return a spec a block pair; by jackknife group where there are few numbers."""
        return _number_specs(CoMomentsSummarizer, context)


@dataclass(frozen=True)
class RanksOfNumbers(_NoChoices):
    """Ranks against ranks, by block pair."""

    def specs(self, context: Context) -> tuple[RankCoMomentsSummarizer, ...]:
        """Return a spec a block pair; by jackknife group where there are few numbers."""
        return _number_specs(RankCoMomentsSummarizer, context)


def _number_specs(kind: Callable[..., Any], context: Context) -> tuple[Any, ...]:
    numbers = _number_codings(context)
    jackknife = context.jackknife if len(numbers) <= NUMBERS_BY_GROUP else None
    return context.block_pairs(partial(kind, weight=context.dataset.weight, jackknife=jackknife), numbers)


def _number_codings(context: Context) -> tuple[NumberCoding, ...]:
    return tuple(coding for coding in context.codings if isinstance(coding, NumberCoding))


@dataclass(frozen=True)
class MomentsByCategory(_NoChoices):
    """Numbers by the levels of categories, by block pair."""

    def specs(self, context: Context) -> tuple[GroupedMomentsSummarizer, ...]:
        """Return a spec a block of categories and a block of numbers."""
        weight, limit, numbers = context.dataset.weight, context.workspace.state_bytes, _number_codings(context)
        categories = tuple(coding for coding in context.codings if isinstance(coding, CategoryCoding))

        def nbytes(some_numbers: tuple[NumberCoding, ...], some_categories: tuple[CategoryCoding, ...]) -> int:
            return GroupedMomentsSummarizer(some_categories, some_numbers, weight).nbytes()

        return tuple(
            GroupedMomentsSummarizer(left, right, weight)
            for left in blocks(categories, partial(nbytes, numbers[:NUMBERS_BESIDE_CATEGORIES]), limit)
            for right in blocks(numbers, partial(nbytes, some_categories=left), limit)
        )


@dataclass(frozen=True)
class EqualRowsOfPairs:
    """Pairs of columns, and in how many rows both hold the same value."""

    pairs: tuple[tuple[Column, Column], ...]

    def join(self, other: Self) -> Self:
        """Return the pairs of both."""
        return type(self)(tuple(dict.fromkeys(self.pairs + other.pairs)))

    def specs(self, context: Context) -> tuple[EqualRowsSummarizer, ...]:  # noqa: ARG002
        """Return one spec of all pairs."""
        return (EqualRowsSummarizer(self.pairs),) if self.pairs else ()


@dataclass(frozen=True)
class CodesOfColumns(_NoChoices):
    """The codes of all columns, stored by shard, with the target classes, groups and weights of their rows.

    Every analysis gets the same states, so that switching one on or off renames no state of another.
    """

    def specs(self, context: Context) -> tuple[CodesSummarizer, ...]:
        """Return a spec a block of columns, then the spec of targets, groups and weights."""
        rows = max(shard.rows for shard in context.dataset.shards)
        columns = context.blocks(partial(CodesSummarizer, targets=(), shard_rows=rows), context.codings)
        targets = context.codings_of(Role.TARGET)
        return (*columns, CodesSummarizer((), targets, rows, context.dataset.weight, context.jackknife))


@dataclass(frozen=True)
class CountsOfPairs:
    """Columns against columns on codes, by block pair; counted from the codes, not from the shards."""

    by_class: bool = False
    """Whether rows of each class of each target are counted apart."""
    features_only: bool = False
    """Whether only features are counted; the others are targets, which stand against all as columns."""

    def join(self, other: Self) -> Self:
        """Return counts by class if either asks for them, and of all columns unless both ask for features only."""
        return type(self)(self.by_class or other.by_class, self.features_only and other.features_only)

    def specs(self, context: Context) -> tuple[PairCountsSummarizer, ...]:
        """Return a spec a block pair."""
        targets = context.codings_of(Role.TARGET) if self.by_class else ()
        codings = context.codings_of(Role.FEATURE) if self.features_only else context.codings
        return context.block_pairs(
            partial(PairCountsSummarizer, targets=targets, weight=context.dataset.weight), codings
        )


# --- a further look at few pairs ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MomentsOfPairs:
    """Moments of some pairs of numbers by jackknife group, of values or of ranks."""

    pairs: tuple[tuple[str, str], ...]
    ranks: bool = False

    def join(self, other: Self) -> Self:
        """Return the pairs of both."""
        return replace(self, pairs=tuple(dict.fromkeys(self.pairs + other.pairs)))

    def specs(self, context: Context) -> tuple[PairMomentsByGroupSummarizer | PairRankMomentsByGroupSummarizer, ...]:
        """Return a spec a block of pairs."""
        kind = PairRankMomentsByGroupSummarizer if self.ranks else PairMomentsByGroupSummarizer
        make = partial(kind, jackknife=context.jackknife, weight=context.dataset.weight)
        return context.blocks(make, tuple((context.codebook[a], context.codebook[b]) for a, b in self.pairs))


def counts_by_group(
    context: Context, pairs: Sequence[tuple[str, ...]], target: str | None
) -> tuple[PairCountsByGroupSummarizer, ...]:
    """Return specs that count pairs by jackknife group from stored codes, few pairs each, so that tasks run at once.

    Parameters
    ----------
    target
        Target by whose classes rows are counted apart; None counts all rows together.
    """
    make = partial(
        PairCountsByGroupSummarizer,
        target=context.codebook[target] if target else None,
        groups=context.jackknife.groups,
        weight=context.dataset.weight,
    )
    codings = tuple(tuple(context.codebook[name] for name in pair) for pair in pairs)
    return context.blocks(make, codings, PAIRS_AT_ONCE)
