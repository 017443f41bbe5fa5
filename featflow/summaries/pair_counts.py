"""Joint counts of all pairs of two blocks of columns, alone or by a target's class.

All pairs at once are one integer matrix product of one-hot codes; rows grouped
by class give one product a class. Counts are integers, exact in int32 for the
rows of one product. Where rows have weights, sums of them take the place of counts:
a float64 product, and beside it how many rows there were.
Cost: 8 bytes x classes x (levels of left) x (levels of right).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch

from featflow.columns import Coding, Column, pair_cardinality, target_classes
from featflow.summaries.codes import WEIGHT_FIELD, column_field, target_field

__all__ = ["PairCounts", "PairCountsSummarizer", "RowCounts", "one_hot_product"]

ONE_HOT_BYTES = 32 * 2**20
"""Bytes of one block's one-hot codes in one product."""


@dataclass(frozen=True, slots=True, eq=False)
class RowCounts:
    """The rows behind sums of weights."""

    present: np.ndarray
    """Rows in which both columns are present, shape (left columns, right columns), int64."""
    classes: tuple[np.ndarray, ...]
    """Rows of every class, one array of shape (classes,), int64, for each of `PairCounts.counts`."""
    weight_sum: float
    """Sum of the weights of all rows."""
    weight_square_sum: float
    """Sum of the squared weights of all rows."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        classes = tuple(ours + theirs for ours, theirs in zip(self.classes, other.classes, strict=True))
        sums = self.weight_sum + other.weight_sum, self.weight_square_sum + other.weight_square_sum
        return type(self)(self.present + other.present, classes, *sums)


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Joint counts of every left level with every right level, by class of each target."""

    rows: int
    """Rows seen."""
    counts: tuple[np.ndarray, ...]
    """One array a target, or one in all if there is none: shape (classes, left levels, right levels), int64; with
    weights sums of them, float64."""
    weighted: RowCounts | None = None
    """The rows behind sums of weights; None where every row weighs 1 and counts are rows."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        counts = tuple(ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True))
        both = self.weighted.merge(other.weighted) if self.weighted and other.weighted else None
        return type(self)(self.rows + other.rows, counts, both)

    def to_arrow(self) -> pa.Table:
        """Return one row a cell, target by target; then the rows behind weights, as float64 beside the sums."""
        arrays, more = list(self.counts), {}
        if self.weighted is not None:
            arrays += [self.weighted.present, *self.weighted.classes]
            more = {"weight_sums": f"{self.weighted.weight_sum!r},{self.weighted.weight_square_sum!r}"}
        shapes = ";".join(",".join(map(str, array.shape)) for array in arrays)
        table = pa.table({"counts": np.concatenate([array.ravel() for array in arrays])})
        return table.replace_schema_metadata({"version": "1", "rows": str(self.rows), "shapes": shapes} | more)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        metadata = table.schema.metadata
        shapes = [tuple(map(int, text.split(","))) for text in metadata[b"shapes"].decode().split(";")]
        cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        parts = np.split(table.column("counts").to_numpy(), cuts)
        arrays = tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        rows = int(metadata[b"rows"])
        if b"weight_sums" not in metadata:
            return cls(rows, arrays)
        targets = len(arrays) // 2  # counts of each, rows of both columns, rows by class of each
        present, *classes = (array.astype(np.int64) for array in arrays[targets:])
        sums = map(float, metadata[b"weight_sums"].split(b","))
        return cls(rows, arrays[:targets], RowCounts(present, tuple(classes), *sums))


@dataclass(frozen=True, slots=True)
class PairCountsSummarizer:
    """Spec of `PairCounts`; its batches hold codes (see `featflow.summaries.codes`), not values.

    Examples
    --------
    >>> from featflow.binning import category_coding
    >>> from featflow.columns import Column, Kind
    >>> x, y = (category_coding(Column(n, "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16) for n in "xy")
    >>> spec = PairCountsSummarizer((x,), (y,), ())
    >>> codes = {"column:x": [1, 1, 2], "column:y": [1, 2, 1]}
    >>> batch = pa.record_batch({name: pa.array(values, pa.uint8()) for name, values in codes.items()})
    >>> spec.summarize(batch).counts[0][0, 1:3, 1:3].tolist()
    [[1, 1], [1, 0]]
    """

    left: tuple[Coding, ...]
    """Codings of the first block."""
    right: tuple[Coding, ...]
    """Codings of the second block; the same for a diagonal block."""
    targets: tuple[Coding, ...]
    """Codings of the targets."""
    weight: Column | None = None
    """Row weights."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "pair_counts"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of both blocks, the targets and the weight."""
        columns = dict.fromkeys(coding.column for coding in self.left + self.right + self.targets)
        return tuple(columns) + ((self.weight,) if self.weight else ())

    @property
    def fields(self) -> list[str]:
        """Fields of the codes that it reads."""
        names = dict.fromkeys(column_field(coding.column.name) for coding in self.left + self.right)
        targets = (target_field(target.column.name) for target in self.targets)
        return [*names, *targets, *([WEIGHT_FIELD] if self.weight else [])]

    def classes(self) -> list[int]:
        """Return the number of classes of every target, "missing" included; [1] without targets."""
        return [int(target_classes(target).max()) + 1 for target in self.targets] or [1]

    def empty(self) -> PairCounts:
        """Return the counts of no rows."""
        shape = (_width(self.left), _width(self.right))
        if self.weight is None:
            return PairCounts(0, tuple(np.zeros((classes, *shape), np.int64) for classes in self.classes()))
        present = np.zeros((len(self.left), len(self.right)), np.int64)
        none = RowCounts(present, tuple(np.zeros(classes, np.int64) for classes in self.classes()), 0.0, 0.0)
        return PairCounts(0, tuple(np.zeros((classes, *shape)) for classes in self.classes()), none)

    def summarize(self, batch: pa.RecordBatch) -> PairCounts:
        """Return the counts of a batch of codes."""
        left = _columns(batch, self.left)
        right = left if self.left == self.right else _columns(batch, self.right)
        targets = [batch.column(target_field(target.column.name)).to_numpy() for target in self.targets]
        targets = targets or [np.zeros(batch.num_rows, np.uint8)]
        pairs = list(zip(targets, self.classes(), strict=True))
        if self.weight is None:
            return PairCounts(batch.num_rows, tuple(self._by_class((left, right), *pair, None) for pair in pairs))
        weights = np.array(batch.column(WEIGHT_FIELD))
        counts = tuple(self._by_class((left, right), *pair, weights) for pair in pairs)
        present = one_hot_product(*(torch.from_numpy((side > 0).astype(np.int8)) for side in (left, right)))
        classes = tuple(np.bincount(target, minlength=k) for target, k in pairs)
        behind = RowCounts(present.numpy().astype(np.int64), classes, float(weights.sum()), float((weights**2).sum()))
        return PairCounts(batch.num_rows, counts, behind)

    def _by_class(
        self, sides: tuple[np.ndarray, np.ndarray], target: np.ndarray, classes: int, weights: np.ndarray | None
    ) -> np.ndarray:
        left, right = sides
        kind = torch.int8 if weights is None else torch.float64
        counts = np.zeros((classes, _width(self.left), _width(self.right)), np.int64 if weights is None else np.float64)
        order = np.argsort(target, kind="stable")
        ends = np.cumsum(np.bincount(target, minlength=classes))
        step = max(1, ONE_HOT_BYTES // kind.itemsize // max(*counts.shape[1:], 1))
        for code, end in enumerate(ends):
            first = ends[code - 1] if code else 0
            for start in range(int(first), int(end), step):
                rows = order[start : min(start + step, int(end))]
                a = _one_hot(left[:, rows], self.left, kind)
                b = a if right is left else _one_hot(right[:, rows], self.right, kind)
                weighted = None if weights is None else a * torch.from_numpy(weights[rows])
                counts[code] += (one_hot_product(a, b) if weighted is None else weighted @ b.T).numpy()
        return counts

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        rows = len(self.left) * len(self.right) + sum(self.classes()) + 2 if self.weight else 0
        return 8 * (sum(self.classes()) * _width(self.left) * _width(self.right) + rows)


def _width(codings: tuple[Coding, ...]) -> int:
    return sum(pair_cardinality(coding) for coding in codings)


def _columns(batch: pa.RecordBatch, codings: tuple[Coding, ...]) -> np.ndarray:
    return np.stack([batch.column(column_field(coding.column.name)).to_numpy() for coding in codings])


def _one_hot(codes: np.ndarray, codings: tuple[Coding, ...], kind: torch.dtype) -> torch.Tensor:
    """Return one-hot rows of all levels, shape (levels, rows)."""
    offsets = np.cumsum([0, *(pair_cardinality(coding) for coding in codings)])
    index = torch.from_numpy(codes.astype(np.int64) + offsets[:-1, None])
    one_hot = torch.zeros((int(offsets[-1]), codes.shape[1]), dtype=kind)
    return one_hot.scatter_(0, index, 1)


def one_hot_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``left @ right.T`` of codes 0 and 1, shape (left levels, right levels), int32, exact.

    ``torch._int_mm`` is what VNNI, AMX and tensor cores are fastest at; its name is private, so float32 is the
    fallback, exact below 2^24 rows. On CPUs it leaves its output unwritten when a dimension is 1 (pytorch#195066).

    Examples
    --------
    >>> one_hot_product(torch.tensor([[1, 0, 1]], dtype=torch.int8), torch.tensor([[1, 1, 1]], dtype=torch.int8)).item()
    2
    """
    if min(*left.shape, *right.shape) > 1:
        try:
            return torch._int_mm(left, right.T)  # noqa: SLF001
        except (AttributeError, RuntimeError):
            pass
    return (left.to(torch.float32) @ right.to(torch.float32).T).to(torch.int32)
