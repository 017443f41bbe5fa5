"""Second moments of numbers within the levels of categories, for the correlation ratio.

Merging is Chan et al. (1983) in every cell, with sums of weights for counts where
rows have weights. Cost: three (levels x numbers) arrays, four with weights; as
many one-hot products a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa
import torch

from featflow.binning import centred_values, divisor, row_weights
from featflow.coding import pair_codes_of
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
    """Weighted sum of squared deviations, shape (levels, q)."""
    weight: np.ndarray | None = None
    """Sum of these rows' weights, shape (levels, q); None where every row weighs 1."""

    @property
    def total(self) -> np.ndarray:
        """Sum of these rows' weights, shape (levels, q); ``n`` itself without weights."""
        return self.n if self.weight is None else self.weight

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        n = self.n + other.n
        ours, theirs = self.total, other.total
        total = n if self.weight is None else ours + theirs
        share = theirs / divisor(total)
        delta = other.mean - self.mean
        mean = np.where(ours == 0, other.mean, np.where(theirs == 0, self.mean, self.mean + delta * share))
        m2 = self.m2 + other.m2 + np.where((ours == 0) | (theirs == 0), 0.0, delta**2 * ours * share)
        return type(self)(self.rows + other.rows, n, mean, m2, None if self.weight is None else total)

    def to_arrow(self) -> pa.Table:
        """Return one row a level and number."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rows"}
        arrays = {name: value.ravel() for name, value in values.items() if value is not None}
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
    weight: Column | None = None
    """Row weights."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "grouped_moments"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Categories, numbers and the weight."""
        columns = tuple(c.column for c in self.categories) + tuple(number.column for number in self.numbers)
        return columns + ((self.weight,) if self.weight else ())

    def offsets(self) -> np.ndarray:
        """Return the first level of every category, and the number of all levels, shape (categories + 1,)."""
        return np.cumsum([0, *(pair_cardinality(coding) for coding in self.categories)])

    def empty(self) -> GroupedMoments:
        """Return the moments of no rows."""
        shape = (int(self.offsets()[-1]), len(self.numbers))
        zero = np.zeros(shape)
        return GroupedMoments(0, np.zeros(shape, np.int64), zero, zero, zero if self.weight else None)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def summarize(self, batch: pa.RecordBatch) -> GroupedMoments:
        """Return the moments of a batch."""
        offsets, rows = self.offsets(), batch.num_rows
        codes = np.stack([pair_codes_of(batch, coding) for coding in self.categories]).astype(np.int64)
        codes += offsets[:-1, None]
        columns = [centred_values(batch.column(c.column.name), c) for c in self.numbers]
        x, finite = np.stack([values for values, _ in columns]), np.stack([present for _, present in columns])
        weights = row_weights(batch, self.weight)
        sums = torch.zeros((3 if weights is None else 4, int(offsets[-1]), len(self.numbers)), dtype=torch.float64)
        step = max(1, ONE_HOT_BYTES // (8 * int(offsets[-1])))
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            one_hot = torch.zeros((int(offsets[-1]), part.stop - start), dtype=torch.float64)
            one_hot.scatter_(0, torch.from_numpy(codes[:, part]), 1.0)
            values = torch.from_numpy(np.ascontiguousarray(x[:, part].T))
            present = torch.from_numpy(np.ascontiguousarray(finite[:, part].T.astype(np.float64)))
            factors = [values, values * values, present]
            if weights is not None:
                weight = torch.from_numpy(weights[part, None])
                factors = [*(weight * factor for factor in factors), present]
            sums += torch.stack([one_hot @ factor for factor in factors])
        first, second, total, n = *sums[:3].numpy(), sums[-1].numpy()
        mean = first / divisor(total)
        m2 = np.maximum(second - total * mean**2, 0.0)
        return GroupedMoments(rows, n.astype(np.int64), mean, m2, None if weights is None else total)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return (4 if self.weight else 3) * 8 * int(self.offsets()[-1]) * len(self.numbers)
