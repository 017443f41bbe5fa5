"""Assigns rows to groups of the jackknife by their own values or places, so states by group merge like any other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.batch_cache import cached
from featflow.columns.column import Column, Kind
from featflow.columns.hashing import hash64, hash_numbers
from featflow.columns.sort_keys import sortable_keys
from featflow.columns.values import finite_values

__all__ = ["JackknifeGroups", "group_codes", "positions", "time_unit", "unit_groups", "units_of"]

POSITION_BITS = np.uint64(16)
"""Bits for the shard and for the depth in it: 65,536 steps, far more than the 128 groups that there may be."""

TIME_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)
"""A day, an hour, a minute, a second, a millisecond and a microsecond, in microseconds."""

TIME_NAMES = dict(zip(TIME_UNITS, ("day", "hour", "minute", "second", "millisecond", "microsecond"), strict=True))

FARTHEST = 2.0**62
"""Number of the last unit of a floating-point number, as it must fit an int64: all beyond lie in it."""

SMALLEST_POWER = -12
"""Smallest power of ten for the unit of a floating-point number."""


def positions(place: str, start: int, rows: int, shard_rows: int) -> np.ndarray:
    """Return the `POSITION` of rows of a shard, shape (rows,), uint64.

    Parameters
    ----------
    place
        Hash of the shard's place in the dataset, hexadecimal.
    """
    depth = (np.arange(start, start + rows, dtype=np.uint64) << POSITION_BITS) // np.uint64(max(shard_rows, 1))
    return np.asarray((np.uint64(int(place[:4], 16)) << POSITION_BITS) | depth)


def time_unit(column: Column, low: float, high: float, fewest: int) -> float:
    """Return the coarsest unit of which there are at least ``fewest`` between ``low`` and ``high``.

    Examples
    --------
    >>> day = 86_400_000_000
    >>> time_unit(Column("t", "int64", Kind.TIME), 0.0, 30.0 * day, 8) == day
    True
    >>> time_unit(Column("year", "int64", Kind.NUMBER), 1900.0, 2020.0, 8)
    10.0
    """
    if column.kind is Kind.TIME:
        return float(next((unit for unit in TIME_UNITS if (high - low) / unit >= fewest), 1))
    if not high > low:
        return 1.0
    power = int(np.floor(np.log10((high - low) / fewest)))
    return float(10.0 ** max(power, SMALLEST_POWER if column.type.startswith("float") else 0))


def unit_groups(most: int) -> int:
    """Return the largest prime up to ``most``: days that come every second or every eighth then fill all groups.

    Examples
    --------
    >>> unit_groups(32)
    31
    """
    return next(p for p in range(most, 0, -1) if p < 4 or all(p % q for q in range(2, int(p**0.5) + 1)))


def group_codes(batch: pa.RecordBatch, jackknife: JackknifeGroups) -> np.ndarray:
    """Return the group of every row, shape (rows,), int64, below ``jackknife.groups``.

    Examples
    --------
    >>> jackknife = JackknifeGroups("unit", (Column("t", "int64", Kind.NUMBER),), groups=4, unit=10.0)
    >>> group_codes(pa.record_batch({"t": [0, 9, 10, 45, None]}), jackknife).tolist()
    [0, 0, 1, 0, 0]
    """
    return cached(batch, jackknife, lambda: _group_codes(batch, jackknife))


def units_of(batch: pa.RecordBatch, jackknife: JackknifeGroups) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of the units in a batch, shape (units,), int64, ascending, and the place of every row's in them.

    Rows without an event time are one unit, before all others.

    Examples
    --------
    >>> jackknife = JackknifeGroups("unit", (Column("t", "int64", Kind.NUMBER),), groups=4, unit=10.0)
    >>> keys, place = units_of(pa.record_batch({"t": [0, 9, 45, None]}), jackknife)
    >>> keys[1:].tolist(), place.tolist()
    ([0, 4], [1, 1, 2, 0])
    """
    return cached(batch, ("units", jackknife), lambda: _units_of(batch, jackknife))


