"""A histogram of every numeric column that fixes the codebook's bins.

State: counts by sortable key, truncated to the finest resolution at which the
column has no more than ``cells`` occupied cells. A part of the data never needs
a coarser resolution than the whole, so the state is exact under any order and
any cut: a monoid on integers, unlike KLL, whose coin flips change from run to
run. Where values share cells, registers of a HyperLogLog estimate how many there are.
Cost: at most ``cells`` x 16 bytes a column and 4 KiB, one sort a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import finite_keys_of
from featflow.columns.column import Column
from featflow.summaries.protocol import Spec
from featflow.summaries.sketches.hll import REGISTERS, no_registers, number_registers

__all__ = ["Histogram", "ValueHistograms", "ValueHistogramsSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of one column's finite values."""

    kind: str
    """Canonical type of the column."""
    shift: int
    """Cells are 2**shift keys wide; at 0 every value has its own."""
    cells: np.ndarray
    """Lowest key of every occupied cell, shape (occupied,), uint64, ascending."""
    counts: np.ndarray
    """Values in every cell, shape (occupied,), int64."""
    registers: np.ndarray = field(default_factory=no_registers)
    """Of all values (see `featflow.summaries.sketches.hll`), shape (REGISTERS,), uint8; empty where each has a cell."""

    @classmethod
    def of_keys(cls, keys: np.ndarray, kind: str, limit: int) -> Self:
        """Return the counts of ascending keys at the finest resolution of at most ``limit`` cells."""
        shift, starts = _resolution(keys, 0, limit)
        registers = number_registers(keys[_is_first(keys)], kind) if shift else no_registers()
        cells = _cell_keys(keys[starts].astype(np.uint64), shift)
        return cls(kind, shift, cells, np.diff(starts, append=len(keys)), registers)

    def merge(self, other: Self, limit: int) -> Self:
        """Return the counts of both operands at the finest resolution of at most ``limit`` cells."""
        keys = np.concatenate([self.cells, other.cells])
        order = np.argsort(keys, kind="stable")  # merges two ascending runs
        keys, counts = keys[order], np.concatenate([self.counts, other.counts])[order]
        shift, starts = _resolution(keys, max(self.shift, other.shift), limit)
        cells, counts = _cell_keys(keys[starts], shift), np.add.reduceat(counts, starts) if len(keys) else counts
        registers = np.maximum(self._value_registers(), other._value_registers()) if shift else no_registers()
        return type(self)(self.kind, shift, cells, counts, registers)

    def _value_registers(self) -> np.ndarray:
        """Return the registers of all values."""
        return self.registers if self.shift else number_registers(self.cells, self.kind)


def _resolution(keys: np.ndarray, shift: int, limit: int) -> tuple[int, np.ndarray]:
    """Return the least shift, at least ``shift``, that leaves ``limit`` cells or fewer, and where each cell starts.

    Parameters
    ----------
    keys
        Ascending.
    """
    if not len(keys):
        return shift, np.empty(0, np.int64)
    differing = keys[1:] ^ keys[:-1]  # neighbours are in one cell if they differ in bits below the shift alone

    def is_boundary(bits: int) -> np.ndarray:
        return np.asarray(differing >= keys.dtype.type(1 << bits))

    low, high = shift, 8 * keys.itemsize - 1
    if 1 + np.count_nonzero(is_boundary(low)) > limit:
        while high - low > 1:  # cells at low > limit >= cells at high
            middle = (low + high) // 2
            low, high = (middle, high) if 1 + np.count_nonzero(is_boundary(middle)) > limit else (low, middle)
        shift = high
    return shift, np.concatenate([[0], 1 + np.flatnonzero(is_boundary(shift))])


def _is_first(keys: np.ndarray) -> np.ndarray:
    """Return whether each of ascending keys is the first of its equals."""
    return np.concatenate([np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1]])


def _cell_keys(keys: np.ndarray, shift: int) -> np.ndarray:
    """Return the lowest key of every key's cell."""
    return np.asarray(keys >> np.uint64(shift) << np.uint64(shift))


@dataclass(frozen=True, slots=True, eq=False)
class ValueHistograms:
    """Histograms of p columns.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> spec = ValueHistogramsSummarizer((Column("x", "int64", Kind.NUMBER),), cells=64)
    >>> left, right = (spec.summarize(pa.record_batch({"x": x})) for x in ([3, 1], [3, None]))
    >>> left.merge(right).histograms[0].counts.tolist()
    [1, 2]
    """

    rows: int
    """Rows seen."""
    limit: int
    """Cells allowed a column."""
    histograms: tuple[Histogram, ...]
    """One a column."""

    def merge(self, other: Self) -> Self:
        """Return the histograms of both operands' rows."""
        pairs = zip(self.histograms, other.histograms, strict=True)
        merged = tuple(ours.merge(theirs, self.limit) for ours, theirs in pairs)
        return type(self)(self.rows + other.rows, self.limit, merged)

    def to_arrow(self) -> pa.Table:
        """Return one row a column."""
        table = pa.table(
            {
                "kind": pa.array([h.kind for h in self.histograms], pa.string()),
                "shift": pa.array([h.shift for h in self.histograms], pa.int64()),
                "cells": pa.array([h.cells for h in self.histograms], pa.large_list(pa.uint64())),
                "counts": pa.array([h.counts for h in self.histograms], pa.large_list(pa.int64())),
                "registers": pa.array([h.registers.tobytes() for h in self.histograms], pa.binary()),
            }
        )
        return table.replace_schema_metadata({"version": "2", "rows": str(self.rows), "limit": str(self.limit)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        histograms = []
        for index in range(table.num_rows):
            kind, shift, cells, counts, registers = (table.column(name)[index] for name in table.column_names)
            arrays = cells.values.to_numpy(), counts.values.to_numpy(), np.frombuffer(registers.as_py(), np.uint8)
            histograms.append(Histogram(kind.as_py(), shift.as_py(), *arrays))
        metadata = table.schema.metadata
        return cls(int(metadata[b"rows"]), int(metadata[b"limit"]), tuple(histograms))


@dataclass(frozen=True, slots=True)
class ValueHistogramsSummarizer(Spec[ValueHistograms]):
    """Spec of `ValueHistograms`."""

    name = "value_histograms"
    state = ValueHistograms
    remedy = "lower codebook.cells, or exclude columns"

    columns: tuple[Column, ...]
    """Numeric columns."""
    cells: int
    """Cells allowed a column, at least 2: one a sign."""

    def empty(self) -> ValueHistograms:
        """Return the histograms of no rows."""
        no_cells = np.empty(0, np.uint64), np.empty(0, np.int64)
        return ValueHistograms(0, self.cells, tuple(Histogram(column.type, 0, *no_cells) for column in self.columns))

    def summarize(self, batch: pa.RecordBatch) -> ValueHistograms:
        """Return the histograms of a batch."""
        histograms = (
            Histogram.of_keys(finite_keys_of(batch, column), column.type, self.cells) for column in self.columns
        )
        return ValueHistograms(batch.num_rows, self.cells, tuple(histograms))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return (16 * self.cells + REGISTERS) * len(self.columns)
