"""Joint counts of the pairs, or triples, that a table keeps, by group of rows, alone or by a target's class.

The jackknife needs them of those pairs; counts by group of all pairs would take too much memory. Integers, or
sums of weights. Cost: 8 bytes x groups x levels x levels x classes a pair, and as many times more as a third column
has levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import Coding, pair_cardinality, target_classes
from featflow.columns.column import Column
from featflow.summaries.array_state import ArrayState
from featflow.summaries.codes import GROUP_FIELD, WEIGHT_FIELD, column_field, target_field
from featflow.summaries.joint_counts import TAIL_CELLS, Spares, code_type, histogram, in_threads, join_codes
from featflow.summaries.protocol import Spec

__all__ = ["PairCountsByGroup", "PairCountsByGroupSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class PairCountsByGroup(ArrayState):
    """Tables of kept pairs, one after another."""

    counts: np.ndarray
    """Rows of every cell, int64, or their weight, float64, shape (cells,); the spec's `tables` cuts it."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        return type(self)(self.rows + other.rows, self.counts + other.counts)


@dataclass(frozen=True, slots=True)
class PairCountsByGroupSummarizer(Spec[PairCountsByGroup]):
    """Spec of `PairCountsByGroup`; its batches hold codes (see `featflow.summaries.codes`), not values.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Column, Kind
    >>> x, y = (category_coding(Column(n, "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16) for n in "xy")
    >>> spec = PairCountsByGroupSummarizer(((x, y),), None, groups=2)
    >>> codes = {"column:x": [1, 1, 2], "column:y": [1, 2, 1], "group": [0, 1, 1]}
    >>> batch = pa.record_batch({name: pa.array(values, pa.uint8()) for name, values in codes.items()})
    >>> next(spec.tables(spec.summarize(batch)))[1, 1:3, 1:3, 0].tolist()
    [[0, 1], [1, 0]]
    """

    name = "pair_counts_by_group"
    state = PairCountsByGroup
    of_stored = True

    pairs: tuple[tuple[Coding, ...], ...]
    """Codings of each pair, or of three columns that are counted jointly."""
    target: Coding | None
    """Coding of the target."""
    groups: int
    """Groups of rows that are kept apart; 1 for none."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the pairs and the target."""
        columns = [coding.column for pair in self.pairs for coding in pair]
        return tuple(dict.fromkeys([*columns, *([self.target.column] if self.target else [])]))

    @property
    def fields(self) -> list[str]:
        """Fields of the codes that it reads."""
        names = dict.fromkeys(column_field(coding.column.name) for pair in self.pairs for coding in pair)
        target = [target_field(self.target.column.name)] if self.target else []
        group = [GROUP_FIELD] if self.groups > 1 else []
        return [*names, *target, *group, *([WEIGHT_FIELD] if self.weight else [])]

    def shapes(self) -> list[tuple[int, ...]]:
        """Return groups, levels of each column and classes of every pair."""
        classes = int(target_classes(self.target).max()) + 1 if self.target else 1
        return [(self.groups, *(pair_cardinality(coding) for coding in pair), classes) for pair in self.pairs]

    def tables(self, state: PairCountsByGroup) -> Iterator[np.ndarray]:
        """Yield every pair's table, shape (groups, levels of each column, classes); code 0 is missing."""
        start = 0
        for shape in self.shapes():
            yield state.counts[start : start + prod(shape)].reshape(shape)
            start += prod(shape)

    def empty(self) -> PairCountsByGroup:
        """Return the counts of no rows."""
        return PairCountsByGroup(0, np.zeros(self.nbytes() // 8, np.int64 if self.weight is None else np.float64))

    def summarize(self, batch: pa.RecordBatch) -> PairCountsByGroup:
        """Return the counts of a batch of codes."""
        names = dict.fromkeys(coding.column.name for pair in self.pairs for coding in pair)
        columns = {name: _field_codes(batch, column_field(name)) for name in names}
        outer = np.zeros(batch.num_rows, code_type())
        if self.groups > 1:
            outer[:] = _field_codes(batch, GROUP_FIELD)
        if self.target:
            classes = int(target_classes(self.target).max()) + 1
            join_codes(outer, _field_codes(batch, target_field(self.target.column.name)), classes, outer)
        weights = np.array(batch.column(WEIGHT_FIELD)) if self.weight else None
        state, shapes = self.empty().counts, self.shapes()
        tables = list(self.tables(PairCountsByGroup(0, state)))
        spares = Spares(lambda: tuple(np.empty(batch.num_rows, kind) for kind in (code_type(), np.int16)))

        def count(index: int) -> None:
            first, *others = (columns[coding.column.name] for coding in self.pairs[index])
            groups, *levels, classes = shapes[index]
            with spares.lent() as (code, narrow):
                fits = prod(levels) <= TAIL_CELLS
                joined = first if fits else join_codes(outer, first, levels[0], code)
                for other, width in zip(others, levels[1:], strict=True):
                    joined = join_codes(joined, other, width, narrow if fits else code)
                if fits:
                    join_codes(outer, joined, prod(levels), code)
                table = histogram(code, weights, tables[index].size).reshape(groups, classes, *levels)
            tables[index][:] = np.moveaxis(table, 1, -1)

        in_threads(count, range(len(self.pairs)))
        return PairCountsByGroup(batch.num_rows, state)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * sum(prod(shape) for shape in self.shapes())


def _field_codes(batch: pa.RecordBatch, field: str) -> np.ndarray:
    return np.asarray(batch.column(field).to_numpy()).astype(np.int16)
