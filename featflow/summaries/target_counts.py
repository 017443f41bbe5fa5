"""Counts of every feature's fine codes against every target's classes, by group of rows and by stratum.

Integers, so any cut of the rows gives the same state, and states subtract: the
jackknife deletes a group without another look. Weights are summed where they are
given. Cost: 8 bytes a cell, the sum over features and targets of groups x levels
x strata x classes; large tables have fewer groups. Where evidence counts units that rows
share, margins are counted by unit, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import classes_of, codes_of
from featflow.columns.codebook import Coding, pair_cardinality, target_classes
from featflow.columns.column import Column
from featflow.columns.jackknife_groups import JackknifeGroups, group_codes, units_of
from featflow.columns.values import row_weights
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec
from featflow.summaries.sketches.hll import REGISTERS, distinct_estimate, number_registers
from featflow.summaries.unit_margins import UnitMargins

__all__ = ["TargetCounts", "TargetCountsSummarizer"]

TABLE_BYTES = 32 * 2**20
"""Bytes of one table, beyond which its groups are folded: fewer groups for less memory, and error bars less sure."""
MARGIN_BYTES = 16 * 2**20
"""Bytes of one feature's margins by unit, beyond which they are of its pair codes."""
ONE_ROW_FROM = 0.95
"""Units a row from which they are rows: their number is an estimate, off by 1.6 %; a design effect is below 1.06."""
FEWEST_GROUPS = 8
"""Groups that are never folded: with fewer the jackknife gives no error (see `featflow.measures.jackknife`)."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetCounts(ArrayState):
    """Contingency tables, one after another: feature by feature, target by target."""

    present: np.ndarray
    """Rows in which each target is present, shape (targets,), int64."""
    counts: np.ndarray
    """Rows of every cell, int64, or their weight, float64, shape (cells,); `TargetCountsSummarizer.tables` cuts it."""

    units: UnitMargins | None = None
    """Margins of rows in which the target is present, by unit; None if there are too many units, or none asked for."""
    registers: np.ndarray | None = None
    """HyperLogLog registers of the units, shape (registers,), uint8; None if none are asked for."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        units = self.units.merge(other.units) if self.units else None
        counts, present, registers = self.counts + other.counts, self.present + other.present, self.registers
        if registers is not None and other.registers is not None:
            registers = np.maximum(registers, other.registers)
        return type(self)(self.rows + other.rows, present, counts, units, registers)

    @property
    def unit_count(self) -> int | None:
        """Units that hold rows: as they are where their margins are kept, else an estimate; None if none asked for."""
        if self.units is not None:
            return len(self.units.keys)
        return None if self.registers is None else min(round(distinct_estimate(self.registers)[0]), self.rows)


