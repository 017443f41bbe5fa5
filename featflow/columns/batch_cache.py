"""Caches what several summaries need of a batch: codes, groups of rows, sorted keys, counts of levels."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.codebook import Coding, target_classes
from featflow.columns.column import Column
from featflow.columns.encoding import encode
from featflow.columns.loaded_torch import loaded_torch
from featflow.columns.sort_keys import narrow_keys
from featflow.columns.values import values_and_presence

__all__ = [
    "CachedBatch",
    "cached",
    "classes_of",
    "codes_of",
    "finite_keys_of",
    "group_levels",
    "keys_of",
    "levels_of",
    "pair_codes_of",
]

Value = TypeVar("Value")

RADIX_FROM = 2**15
"""Keys from which on torch, where it is loaded and has fbgemm, sorts by radix: 7 ns a narrow key against numpy's 25."""


class CachedBatch:
    """A record batch and a cache of values computed from it. Cached values are shared: no caller may write into them.

    Examples
    --------
    >>> batch = CachedBatch(pa.record_batch({"x": [3.0, 1.0]}))
    >>> batch.num_rows, cached(batch, "x", list) is cached(batch, "x", list)
    (2, True)
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._values: dict[Hashable, Any] = {}

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return int(self._batch.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the batch."""
        return self._batch.schema

    def column(self, name: str) -> pa.Array:
        """Return a column by its name."""
        return self._batch.column(name)

    def cached(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value cached under a key; compute it first if there is none."""
        if key not in self._values:
            self._values[key] = make()
        value: Value = self._values[key]
        return value


def cached(batch: pa.RecordBatch | CachedBatch, key: Hashable, make: Callable[[], Value]) -> Value:
    """Return the value cached under a key; compute it for a plain record batch, which has no cache."""
    return batch.cached(key, make) if isinstance(batch, CachedBatch) else make()


def codes_of(batch: pa.RecordBatch | CachedBatch, coding: Coding) -> np.ndarray:
    """Return the fine code of every row, shape (rows,), int32 (see `featflow.columns.encoding.encode`)."""
    return cached(batch, ("codes", coding), lambda: encode(batch.column(coding.column.name), coding))


def pair_codes_of(batch: pa.RecordBatch | CachedBatch, coding: Coding) -> np.ndarray:
    """Return the pair code of every row, shape (rows,), uint8."""
    return np.asarray(coding.groups.take(codes_of(batch, coding)))


def classes_of(batch: pa.RecordBatch | CachedBatch, target: Coding) -> np.ndarray:
    """Return the class of every row, shape (rows,), uint8; 0 is missing."""
    return np.asarray(target_classes(target).take(codes_of(batch, target)))


def keys_of(batch: pa.RecordBatch | CachedBatch, column: Column) -> np.ndarray:
    """Return the keys (see `narrow_keys` of sort_keys.py) of a number that is neither null nor NaN, ascending."""

    def make() -> np.ndarray:
        values, present = values_and_presence(batch.column(column.name))
        return _sort_keys(narrow_keys(values if present.all() else values[present]))

    return cached(batch, ("keys", column), make)


def finite_keys_of(batch: pa.RecordBatch | CachedBatch, column: Column) -> np.ndarray:
    """Return the keys of a number's finite values, ascending.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> batch = pa.record_batch({"x": [np.inf, 2.0, None, np.nan, -1.0]})
    >>> len(keys_of(batch, Column("x", "float64", Kind.NUMBER)))
    3
    >>> len(finite_keys_of(batch, Column("x", "float64", Kind.NUMBER)))
    2
    """
    keys = keys_of(batch, column)
    if not column.type.startswith("float"):
        return keys
    low, high = narrow_keys(np.array([-np.inf, np.inf], column.type))
    return keys[np.searchsorted(keys, low, side="right") : np.searchsorted(keys, high, side="left")]


def _sort_keys(keys: np.ndarray) -> np.ndarray:
    torch = loaded_torch()
    if len(keys) < RADIX_FROM or torch is None or "fbgemm" not in torch.backends.quantized.supported_engines:
        return np.sort(keys)
    sign = keys.dtype.type(1) << keys.dtype.type(8 * keys.itemsize - 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of a sort wait for one another: ten times as long
    try:
        values, _ = torch.sort(torch.from_numpy((keys ^ sign).view(f"i{keys.itemsize}")))
    finally:
        torch.set_num_threads(threads)
    return np.asarray(values.numpy().view(keys.dtype) ^ sign)


def levels_of(batch: pa.RecordBatch | CachedBatch, column: Column) -> tuple[pa.Array, np.ndarray]:
    """Return the levels of a category that occur, ascending, and the rows of each, int64.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> batch = pa.record_batch({"x": pa.array(["b", "a", None, "b"]).dictionary_encode()})
    >>> levels, rows = levels_of(batch, Column("x", "string", Kind.CATEGORY))
    >>> levels.to_pylist(), rows.tolist()
    (['a', 'b'], [1, 2])
    """

    def make() -> tuple[pa.Array, np.ndarray]:
        array = batch.column(column.name)
        rows = np.bincount(array.indices.drop_null().to_numpy(), minlength=len(array.dictionary))
        occupied = np.flatnonzero(rows)
        return group_levels(array.dictionary.take(pa.array(occupied)), rows[occupied])

    return cached(batch, ("levels", column), make)


def group_levels(levels: pa.Array, rows: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Return levels, which may repeat, ascending and each once, and the sum of its rows."""
    order = pc.sort_indices(levels)
    levels, rows = levels.take(order), rows[order.to_numpy()]
    first = np.ones(len(levels), bool)
    first[1:] = pc.not_equal(levels[1:], levels[:-1]).to_numpy(zero_copy_only=False)
    if first.all():
        return levels, rows
    starts = np.flatnonzero(first)
    return levels.take(pa.array(starts)), np.add.reduceat(rows, starts)
