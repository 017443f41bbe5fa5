"""Exact counts of a category's levels up to a limit; beyond it counts by hash bucket, and by bit of the hash.

Whether a column has more levels, or longer ones, than the limit is a property of its whole data,
and counts by bucket and bit add, so all but `FrequentLevels`, which is only displayed, is the same for any order
and any cut of the rows. Cost: the levels themselves, at most ``limit`` a column, then 8 bytes a bucket and 2 MiB for
the bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.batch_cache import group_levels, levels_of
from featflow.columns.column import Column
from featflow.columns.hashing import buckets_of, hash64
from featflow.summaries.frequent_levels import CHARACTERS, COUNTERS, FrequentLevels
from featflow.summaries.heavy_hitters import HEAVY_BITS, HEAVY_GROUPS, PARTITIONS, group_counts, heavy_hitters
from featflow.summaries.protocol import Spec
from featflow.summaries.sketches.hll import REGISTERS, no_registers, text_registers

__all__ = ["BUCKETS", "LevelCounts", "Levels", "LevelsSummarizer"]

BUCKETS = 65_536
"""Hash buckets of a column beyond the limit: as many as the default `codebook.levels`, 512 KiB."""
GROUPS = (PARTITIONS, HEAVY_GROUPS, 1 + HEAVY_BITS)
"""Shape of `LevelCounts.groups` beyond the limit."""
LEVEL_BYTES = 24
"""Bytes of text for each level of the limit: it bounds memory, so long texts reach it with fewer levels."""
LEVELS, COUNTS = pa.large_list(pa.string()), pa.large_list(pa.int64())


@dataclass(frozen=True, slots=True, eq=False)
class LevelCounts:
    """Counts of one column: by level, or by bucket and bit beyond the limit of levels."""

    missing: int
    """Nulls."""
    levels: pa.Array | None
    """Levels, ascending; None beyond the limit."""
    counts: np.ndarray
    """Rows of every level or bucket, int64."""
    groups: np.ndarray = field(default_factory=partial(np.empty, (0, *GROUPS[1:]), np.int64))
    """Rows by group and bit (see `group_counts`), shape (2, HEAVY_GROUPS, 1 + HEAVY_BITS), int64; empty with levels."""
    registers: np.ndarray = field(default_factory=no_registers)
    """Of all levels (see `featflow.summaries.sketches.hll`), shape (REGISTERS,), uint8; empty with levels."""
    frequent: FrequentLevels = field(default_factory=FrequentLevels.none)
    """The most frequent levels; empty with levels."""

    @classmethod
    def of_levels(cls, missing: int, levels: pa.Array, counts: np.ndarray, limit: int) -> Self:
        """Return the counts of ascending levels, each there once: by bucket and bit if they are beyond the limit."""
        exact = cls(missing, levels, counts)
        beyond = len(levels) > limit or _text_bytes(levels) > LEVEL_BYTES * limit
        return exact.hashed() if beyond else exact

    def merge(self, other: Self, limit: int) -> Self:
        """Return the counts of both operands, by bucket and bit if together they are beyond the limit."""
        missing = self.missing + other.missing
        if self.levels is not None and other.levels is not None:
            levels = pa.concat_arrays([self.levels, other.levels])
            return self.of_levels(missing, *group_levels(levels, np.concatenate([self.counts, other.counts])), limit)
        ours, theirs = self.hashed(), other.hashed()
        return type(self)(
            missing,
            None,
            ours.counts + theirs.counts,
            ours.groups + theirs.groups,
            np.maximum(ours.registers, theirs.registers),
            ours.frequent.merge(theirs.frequent),
        )

    def hashed(self) -> Self:
        """Return the counts by bucket and bit, of few levels, too."""
        if self.levels is None:
            return self
        hashes = hash64(self.levels)
        buckets = np.bincount(buckets_of(hashes, BUCKETS), weights=self.counts, minlength=BUCKETS)
        return type(self)(
            self.missing,
            None,
            buckets.astype(np.int64),
            group_counts(hashes, self.counts),
            text_registers(self.levels),
            FrequentLevels.of_levels(self.levels, self.counts),
        )

    def heavy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return identities of frequent levels, ascending, and upper bounds of their rows (see `heavy_hitters`)."""
        hashed = self.hashed()
        return heavy_hitters(hashed.counts, hashed.groups)


