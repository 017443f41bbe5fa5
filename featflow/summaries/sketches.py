"""Apache DataSketches of every column, as bytes that Spark, Druid and BigQuery read.

KLL (Karnin, Lang & Liberty 2016) for quantiles, HLL (Heule et al. 2013) for
distinct values, frequent items (Anderson et al. 2017) for heavy levels. KLL
flips coins that cannot be seeded, so nothing else is computed from it. HLL
registers do not depend on order, but its default estimate does:
`distinct_estimate` uses the composite one. Cost: a few KiB a column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import datasketches
import numpy as np
import pyarrow as pa

from featflow.binning import finite_values, values_and_presence
from featflow.columns import Column

__all__ = [
    "DistinctSummarizer",
    "FrequentSummarizer",
    "QuantileSketchSummarizer",
    "Sketches",
    "distinct_estimate",
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
class _SketchSummarizer(ABC):
    """What the specs have in common; each says how an array updates its sketch."""

    columns: tuple[Column, ...]
    """Columns to sketch."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Folder of its states, and key of `FAMILIES`."""

    @abstractmethod
    def update(self, sketch: Any, array: pa.Array) -> None:
        """Add a column's values to its sketch."""

    def empty(self) -> Sketches:
        """Return the sketches of no rows."""
        family = FAMILIES[self.name]
        return Sketches(0, self.name, (family.dump(family.new()),) * len(self.columns))

    def summarize(self, batch: pa.RecordBatch) -> Sketches:
        """Return the sketches of a batch."""
        family, data = FAMILIES[self.name], []
        for column in self.columns:
            sketch = family.new()
            self.update(sketch, batch.column(column.name))
            data.append(family.dump(sketch))
        return Sketches(batch.num_rows, self.name, tuple(data))


class QuantileSketchSummarizer(_SketchSummarizer):
    """Spec of KLL sketches of numeric columns."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "quantile_sketch"

    def update(self, sketch: Any, array: pa.Array) -> None:
        """Add the finite values."""
        values, finite = finite_values(array)
        sketch.update(values[finite].astype(np.float64))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * 8 * KLL_K * 4


class DistinctSummarizer(_SketchSummarizer):
    """Spec of HLL sketches of columns of any kind."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "distinct"

    def update(self, sketch: Any, array: pa.Array) -> None:
        """Add every distinct value once."""
        for value in _distinct_values(array):
            sketch.update(value)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * (int(2 ** (HLL_LG_K - 1)) + 1024)


class FrequentSummarizer(_SketchSummarizer):
    """Spec of frequent-item sketches of category and text columns."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "frequent"

    def update(self, sketch: Any, array: pa.Array) -> None:
        """Add every level with its rows, in the order of the levels."""
        counts = np.bincount(array.indices.drop_null().to_numpy(), minlength=len(array.dictionary))
        for value, count in sorted(zip(array.dictionary.to_pylist(), counts.tolist(), strict=True)):
            if count:
                sketch.update(value[:FREQUENT_CHARACTERS], count)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return len(self.columns) * int(2**FREQUENT_LG_SIZE) * (FREQUENT_CHARACTERS + 16)


def _distinct_values(array: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(array.type):
        return list(array.dictionary.take(array.indices.drop_null().unique()).to_pylist())
    values, present = values_and_presence(array)
    kept = np.unique(values[present])
    if kept.dtype == np.uint64:
        kept = kept.view(np.int64)
    return list((kept.astype(np.float64) if kept.dtype.kind == "f" else kept).tolist())


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


def frequent_levels(sketch: bytes) -> list[tuple[str, int]]:
    """Return levels surely among the frequent ones with lower bounds of their rows, most frequent first."""
    loaded = FAMILIES["frequent"].load(sketch)
    found = loaded.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_POSITIVES)
    return sorted(((item, int(low)) for item, _, low, _ in found if low > 0), key=lambda pair: (-pair[1], pair[0]))
