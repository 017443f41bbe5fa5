"""The summaries that pass 1 computes of all columns, by block of columns.

Blocks are cut so that a state fits its share of ``budget.memory``. The cut
depends on the columns and the budget alone: not on the engine, the rows or the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from featflow.columns.column import Column
from featflow.config import Config
from featflow.execution.column_blocks import column_blocks
from featflow.measures.codebook import ColumnStates, histogram_cells
from featflow.summaries import (
    LevelsSummarizer,
    Moments,
    MomentsSummarizer,
    RowCountSummarizer,
    Summarizer,
    ValueHistogramsSummarizer,
)

__all__ = ["ProfileSpecs", "profile_specs", "state_bytes"]

STATE_SHARE = 16
"""A task's states may take this part, one in so many, of ``budget.memory``: two tasks with four working copies of their
states take half. Larger states would stop a second task, smaller ones cut columns into more blocks, each of which
reads anew."""


def state_bytes(config: Config) -> int:
    """Return the bytes that the states of one task may take."""
    return int(config.budget.memory) // STATE_SHARE


@dataclass(frozen=True)
class ProfileSpecs:
    """The specs of pass 1, by block of columns."""

    numbers: tuple[Column, ...]
    categories: tuple[Column, ...]
    moments: tuple[MomentsSummarizer, ...]
    quantiles: tuple[ValueHistogramsSummarizer, ...]
    levels: tuple[LevelsSummarizer, ...]
    rows: tuple[RowCountSummarizer, ...]

    def all(self) -> tuple[Summarizer[Any], ...]:
        """Return the specs by their columns: a task then takes those of the same columns, and reads them once."""
        specs: tuple[Any, ...] = (*self.moments, *self.quantiles, *self.levels, *self.rows)
        place: dict[Any, int] = {column: index for index, column in enumerate(self.numbers + self.categories)}
        return tuple(sorted(specs, key=lambda spec: place.get(next(iter(spec.columns), None), -1)))

    def states(self, load: Callable[[Any], Any]) -> ColumnStates:
        """Return the merged states, column by column.

        Parameters
        ----------
        load
            Returns the merged state of a spec.
        """
        return ColumnStates(
            rows=load((*self.rows, *self.moments, *self.levels)[0]).rows,
            numbers=self.numbers,
            categories=self.categories,
            moments=joined([load(spec) for spec in self.moments]) if self.moments else MomentsSummarizer(()).empty(),
            histograms=tuple(histogram for spec in self.quantiles for histogram in load(spec).histograms),
            levels=tuple(counts for spec in self.levels for counts in load(spec).columns),
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
        column_blocks(partial(ValueHistogramsSummarizer, cells=cells), numbers, limit),
        column_blocks(partial(LevelsSummarizer, limit=config.codebook.levels), categories, limit),
        () if columns else (RowCountSummarizer(()),),
    )


def joined(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all columns from those of blocks of columns over the same rows."""
    values = {field.name: [getattr(moments, field.name) for moments in parts] for field in fields(Moments)}
    arrays: dict[str, Any] = {n: np.concatenate(v) for n, v in values.items() if isinstance(v[0], np.ndarray)}
    return replace(parts[0], **arrays)
