"""Requests of pass 2: relations between columns, on codings that are known.

Each says which columns its summary is of; the context joins those of one kind over all analyses and cuts them into
blocks that depend on the columns and the budget alone: not on the engine, the rows or the shards.
"""

from __future__ import annotations

from collections.abc import Callable
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
"""Numbers that a block of categories must leave room for, so that neither side is cut into slivers."""

PAIRS_AT_ONCE = 256
"""Kept pairs that one task looks at again."""

NUMBERS_BY_GROUP = 128
"""Numbers up to which the moments of all pairs are kept by group: error bars then take no further look at values."""


@dataclass(frozen=True)
class CountsOfFeatures:
    """Features against targets, within strata, by jackknife group."""

    strata: tuple[str, ...] = ()
    """Columns within whose joint levels rows are counted apart; who wants none adds them up."""

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
    """Width of a unit, in event time's own unit, of times microseconds."""

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
class _Every:
    """A request without choices."""

    def join(self, other: Self) -> Self:  # noqa: ARG002
        """Return the same."""
        return self


@dataclass(frozen=True)
class ComomentsOfNumbers(_Every):
    """Numbers against numbers, by block pair."""

    def specs(self, context: Context) -> tuple[CoMomentsSummarizer, ...]:
        """Return a spec a block pair; by jackknife group where there are few numbers."""
        return _of_numbers(CoMomentsSummarizer, context)


@dataclass(frozen=True)
class RanksOfNumbers(_Every):
    """Ranks against ranks, by block pair."""

    def specs(self, context: Context) -> tuple[RankCoMomentsSummarizer, ...]:
        """Return a spec a block pair; by jackknife group where there are few numbers."""
        return _of_numbers(RankCoMomentsSummarizer, context)


def _of_numbers(kind: Callable[..., Any], context: Context) -> tuple[Any, ...]:
    numbers = _numbers(context)
    jackknife = context.jackknife if len(numbers) <= NUMBERS_BY_GROUP else None
    return context.block_pairs(partial(kind, weight=context.dataset.weight, jackknife=jackknife), numbers)


def _numbers(context: Context) -> tuple[NumberCoding, ...]:
    return tuple(coding for coding in context.codings if isinstance(coding, NumberCoding))


@dataclass(frozen=True)
class MomentsByCategory(_Every):
    """Numbers by the levels of categories, by block pair."""

    def specs(self, context: Context) -> tuple[GroupedMomentsSummarizer, ...]:
        """Return a spec a block of categories and a block of numbers."""
        weight, limit, numbers = context.dataset.weight, context.workspace.state_bytes, _numbers(context)
        categories = tuple(coding for coding in context.codings if isinstance(coding, CategoryCoding))

        def nbytes(of_numbers: tuple[NumberCoding, ...], of_categories: tuple[CategoryCoding, ...]) -> int:
            return GroupedMomentsSummarizer(of_categories, of_numbers, weight).nbytes()

        return tuple(
            GroupedMomentsSummarizer(left, right, weight)
            for left in blocks(categories, partial(nbytes, numbers[:NUMBERS_BESIDE_CATEGORIES]), limit)
            for right in blocks(numbers, partial(nbytes, of_categories=left), limit)
        )


@dataclass(frozen=True)
class EqualRowsOfPairs:
    """In how many rows pairs of columns are equal."""

    pairs: tuple[tuple[Column, Column], ...]

    def join(self, other: Self) -> Self:
        """Return the pairs of both."""
        return type(self)(tuple(dict.fromkeys(self.pairs + other.pairs)))

    def specs(self, context: Context) -> tuple[EqualRowsSummarizer, ...]:  # noqa: ARG002
        """Return one spec of all pairs."""
        return (EqualRowsSummarizer(self.pairs),) if self.pairs else ()


@dataclass(frozen=True)
class CodesOfColumns(_Every):
    """The codes of all columns, kept by shard; classes of targets, groups and weights always lie beside them.

    Whoever asks gets the same, so that an analysis that is switched on or off renames no other's states.
    """

    def specs(self, context: Context) -> tuple[CodesSummarizer, ...]:
        """Return a spec a block of columns, then that of what lies beside them."""
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
        """Return counts by class if either wants them, of all columns unless both want features only."""
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
    context: Context, pairs: list[tuple[str, str]], target: str | None
) -> tuple[PairCountsByGroupSummarizer, ...]:
    """Return the specs of a further look at the codes of pairs, few pairs each, so that many run at once.

    Parameters
    ----------
    target
        By whose classes rows are counted apart; None for none.
    """
    make = partial(
        PairCountsByGroupSummarizer,
        target=context.codebook[target] if target else None,
        groups=context.jackknife.groups,
        weight=context.dataset.weight,
    )
    codings = tuple((context.codebook[a], context.codebook[b]) for a, b in pairs)
    return context.blocks(make, codings, PAIRS_AT_ONCE)
