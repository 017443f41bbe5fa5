"""Second moments of numbers within the levels of categories, for the correlation ratio.

Merging is Chan et al. (1983) in every cell. Cost: three (levels x numbers)
arrays; three one-hot products a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa
import torch

from featflow.binning import centred_values, encode
from featflow.columns import CategoryCoding, Column, NumberCoding, pair_cardinality

__all__ = ["GroupedMoments", "GroupedMomentsSummarizer"]

ONE_HOT_BYTES = 32 * 2**20
"""Bytes of the one-hot codes of one product."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupedMoments:
    """Moments of q numbers in each of the levels of all categories, one category's levels after another's.

    Examples
    --------
    >>> from featflow.binning import category_coding, number_coding, sortable_keys
    >>> from featflow.columns import Column, Kind
    >>> x = category_coding(Column("x", "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16)
    >>> y = number_coding(Column("y", "float64", Kind.NUMBER), sortable_keys(np.zeros(1)), np.array([1]), 0, (64, 16))
    >>> spec = GroupedMomentsSummarizer((x,), (y,))
    >>> batch = pa.record_batch({"x": pa.array(["a", "a", "b"]).dictionary_encode(), "y": [1.0, 3.0, None]})
    >>> state = spec.summarize(batch)
    >>> state.n[:, 0].tolist(), float(state.mean[1, 0]), float(state.m2[1, 0])
    ([0, 2, 0, 0], 2.0, 2.0)
    """

    rows: int
    """Rows seen."""
    n: np.ndarray
    """Rows of the level in which the number is finite, shape (levels, q), int64."""
    mean: np.ndarray
    """Mean of the number over them, less its centre, shape (levels, q), in its unit."""
    m2: np.ndarray
    """Sum of squared deviations, shape (levels, q)."""

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        n = self.n + other.n
        share = other.n / np.maximum(n, 1)
        delta = other.mean - self.mean
        mean = np.where(self.n == 0, other.mean, np.where(other.n == 0, self.mean, self.mean + delta * share))
        m2 = self.m2 + other.m2 + np.where((self.n == 0) | (other.n == 0), 0.0, delta**2 * self.n * share)
        return type(self)(self.rows + other.rows, n, mean, m2)

    def to_arrow(self) -> pa.Table:
        """Return one row a level and number."""
        arrays = {field.name: getattr(self, field.name).ravel() for field in fields(self) if field.name != "rows"}
        metadata = {"version": "1", "rows": str(self.rows), "levels": str(len(self.n))}
        return pa.table(arrays).replace_schema_metadata(metadata)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        metadata = table.schema.metadata
        levels = int(metadata[b"levels"])
        shape = (levels, table.num_rows // levels if levels else 0)
        return cls(int(metadata[b"rows"]), *(table.column(n).to_numpy().reshape(shape) for n in table.column_names))


@dataclass(frozen=True, slots=True)
class GroupedMomentsSummarizer:
    """Spec of `GroupedMoments`."""

    categories: tuple[CategoryCoding, ...]
    """Codings whose pair levels group the rows."""
    numbers: tuple[NumberCoding, ...]
    """Codings of numbers, for their centres."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "grouped_moments"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Categories and numbers."""
        return tuple(c.column for c in self.categories) + tuple(number.column for number in self.numbers)

    def offsets(self) -> np.ndarray:
        """Return the first level of every category, and the number of all levels, shape (categories + 1,)."""
        return np.cumsum([0, *(pair_cardinality(coding) for coding in self.categories)])

    def empty(self) -> GroupedMoments:
        """Return the moments of no rows."""
        shape = (int(self.offsets()[-1]), len(self.numbers))
        return GroupedMoments(0, np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape))

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def summarize(self, batch: pa.RecordBatch) -> GroupedMoments:
        """Return the moments of a batch."""
        offsets, rows = self.offsets(), batch.num_rows
        codes = np.stack([c.groups[encode(batch.column(c.column.name), c)] for c in self.categories]).astype(np.int64)
        codes += offsets[:-1, None]
        columns = [centred_values(batch.column(c.column.name), c) for c in self.numbers]
        x, finite = np.stack([values for values, _ in columns]), np.stack([present for _, present in columns])
        sums = torch.zeros((3, int(offsets[-1]), len(self.numbers)), dtype=torch.float64)
        step = max(1, ONE_HOT_BYTES // (8 * int(offsets[-1])))
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            one_hot = torch.zeros((int(offsets[-1]), part.stop - start), dtype=torch.float64)
            one_hot.scatter_(0, torch.from_numpy(codes[:, part]), 1.0)
            values = torch.from_numpy(np.ascontiguousarray(x[:, part].T))
            present = torch.from_numpy(np.ascontiguousarray(finite[:, part].T.astype(np.float64)))
            sums += torch.stack([one_hot @ present, one_hot @ values, one_hot @ (values * values)])
        n, total, square = sums.numpy()
        mean = total / np.maximum(n, 1)
        m2 = np.maximum(square - n * mean**2, 0.0)
        return GroupedMoments(rows, n.astype(np.int64), mean, m2)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 3 * 8 * int(self.offsets()[-1]) * len(self.numbers)