@dataclass(frozen=True, slots=True)
class TargetCountsSummarizer(Spec[TargetCounts]):
    """Spec of `TargetCounts`.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Column, Kind
    >>> x, y = (category_coding(Column(n, "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16) for n in "xy")
    >>> spec = TargetCountsSummarizer((x,), (y,))
    >>> values = {"x": ["a", "a", "b"], "y": ["a", "b", "a"]}
    >>> batch = pa.record_batch({name: pa.array(value).dictionary_encode() for name, value in values.items()})
    >>> table = next(spec.tables(spec.summarize(batch), 0))
    >>> table.shape, table[0, 1:3, 0, 1:3].tolist()
    ((1, 4, 1, 4), [[1, 1], [1, 0]])
    """

    name = "target_counts"
    state = TargetCounts
    remedy = "lower codebook.bins or analyses.uncertainty.groups, or take coarser strata"

    features: tuple[Coding, ...]
    """Codings of the features."""
    targets: tuple[Coding, ...]
    """Codings of the targets."""
    strata: tuple[Coding, ...] = ()
    """Codings of columns whose joint levels are kept apart."""
    jackknife: JackknifeGroups | None = None
    """Groups that are kept apart."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of all codings, what groups the rows, and the weight."""
        codings = (coding.column for coding in self.features + self.targets + self.strata)
        weight = () if self.weight is None else (self.weight,)
        return tuple(dict.fromkeys((*codings, *(self.jackknife.columns if self.jackknife else ()), *weight)))

    def shapes(self) -> list[list[tuple[int, int, int, int]]]:
        """Return groups, levels, strata and classes of every table, by feature and target."""
        strata = prod(coding.cardinality for coding in self.strata)
        classes = [int(target_classes(target).max()) + 1 for target in self.targets]
        return [
            [(self._group_count(f.cardinality * strata * c), f.cardinality, strata, c) for c in classes]
            for f in self.features
        ]

    def _group_count(self, cells: int) -> int:
        if self.jackknife is None:
            return 1
        return min(self.jackknife.groups, max(FEWEST_GROUPS, TABLE_BYTES // (8 * cells)))

    def tables(self, state: TargetCounts, target: int) -> Iterator[np.ndarray]:
        """Yield every feature's table, shape (groups, levels, strata, classes); level 0 and class 0 are missing."""
        start = 0
        for row in self.shapes():
            for index, shape in enumerate(row):
                if index == target:
                    yield state.counts[start : start + prod(shape)].reshape(shape)
                start += prod(shape)

    def unit_margins(self, state: TargetCounts, target: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield every feature's levels and the target's classes by unit, shapes (units, levels) and (units, classes).

        Class 0, rows without the target, has none. Levels are those of pair codes where fine ones would be too many.
        Nothing is yielded of a state that holds no units.
        """
        if state.units is None:
            return
        start = sum(self._unit_cells()[:target])
        classes = int(target_classes(self.targets[target]).max())
        of_target = state.units.counts[:, start : start + classes]
        start += classes
        for feature in self.features:
            levels = self._margin_levels(feature)
            yield state.units.counts[:, start : start + levels], of_target
            start += levels

    @property
    def most_units(self) -> int:
        """Units whose margins are counted, in rows whatever they weigh; 0 with strata, where they make no null."""
        return self.jackknife.most_units if self.jackknife and not self.strata else 0

    @property
    def counts_units(self) -> bool:
        """Whether units are counted."""
        return self.jackknife is not None and self.jackknife.most_units > 0

    def units_are_rows(self, state: TargetCounts) -> bool:
        """Return whether units without an order are many and hold a row each, but for what an estimate cannot tell."""
        if state.units is not None or state.registers is None or self.jackknife is None or self.jackknife.ordered:
            return False
        return (state.unit_count or 0) >= ONE_ROW_FROM * state.rows

    def _margin_levels(self, feature: Coding) -> int:
        fine = 8 * self.most_units * feature.cardinality <= MARGIN_BYTES
        return feature.cardinality if fine else pair_cardinality(feature)

    def _unit_cells(self) -> list[int]:
        """Return the numbers that each target has a unit: its classes, then every feature's levels."""
        levels = sum(self._margin_levels(feature) for feature in self.features)
        return [levels + int(target_classes(target).max()) for target in self.targets]

    def empty(self) -> TargetCounts:
        """Return the counts of no rows."""
        dtype = np.int64 if self.weight is None else np.float64
        units = UnitMargins.empty(self.most_units, sum(self._unit_cells())) if self.most_units else None
        registers = np.zeros(REGISTERS, np.uint8) if self.counts_units else None
        return TargetCounts(0, np.zeros(len(self.targets), np.int64), np.zeros(self._cells(), dtype), units, registers)

    def summarize(self, batch: pa.RecordBatch) -> TargetCounts:
        """Return the counts of a batch."""
        return self.update(self.empty(), batch)

    def update(self, state: TargetCounts, batch: pa.RecordBatch) -> TargetCounts:
        """Return the counts of a state's rows and a batch's, in the state's own array: tables outweigh batches."""
        weights = row_weights(batch, self.weight)
        groups = group_codes(batch, self.jackknife) if self.jackknife else np.zeros(batch.num_rows, np.int64)
        classes = [classes_of(batch, target) for target in self.targets]
        stratum = np.zeros(batch.num_rows, np.int64)
        for coding in self.strata:
            stratum = stratum * coding.cardinality + codes_of(batch, coding)
        shapes, start = self.shapes(), 0
        folded = {count: groups % count for count in {shape[0] for row in shapes for shape in row}}
        stratum_classes = [
            stratum * (int(target_classes(t).max()) + 1) + c for t, c in zip(self.targets, classes, strict=True)
        ]
        for feature, row in zip(self.features, shapes, strict=True):
            codes = codes_of(batch, feature).astype(np.int64)
            for stratum_class, shape in zip(stratum_classes, row, strict=True):
                cells = folded[shape[0]] * shape[1]
                cells += codes
                cells *= shape[2] * shape[3]
                cells += stratum_class
                np.add.at(state.counts[start : start + prod(shape)], cells, 1 if weights is None else weights)
                start += prod(shape)
        present = np.array([np.count_nonzero(target) for target in classes], np.int64)
        units, registers = state.units, state.registers
        if registers is not None and self.jackknife is not None:
            keys, _ = units_of(batch, self.jackknife)
            registers = np.maximum(registers, number_registers(keys.view(np.uint64), "uint64"))
        if units is not None:
            units = self._with_unit_margins(units, batch, classes)
        return TargetCounts(state.rows + batch.num_rows, state.present + present, state.counts, units, registers)

    def _with_unit_margins(
        self, margins: UnitMargins, batch: pa.RecordBatch, classes: list[np.ndarray]
    ) -> UnitMargins | None:
        """Return margins with a batch's rows added, in their own array where it has the units."""
        assert self.jackknife is not None  # noqa: S101  it says which units there are
        keys, place_in_keys = units_of(batch, self.jackknife)
        room = margins.with_units(keys)
        if room is None:
            return None
        start, at = 0, np.searchsorted(room.keys, keys)
        for target, row_classes in zip(self.targets, classes, strict=True):
            present = np.flatnonzero(row_classes)
            place = place_in_keys[present]
            count = int(target_classes(target).max())
            sides = [(row_classes[present].astype(np.int64) - 1, count)]
            for feature in self.features:
                fine, cells = codes_of(batch, feature)[present], self._margin_levels(feature)
                sides.append((fine if cells == feature.cardinality else feature.groups.take(fine), cells))
            for codes, cells in sides:
                counted = np.bincount(place * cells + codes, minlength=len(keys) * cells).reshape(len(keys), cells)
                room.counts[at, start : start + cells] += counted
                start += cells
        return room

    def nbytes(self) -> int:
        """Return an upper bound on the bytes of a state."""
        units = self.most_units * (1 + sum(self._unit_cells())) if self.most_units else 0
        return 8 * (len(self.targets) + self._cells() + units) + REGISTERS

    def _cells(self) -> int:
        return sum(prod(shape) for row in self.shapes() for shape in row)
