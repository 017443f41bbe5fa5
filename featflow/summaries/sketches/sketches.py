"""Apache DataSketches of every column, as bytes that Spark, Druid and BigQuery read.

KLL (Karnin, Lang & Liberty 2016) for quantiles, HLL (Heule et al. 2013) for
distinct values, frequent items (Anderson et al. 2017) for heavy levels. KLL
flips coins that cannot be seeded, so nothing else is computed from it. HLL
registers do not depend on order, but its default estimate does:
`distinct_estimate` uses the composite one. Cost: a few KiB a column.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import datasketches
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.batch_cache import finite_keys_of, keys_of, levels_of
from featflow.columns.column import Column
from featflow.columns.sort_keys import SIGN_64, key_values
from featflow.summaries.protocol import Spec
from featflow.summaries.sketches.hll_registers import hll_bytes, hll_registers
from featflow.summaries.sketches.murmur import murmur_numbers, murmur_strings

__all__ = [
    "DistinctSummarizer",
    "FrequentSummarizer",
    "QuantileSketchSummarizer",
    "Sketches",
    "distinct_estimate",
    "distribution",
    "frequent_levels",
]

KLL_K = 200
"""Rank error 1.33 % (99 % confidence), the library's default."""
HLL_LG_K = 12
"""4,096 registers: standard error 1.6 %."""
FREQUENT_LG_SIZE = 10
"""768 counters: an estimate is within 0.35 % of the rows."""
FREQUENT_CHARACTERS = 128
"""Characters of a level that are kept: longer ones that begin alike are counted together."""
BOUND_STANDARD_ERRORS = 2
FEW_VALUES = 1024
"""Distinct values that are fed one by one: beyond about 400 a sketch of `HLL_LG_K` is nothing but its registers."""
AT_ONCE = 2**14
"""Values hashed at once: what a core's cache holds."""


def _union(left: Any, right: Any) -> Any:
    union = datasketches.hll_union(HLL_LG_K)
    union.update(left)
    union.update(right)
    return union.get_result(datasketches.tgt_hll_type.HLL_4)


def _merged(left: Any, right: Any) -> Any:
    left.merge(right)
    return left


@dataclass(frozen=True, slots=True)
class _Family:
    """How one family of sketches is made, read and merged."""

    new: Callable[[], Any]
    load: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]
    merge: Callable[[Any, Any], Any]


FAMILIES: dict[str, _Family] = {
    "quantile_sketch": _Family(
        lambda: datasketches.kll_doubles_sketch(KLL_K),
        datasketches.kll_doubles_sketch.deserialize,
        lambda sketch: bytes(sketch.serialize()),
        _merged,
    ),
    "distinct": _Family(
        lambda: datasketches.hll_sketch(HLL_LG_K),
        datasketches.hll_sketch.deserialize,
        lambda sketch: bytes(sketch.serialize_compact()),
        _union,
    ),
    "frequent": _Family(
        lambda: datasketches.frequent_strings_sketch(FREQUENT_LG_SIZE),
        datasketches.frequent_strings_sketch.deserialize,
        lambda sketch: bytes(sketch.serialize()),
        _merged,
    ),
}


@dataclass(frozen=True, slots=True)
class Sketches:
    """One serialized sketch a column."""

    rows: int
    """Rows seen."""
    family: str
    """Key of `FAMILIES`."""
    data: tuple[bytes, ...]
    """Serialized sketches, one a column."""

    def merge(self, other: Self) -> Self:
        """Return the sketches of both operands' rows; the operands' bytes stay as they are."""
        family = FAMILIES[self.family]
        pairs = zip(self.data, other.data, strict=True)
        data = tuple(family.dump(family.merge(family.load(ours), family.load(theirs))) for ours, theirs in pairs)
        return type(self)(self.rows + other.rows, self.family, data)

    def to_arrow(self) -> pa.Table:
        """Return one row a column."""
        table = pa.table({"sketch": pa.array(self.data, pa.binary())})
        return table.replace_schema_metadata({"version": "1", "rows": str(self.rows), "family": self.family})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        metadata = table.schema.metadata
        return cls(int(metadata[b"rows"]), metadata[b"family"].decode(), tuple(table.column("sketch").to_pylist()))


@dataclass(frozen=True, slots=True)
class _SketchSummarizer(Spec[Sketches]):
    """What the specs have in common; each says how an array updates its sketch."""

    state = Sketches

    columns: tuple[Column, ...]
    """Columns to sketch."""

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch, column: Column) -> Any:
        """Return the sketch of a column's values."""

    def empty(self) -> Sketches:
        """Return the sketches of no rows."""
        family = FAMILIES[self.name]
        return Sketches(0, self.name, (family.dump(family.new()),) * len(self.columns))

    def summarize(self, batch: pa.RecordBatch) -> Sketches:
        """Return the sketches of a batch."""
        data = tuple(FAMILIES[self.name].dump(self.sketch(batch, column)) for column in self.columns)
        return Sketches(batch.num_rows, self.name, data)


