"""Counts of every feature's pair codes against every target's classes, by unit of time.

Units are numbered from 1970, or from 0. Where more than `MOST_UNITS` hold rows, neighbours are joined two by two: the
width is the finest at which the whole data has no more, and a part never needs a coarser one, so the state does not
depend on the order of merging, and a new day changes no state of earlier ones. Integers. Cost: 8 bytes a unit
and cell, the sum over features and targets of levels x classes; pair codes keep that small for any column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import classes_of, codes_of
from featflow.columns.codebook import Coding, pair_cardinality, target_classes
from featflow.columns.column import Column
from featflow.columns.values import finite_values
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec

__all__ = ["TimeCounts", "TimeCountsSummarizer"]

MOST_UNITS = 128
"""Units of a state that hold rows, at most: 16 for each of 8 windows, and a state 128 times as large as one table."""
FARTHEST = 2.0**62
"""Number of the last unit: all later rows lie in it, as it must fit an int64."""


@dataclass(frozen=True, slots=True, eq=False)
class TimeCounts(ArrayState):
    """Contingency tables, one a unit of time, target by target and in it feature by feature."""

    undated: int
    """Rows without a finite time, which are in no unit."""
    level: int
    """Times that units were joined two by two."""
    units: np.ndarray
    """Number of every unit that holds rows, shape (units,), int64, ascending."""
    counts: np.ndarray
    """Rows of every cell, shape (units, cells), int64; `TimeCountsSummarizer.tables` cuts it."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        level, units = _common_units([self, other])
        counts = self.at(level, units) + other.at(level, units)
        return type(self)(self.rows + other.rows, self.undated + other.undated, level, units, counts)

    def at(self, level: int, units: np.ndarray) -> np.ndarray:
        """Return the counts of some units, its own among them, joined to a level no finer than its own."""
        if level == self.level and np.array_equal(units, self.units):
            return self.counts
        counts = np.zeros((len(units), self.counts.shape[1]), np.int64)
        for place, row in zip(np.searchsorted(units, self.units >> (level - self.level)), self.counts, strict=True):
            counts[place] += row
        return counts


@dataclass(frozen=True, slots=True)
class TimeCountsSummarizer(Spec[TimeCounts]):
    """Spec of `TimeCounts`.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Kind
    >>> x, y = (category_coding(Column(n, "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16) for n in "xy")
    >>> spec = TimeCountsSummarizer((x,), (y,), Column("t", "int64", Kind.NUMBER), unit=10.0)
    >>> values = {"x": ["a", "a", "b"], "y": ["a", "b", "a"]}
    >>> columns = {name: pa.array(value).dictionary_encode() for name, value in values.items()}
    >>> state = spec.summarize(pa.record_batch(columns | {"t": [25, 7, None]}))
    >>> state.units.tolist(), state.undated, spec.tables(state, 0)[1, 1:3, 1:3].tolist()
    ([0, 2], 1, [[1, 0], [0, 0]])
    """

    name = "time_counts"
    state = TimeCounts
    remedy = "lower codebook.pair_bins, or set analyses.ranking.windows to 0"

    features: tuple[Coding, ...]
    """Codings of the features."""
    targets: tuple[Coding, ...]
    """Codings of the targets."""
    time: Column
    """Event time: a number."""
    unit: float
    """Width of a unit before any are joined, in the time's own unit, microseconds for times."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of all codings and the event time."""
        return tuple(dict.fromkeys((*(coding.column for coding in self.features + self.targets), self.time)))

    def starts(self) -> np.ndarray:
        """Return where each feature's levels start among those of all, and where they end, shape (features + 1,)."""
        return np.cumsum([0, *(pair_cardinality(feature) for feature in self.features)])

    def tables(self, state: TimeCounts, target: int) -> np.ndarray:
        """Return a target's tables, shape (units, levels of all features, classes); level 0 and class 0 are missing."""
        levels, start, end = int(self.starts()[-1]), *self._targets()[target : target + 2]
        return state.counts[:, start:end].reshape(len(state.units), levels, (end - start) // levels)

    def empty(self) -> TimeCounts:
        """Return the counts of no rows."""
        return TimeCounts(0, 0, 0, np.empty(0, np.int64), np.zeros((0, self._targets()[-1]), np.int64))

    def summarize(self, batch: pa.RecordBatch) -> TimeCounts:
        """Return the counts of a batch."""
        return self.update(self.empty(), batch)

    def update(self, state: TimeCounts, batch: pa.RecordBatch) -> TimeCounts:
        """Return the counts of a state's rows and a batch's, in the state's own array if it has all units."""
        values, dated = finite_values(batch.column(self.time.name))
        rows: np.ndarray | slice = slice(None) if dated.all() else np.flatnonzero(dated)
        numbers = self._unit_numbers(values[rows])
        batch_units = TimeCounts(0, 0, 0, np.unique(numbers), np.empty((0, 0), np.int64))
        level, units = _common_units([state, batch_units])
        counts = state.at(level, units)
        place = np.searchsorted(units, numbers >> level)
        if not len(numbers):
            return TimeCounts(state.rows + batch.num_rows, state.undated + batch.num_rows, level, units, counts)
        levels = np.diff(self.starts()).tolist()
        for target, start in zip(self.targets, self._targets(), strict=False):
            row_classes, classes = classes_of(batch, target)[rows], _class_count(target)
            last = {count: place * (count * classes) + row_classes for count in set(levels)}
            for feature, count in zip(self.features, levels, strict=True):
                cells = (feature.groups.astype(np.int64) * classes).take(codes_of(batch, feature)[rows])
                cells += last[count]
                cell_counts = np.bincount(cells, minlength=len(units) * count * classes)
                counts[:, start : start + count * classes] += cell_counts.reshape(len(units), -1)
                start += count * classes  # noqa: PLW2901
        undated = batch.num_rows - len(numbers)
        return TimeCounts(state.rows + batch.num_rows, state.undated + undated, level, units, counts)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * MOST_UNITS * (1 + self._targets()[-1])

    def _targets(self) -> list[int]:
        """Return where each target's cells start, and where they end."""
        levels = int(self.starts()[-1])
        return [0, *np.cumsum([levels * _class_count(target) for target in self.targets]).tolist()]

    def _unit_numbers(self, times: np.ndarray) -> np.ndarray:
        """Return the number of every time's unit, int64."""
        if times.dtype.kind == "f":
            numbers = np.clip(np.floor(times.astype(np.float64) / self.unit), -FARTHEST, FARTHEST)
            return np.asarray(numbers, np.int64)
        return np.asarray(np.minimum(times // times.dtype.type(self.unit), times.dtype.type(FARTHEST)), np.int64)


def _class_count(target: Coding) -> int:
    return int(target_classes(target).max()) + 1


def _common_units(states: list[TimeCounts]) -> tuple[int, np.ndarray]:
    """Return the finest level at which states together have few enough units, and those."""
    level = max(state.level for state in states)
    units = np.unique(np.concatenate([state.units >> (level - state.level) for state in states]))
    while len(units) > MOST_UNITS:
        level, units = level + 1, np.unique(units >> 1)
    return level, units
