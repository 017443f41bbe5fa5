"""Apache DataSketches of every column, as bytes that Spark, Druid and BigQuery read and merge.

All but KLL are made of the final counts; nothing that featflow computes comes from them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.analyses.profile.tables import PROFILE
from featflow.execution.context import Context
from featflow.summaries.frequent_levels import CHARACTERS
from featflow.summaries.levels import LevelCounts
from featflow.summaries.sketches.hll import LG_K, hll_sketch, number_registers, number_words, text_registers
from featflow.summaries.sketches.quantile_sketches import QuantileSketchSummarizer
from featflow.summaries.value_histograms import Histogram

__all__ = ["SketchesOfNumbers", "with_sketches"]

FREQUENT_LG_SIZE = 10
"""Logarithm of the sketch's slots: 768 counters, so an estimate is within 0.35 % of the rows."""
FEW_VALUES = 1024
"""Values up to which a sketch is fed one by one: beyond about 400 a sketch of `LG_K` holds registers alone, which are
made here without a call of Python for each value."""
FREQUENT_HEAD = "<2Q", 16
"""Format and offset of two numbers in the bytes of frequent items: rows fed, and rows that a count may lack."""


@dataclass(frozen=True)
class SketchesOfNumbers:
    """Request for a KLL sketch of every number."""

    def join(self, other: Self) -> Self:  # noqa: ARG002
        """Return the same."""
        return self

    def specs(self, context: Context) -> tuple[QuantileSketchSummarizer, ...]:
        """Return a spec a block of numbers."""
        numbers = tuple(column for column in context.dataset.columns if column.is_numeric)
        return context.blocks(QuantileSketchSummarizer, numbers)


def with_sketches(profile: pa.Table, context: Context) -> pa.Table:
    """Return the profile table with the sketches of all columns."""
    states, quantiles = context.columns, dict[str, bytes]()
    for spec, sketches in context.states(SketchesOfNumbers()):
        quantiles |= zip((column.name for column in spec.columns), sketches.data, strict=True)
    distinct = {c.name: _number_hll(h) for c, h in zip(states.numbers, states.histograms, strict=True)}
    distinct |= {c.name: _level_hll(counted) for c, counted in zip(states.categories, states.levels, strict=True)}
    frequent = {c.name: _frequent_sketch(counted) for c, counted in zip(states.categories, states.levels, strict=True)}
    sketches = {"quantile_sketch": quantiles, "distinct_sketch": distinct, "frequent_sketch": frequent}
    names = profile.column("column").to_pylist()
    for field, data in sketches.items():
        index = PROFILE.schema.get_field_index(field)
        values = pa.array([data.get(name) for name in names], pa.binary())
        profile = profile.set_column(index, PROFILE.schema.field(index), values)
    return profile


def _number_hll(histogram: Histogram) -> bytes:
    if histogram.shift == 0 and len(histogram.cells) <= FEW_VALUES:
        return _hll_of_values(number_words(histogram.cells, histogram.kind).view(np.int64).tolist())
    registers = histogram.registers if histogram.shift else number_registers(histogram.cells, histogram.kind)
    return bytes(hll_sketch(registers).serialize_compact())


def _level_hll(counted: LevelCounts) -> bytes:
    if counted.levels is not None and len(counted.levels) <= FEW_VALUES:
        return _hll_of_values(counted.levels.to_pylist())
    registers = counted.registers if counted.levels is None else text_registers(counted.levels)
    return bytes(hll_sketch(registers).serialize_compact())


def _hll_of_values(values: list[int] | list[str]) -> bytes:
    from datasketches import hll_sketch as new_sketch  # noqa: PLC0415  which few ask for

    sketch = new_sketch(LG_K)
    for value in values:
        sketch.update(value)
    return bytes(sketch.serialize_compact())


def _frequent_sketch(counted: LevelCounts) -> bytes:
    from datasketches import frequent_strings_sketch  # noqa: PLC0415  as above

    sketch = frequent_strings_sketch(FREQUENT_LG_SIZE)
    if counted.levels is not None:
        for level, rows in zip(counted.levels.to_pylist(), counted.counts.tolist(), strict=True):
            sketch.update(level[:CHARACTERS], rows)
        return bytes(sketch.serialize())
    frequent = counted.frequent
    for level, rows in zip(frequent.levels.to_pylist(), frequent.rows.tolist(), strict=True):
        sketch.update(level, rows)
    data = bytearray(sketch.serialize())
    if len(frequent.levels):
        struct.pack_into(FREQUENT_HEAD[0], data, FREQUENT_HEAD[1], int(counted.counts.sum()), frequent.uncounted)
    return bytes(data)