class QuantileSketchSummarizer(_SketchSummarizer):
    """Spec of KLL sketches of numeric columns."""

    name = "quantile_sketch"

    __slots__ = ()

    def sketch(self, batch: pa.RecordBatch, column: Column) -> Any:
        """Return the sketch of the finite values, fed in ascending order: a third of the cost of any other."""
        sketch = FAMILIES[self.name].new()
        sketch.update(key_values(finite_keys_of(batch, column), column.type))
        return sketch

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * 8 * KLL_K * 4


class DistinctSummarizer(_SketchSummarizer):
    """Spec of HLL sketches of columns of any kind."""

    name = "distinct"

    __slots__ = ()

    def sketch(self, batch: pa.RecordBatch, column: Column) -> Any:
        """Return the sketch of the distinct values: one by one if they are few, else by its registers."""
        values = _distinct_numbers(batch, column) if column.is_numeric else _distinct_texts(batch, column)
        if len(values) <= FEW_VALUES:
            sketch = FAMILIES[self.name].new()
            for value in (values.view(np.int64) if column.is_numeric else values).tolist():
                sketch.update(value)
            return sketch
        hashed = murmur_numbers if column.is_numeric else murmur_strings
        parts = (hashed(values[start : start + AT_ONCE]) for start in range(0, len(values), AT_ONCE))
        return _union(FAMILIES[self.name].load(hll_bytes(hll_registers(parts, HLL_LG_K))), FAMILIES[self.name].new())

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * (int(2 ** (HLL_LG_K - 1)) + 1024)


class FrequentSummarizer(_SketchSummarizer):
    """Spec of frequent-item sketches of category and text columns."""

    name = "frequent"

    __slots__ = ()

    def sketch(self, batch: pa.RecordBatch, column: Column) -> Any:
        """Return the sketch of every level with its rows, in the order of the levels."""
        sketch = FAMILIES[self.name].new()
        levels, rows = levels_of(batch, column)
        kept = pc.utf8_slice_codeunits(levels, 0, FREQUENT_CHARACTERS)
        for level, count in zip(kept.to_pylist(), rows.tolist(), strict=True):
            sketch.update(level, count)
        return sketch

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * int(2**FREQUENT_LG_SIZE) * (FREQUENT_CHARACTERS + 16)


def _distinct_numbers(batch: pa.RecordBatch, column: Column) -> np.ndarray:
    """Return what is hashed of every distinct number: the eight bytes of an integer, or of a float64, uint64."""
    keys = keys_of(batch, column)
    distinct = keys[np.concatenate([np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1]])]
    if column.type == "int64":
        return np.asarray(distinct ^ SIGN_64)
    return distinct if column.type == "uint64" else key_values(distinct, column.type).view(np.uint64)


def _distinct_texts(batch: pa.RecordBatch, column: Column) -> pa.Array:
    """Return every distinct string; the library does not count the empty one."""
    levels, _ = levels_of(batch, column)
    return levels[1:] if len(levels) and not levels[0].as_py() else levels  # ascending, so it is the first


def distinct_estimate(sketch: bytes) -> tuple[float, float, float]:
    """Return the composite estimate of distinct values and its bounds at two standard errors.

    The estimate of a union does not depend on the order in which values came.
    """
    loaded = FAMILIES["distinct"].load(sketch)
    union = _union(loaded, loaded)
    return (
        float(union.get_estimate()),
        float(union.get_lower_bound(BOUND_STANDARD_ERRORS)),
        float(union.get_upper_bound(BOUND_STANDARD_ERRORS)),
    )


def distribution(sketch: bytes, low: float, high: float, bins: int) -> list[float]:
    """Return the share of finite values in each of so many equal bins from low to high; what lies beyond is left out.

    Parameters
    ----------
    sketch
        Of quantiles.
    """
    edges = np.linspace(low, high, bins + 1)[1:-1]
    loaded = FAMILIES["quantile_sketch"].load(sketch)
    if loaded.is_empty():
        return [0.0] * bins
    below = np.array([loaded.get_rank(low, False), *loaded.get_cdf(edges.tolist())[:-1], loaded.get_rank(high, True)])
    return [float(share) for share in np.diff(below).clip(0)]


def frequent_levels(sketch: bytes) -> list[tuple[str, int]]:
    """Return levels surely among the frequent ones with lower bounds of their rows, most frequent first."""
    loaded = FAMILIES["frequent"].load(sketch)
    found = loaded.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_POSITIVES)
    return sorted(((item, int(low)) for item, _, low, _ in found if low > 0), key=lambda pair: (-pair[1], pair[0]))
