"""Counts of every feature's fine codes against every target's classes.

Integers, so any cut of the rows gives the same state, and states subtract.
Cost: 8 bytes a cell, the sum over features and targets of levels x classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.binning import encode
from featflow.columns import Coding, Column, target_classes

__all__ = ["TargetCounts", "TargetCountsSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class TargetCounts:
    """Contingency tables, one after another: feature by feature, target by target."""

    rows: int
    """Rows seen."""
    counts: np.ndarray
    """Rows of every cell, shape (cells,), int64; `TargetCountsSummarizer.table` finds a table in it."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        return type(self)(self.rows + other.rows, self.counts + other.counts)

    def to_arrow(self) -> pa.Table:
        """Return one row a cell."""
        return pa.table({"counts": self.counts}).replace_schema_metadata({"version": "1", "rows": str(self.rows)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        return cls(int(table.schema.metadata[b"rows"]), table.column("counts").to_numpy())


@dataclass(frozen=True, slots=True)
class TargetCountsSummarizer:
    """Spec of `TargetCounts`.

    Examples
    --------
    >>> from featflow.binning import category_coding
    >>> from featflow.columns import Column, Kind
    >>> x, y = (category_coding(Column(n, "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16) for n in "xy")
    >>> spec = TargetCountsSummarizer((x,), (y,))
    >>> values = {"x": ["a", "a", "b"], "y": ["a", "b", "a"]}
    >>> batch = pa.record_batch({name: pa.array(value).dictionary_encode() for name, value in values.items()})
    >>> spec.table(spec.summarize(batch), 0, 0)[1:3, 1:3].tolist()
    [[1, 1], [1, 0]]
    """

    features: tuple[Coding, ...]
    """Codings of the features."""
    targets: tuple[Coding, ...]
    """Codings of the targets."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "target_counts"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Features and targets."""
        return tuple(dict.fromkeys(coding.column for coding in self.features + self.targets))

    def shapes(self) -> list[list[tuple[int, int]]]:
        """Return levels and classes of every table, by feature and target."""
        classes = [int(target_classes(target).max()) + 1 for target in self.targets]
        return [[(feature.cardinality, c) for c in classes] for feature in self.features]

    def table(self, state: TargetCounts, feature: int, target: int) -> np.ndarray:
        """Return one table, shape (levels, classes), int64; row 0 and column 0 are missing."""
        shapes = self.shapes()
        before = [shape for row in shapes[:feature] for shape in row] + shapes[feature][:target]
        start = sum(levels * classes for levels, classes in before)
        levels, classes = shapes[feature][target]
        return state.counts[start : start + levels * classes].reshape(levels, classes)

    def empty(self) -> TargetCounts:
        """Return the counts of no rows."""
        return TargetCounts(0, np.zeros(self.nbytes() // 8, np.int64))

    def summarize(self, batch: pa.RecordBatch) -> TargetCounts:
        """Return the counts of a batch."""
        classes = [target_classes(t)[encode(batch.column(t.column.name), t)].astype(np.int64) for t in self.targets]
        parts = []
        for feature, shapes in zip(self.features, self.shapes(), strict=True):
            codes = encode(batch.column(feature.column.name), feature).astype(np.int64)
            for target, (levels, width) in zip(classes, shapes, strict=True):
                parts.append(np.bincount(codes * width + target, minlength=levels * width))
        return TargetCounts(batch.num_rows, np.concatenate(parts) if parts else np.zeros(0, np.int64))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * sum(levels * classes for row in self.shapes() for levels, classes in row)
