"""KLL sketches of numbers (Karnin, Lang & Liberty 2016), as Apache DataSketches bytes that other engines read.

KLL flips coins that cannot be seeded, so nothing else is computed from it. Cost: 12 ns a value where keys are sorted
already, a few KiB a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from featflow.columns.batch_cache import finite_keys_of
from featflow.columns.column import Column
from featflow.columns.sort_keys import key_values
from featflow.summaries.protocol import Spec

__all__ = ["QuantileSketchSummarizer", "QuantileSketches"]

KLL_K = 200
"""Rank error 1.33 % (99 % confidence), the library's default."""


@dataclass(frozen=True, slots=True)
class QuantileSketches:
    """One serialized sketch a column."""

    rows: int
    """Rows seen."""
    data: tuple[bytes, ...]
    """Serialized sketches, one a column."""

    def merge(self, other: Self) -> Self:
        """Return the sketches of both operands' rows; the operands' bytes stay as they are."""
        merged = []
        for ours, theirs in zip(self.data, other.data, strict=True):
            sketch = _kll().deserialize(ours)
            sketch.merge(_kll().deserialize(theirs))
            merged.append(bytes(sketch.serialize()))
        return type(self)(self.rows + other.rows, tuple(merged))

    def to_arrow(self) -> pa.Table:
        """Return one row a column."""
        table = pa.table({"sketch": pa.array(self.data, pa.binary())})
        return table.replace_schema_metadata({"version": "2", "rows": str(self.rows)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        return cls(int(table.schema.metadata[b"rows"]), tuple(table.column("sketch").to_pylist()))


@dataclass(frozen=True, slots=True)
class QuantileSketchSummarizer(Spec[QuantileSketches]):
    """Spec of `QuantileSketches`."""

    name = "quantile_sketch"
    state = QuantileSketches

    columns: tuple[Column, ...]
    """Numeric columns."""

    def empty(self) -> QuantileSketches:
        """Return the sketches of no rows."""
        return QuantileSketches(0, (bytes(_kll()(KLL_K).serialize()),) * len(self.columns))

    def summarize(self, batch: pa.RecordBatch) -> QuantileSketches:
        """Return the sketches of a batch's finite values, fed in ascending order: a third of the cost of any other."""
        data = []
        for column in self.columns:
            sketch = _kll()(KLL_K)
            sketch.update(key_values(finite_keys_of(batch, column), column.type))
            data.append(bytes(sketch.serialize()))
        return QuantileSketches(batch.num_rows, tuple(data))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * 8 * KLL_K * 4


def _kll() -> Any:
    """Return the library's class, which few ask for."""
    from datasketches import kll_doubles_sketch  # noqa: PLC0415

    return kll_doubles_sketch