def _text_bytes(levels: pa.Array) -> int:
    return int(pc.sum(pc.binary_length(levels)).as_py() or 0)


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Level counts of p columns.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> spec = LevelsSummarizer((Column("x", "string", Kind.CATEGORY),), limit=16)
    >>> batch = pa.record_batch({"x": pa.array(["b", "a", None, "b"]).dictionary_encode()})
    >>> state = spec.summarize(batch).merge(spec.empty()).columns[0]
    >>> state.levels.to_pylist(), state.counts.tolist(), state.missing
    (['a', 'b'], [1, 2], 1)
    """

    rows: int
    """Rows seen."""
    limit: int
    """Levels counted exactly."""
    columns: tuple[LevelCounts, ...]
    """One a column."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        pairs = zip(self.columns, other.columns, strict=True)
        merged = tuple(ours.merge(theirs, self.limit) for ours, theirs in pairs)
        return type(self)(self.rows + other.rows, self.limit, merged)

    def to_arrow(self) -> pa.Table:
        """Return one row a column."""
        levels = [None if column.levels is None else column.levels.to_pylist() for column in self.columns]
        frequent = [column.frequent for column in self.columns]
        table = pa.table(
            {
                "missing": pa.array([column.missing for column in self.columns], pa.int64()),
                "levels": pa.array(levels, LEVELS),
                "counts": pa.array([column.counts for column in self.columns], COUNTS),
                "groups": pa.array([column.groups.ravel() for column in self.columns], COUNTS),
                "registers": pa.array([column.registers.tobytes() for column in self.columns], pa.binary()),
                "frequent": pa.array([each.levels.to_pylist() for each in frequent], LEVELS),
                "frequent_rows": pa.array([each.rows for each in frequent], COUNTS),
                "uncounted": pa.array([each.uncounted for each in frequent], pa.int64()),
            }
        )
        return table.replace_schema_metadata({"version": "3", "rows": str(self.rows), "limit": str(self.limit)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        columns = []
        for index in range(table.num_rows):
            row = {name: table.column(name)[index] for name in table.column_names}
            counts, groups, rows = (row[name].values.to_numpy() for name in ("counts", "groups", "frequent_rows"))
            registers = np.frombuffer(row["registers"].as_py(), np.uint8)
            frequent = FrequentLevels(row["frequent"].values, rows, row["uncounted"].as_py())
            hashed = groups.reshape(-1, *GROUPS[1:]), registers, frequent
            columns.append(LevelCounts(row["missing"].as_py(), row["levels"].values, counts, *hashed))
        metadata = table.schema.metadata
        return cls(int(metadata[b"rows"]), int(metadata[b"limit"]), tuple(columns))


@dataclass(frozen=True, slots=True)
class LevelsSummarizer(Spec[Levels]):
    """Spec of `Levels`."""

    name = "levels"
    state = Levels
    remedy = "lower codebook.levels, or exclude columns"

    columns: tuple[Column, ...]
    """Category and text columns."""
    limit: int
    """Levels counted exactly."""

    def empty(self) -> Levels:
        """Return the counts of no rows."""
        no_levels = LevelCounts.of_levels(0, pa.array([], pa.string()), np.empty(0, np.int64), self.limit)
        return Levels(0, self.limit, (no_levels,) * len(self.columns))

    def summarize(self, batch: pa.RecordBatch) -> Levels:
        """Return the counts of a batch."""
        columns = (
            LevelCounts.of_levels(batch.column(column.name).null_count, *levels_of(batch, column), self.limit)
            for column in self.columns
        )
        return Levels(batch.num_rows, self.limit, tuple(columns))

    def nbytes(self) -> int:
        """Return the bytes of a state: text, offsets and counts of the levels allowed, or the hashed counts."""
        frequent = COUNTERS * (4 * CHARACTERS + 4 + 8)  # a character has at most four bytes
        hashed = 8 * (BUCKETS + math.prod(GROUPS)) + REGISTERS + frequent
        exact = (LEVEL_BYTES + 4 + 8) * self.limit
        return len(self.columns) * max(exact, hashed)