def _units_of(batch: pa.RecordBatch, jackknife: JackknifeGroups) -> tuple[np.ndarray, np.ndarray]:
    if jackknife.kind == "value":
        keys = _joint_hashes(batch, jackknife.columns).view(np.int64)
    else:
        values, present = finite_values(batch.column(jackknife.columns[0].name))
        keys = np.floor_divide(np.where(present, values, 0), np.asarray(jackknife.unit).astype(values.dtype))
        if keys.dtype.kind == "f":
            keys = np.clip(keys, -FARTHEST, FARTHEST)
        keys = np.where(present, keys.astype(np.int64), np.iinfo(np.int64).min)
    found, place = np.unique(keys, return_inverse=True)
    return found, place


def _joint_hashes(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> np.ndarray:
    hashed = np.zeros(batch.num_rows, np.uint64)
    for column in columns:
        hashed = hash_numbers(hashed ^ _value_hashes(batch.column(column.name)))
    return hashed


def _group_codes(batch: pa.RecordBatch, jackknife: JackknifeGroups) -> np.ndarray:
    if jackknife.kind == "value":
        hashed = _joint_hashes(batch, jackknife.columns)
        return ((hashed >> np.uint64(33)) % np.uint64(jackknife.groups)).astype(np.int64)
    values, present = finite_values(batch.column(jackknife.columns[0].name))
    if jackknife.kind == "unit":
        units = np.floor_divide(np.where(present, values, 0), np.asarray(jackknife.unit).astype(values.dtype))
        return np.where(present, np.mod(units, jackknife.groups), 0).astype(np.int64)
    shard, depth = values >> POSITION_BITS, values & np.uint64(2**16 - 1)
    run = depth * np.uint64(jackknife.groups) >> POSITION_BITS
    return (run if jackknife.kind == "run" else shard % np.uint64(jackknife.groups)).astype(np.int64)


def _value_hashes(array: pa.Array) -> np.ndarray:
    """Return a hash of every value, shape (rows,), uint64; missing values are one more value."""
    if pa.types.is_dictionary(array.type):
        lookup = np.concatenate([hash64(array.dictionary), np.zeros(1, np.uint64)])
        return np.asarray(lookup[pc.fill_null(array.indices, len(array.dictionary)).to_numpy(zero_copy_only=False)])
    values, present = finite_values(array)
    return np.where(present, hash_numbers(sortable_keys(values)), np.uint64(0))


@dataclass(frozen=True)
class JackknifeGroups:
    """Which rows the jackknife deletes together."""

    kind: str
    """value: equal values; unit: the same day, hour, ... or stretch of a number; run: of rows of each shard; shard."""
    columns: tuple[Column, ...]
    """Columns that decide it; `POSITION` for runs and shards."""
    groups: int
    """Number of groups."""
    unit: float = 1.0
    """Width of a unit, in the column's own unit, microseconds for times."""
    most_units: int = 0
    """Units whose margins are kept (see `featflow.summaries.unit_margins`); 0 where evidence counts rows."""

    @property
    def ordered(self) -> bool:
        """Whether units follow one another."""
        return self.kind == "unit"

    @property
    def unit_text(self) -> str:
        """A unit of event time in words: a day, an hour, ...; 10."""
        if self.columns[0].kind is not Kind.TIME:
            return f"{self.unit:,.12g}"
        name = TIME_NAMES.get(int(self.unit), f"{self.unit:,.0f} microseconds")
        return f"{'an' if name == 'hour' else 'a'} {name}" if int(self.unit) in TIME_NAMES else name

    @property
    def unit_name(self) -> str:
        """What a unit is called: day, hour, ...; or the columns whose values or stretches it is."""
        if self.ordered and self.columns[0].kind is Kind.TIME and int(self.unit) in TIME_NAMES:
            return TIME_NAMES[int(self.unit)]
        return "+".join(column.name for column in self.columns)
