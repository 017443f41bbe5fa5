"""Iterates over the pairs of a block of columns, in the order of its tables, and over their counts by strips.

A strip is one left column against so many right columns that their joint counts stay
in a processor's cache. On a diagonal block a column meets those after it alone. Cost: a
few numpy calls a strip, none a pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import Coding, pair_cardinality
from featflow.summaries import PairCountsSummarizer

__all__ = ["PAIRS", "BlockPairs", "Strip", "column_sums", "level_starts", "margins_of"]

CELLS = 2**16
"""Cells of a strip: 512 KiB of counts and as much for each temporary array, which a core's cache holds."""
PAIRS = 2**15
"""Pairs of a batch of strips: so many that calls cost little a pair, so few that their table rows stay small."""


def level_starts(codings: tuple[Coding, ...]) -> np.ndarray:
    """Return the first level of every column and the end of the last, shape (columns + 1,)."""
    return np.cumsum([0, *(pair_cardinality(coding) for coding in codings)])


@dataclass(frozen=True)
class Strip:
    """One left column against some right columns."""

    place: slice
    """Places of its pairs among those of the block."""
    rows: slice
    """Levels of the left column."""
    columns: slice | np.ndarray
    """Levels of the right columns."""
    starts: np.ndarray
    """First of the right levels of every right column, counted from the strip's own first, shape (pairs,)."""

    def cells(self, counts: np.ndarray) -> np.ndarray:
        """Return the strip of an array of shape (left levels, right levels)."""
        rows = counts[self.rows]
        return rows[:, self.columns] if isinstance(self.columns, slice) else np.take(rows, self.columns, axis=1)

    def over_classes(self, counts: np.ndarray) -> np.ndarray:
        """Return the strip of an array of shape (classes, left levels, right levels), summed over classes."""
        if len(counts) == 1:
            return self.cells(counts[0]).copy()
        cells: np.ndarray = self.cells(counts[0]) + self.cells(counts[1])
        for class_counts in counts[2:]:
            cells += self.cells(class_counts)
        return cells


class BlockPairs:
    """Pairs of the requested columns, left by left: on a diagonal block each pair once, none with itself.

    Parameters
    ----------
    left, right
        Which columns are requested, shapes (left columns,) and (right columns,), bool.
    """

    def __init__(self, spec: PairCountsSummarizer, left: np.ndarray, right: np.ndarray) -> None:
        self._spec, self._left, self._right = spec, np.flatnonzero(left), np.flatnonzero(right)
        self.rows, self.columns = level_starts(spec.left), level_starts(spec.right)
        diagonal = spec.left == spec.right
        first = np.searchsorted(self._right, self._left, side="right") if diagonal else np.zeros_like(self._left)
        self.first = np.minimum(first, len(self._right))
        """First of the requested right columns that each requested left column is paired with."""
        self.ends = np.cumsum([0, *(len(self._right) - self.first)])
        """Where the pairs of each requested left column start, and where all end."""

    def __len__(self) -> int:
        return int(self.ends[-1])

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of every pair, shapes (pairs,)."""
        i = np.repeat(self._left, np.diff(self.ends))
        j = np.concatenate([np.empty(0, np.int64), *(self._right[first:] for first in self.first)])
        return i, j

    def names(self, some: np.ndarray | slice = slice(None)) -> dict[str, pa.Array]:
        """Return the names of some pairs' columns, feature_a and feature_b."""
        sides = zip(("feature_a", "feature_b"), (self._spec.left, self._spec.right), self.sides(), strict=True)
        return {name: _column_names(codings).take(pa.array(index[some])) for name, codings, index in sides}

    def batches(self) -> Iterator[list[Strip]]:
        """Yield the strips that cover all pairs, in their order, some pairs at a time."""
        batch: list[Strip] = []
        for strip in self.strips():
            if batch and strip.place.stop - batch[0].place.start > PAIRS:
                yield batch
                batch = []
            batch.append(strip)
        if batch:
            yield batch

    def strips(self) -> Iterator[Strip]:
        """Yield the strips that cover all pairs, in their order."""
        sizes = np.diff(self.columns)[self._right]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        contiguous = bool(len(sizes)) and ends[-1] == self.columns[self._right[-1] + 1] - self.columns[self._right[0]]
        levels = np.repeat(self.columns[self._right] - ends[:-1], sizes) + np.arange(ends[-1])
        for index, column in enumerate(self._left):
            rows = slice(int(self.rows[column]), int(self.rows[column + 1]))
            most_levels, start = CELLS // (rows.stop - rows.start), int(self.first[index])
            while start < len(sizes):
                stop = max(start + 1, int(np.searchsorted(ends, ends[start] + most_levels, side="right")) - 1)
                right_levels = levels[ends[start] : ends[stop]]
                columns = slice(int(right_levels[0]), int(right_levels[-1]) + 1) if contiguous else right_levels
                pair = int(self.ends[index]) + start - int(self.first[index])
                yield Strip(slice(pair, pair + stop - start), rows, columns, ends[start:stop] - ends[start])
                start = stop


def column_sums(array: np.ndarray) -> np.ndarray:
    """Return sums over the first axis, whose terms are added in order."""
    # Of a single column numpy adds the terms pairwise: the last bit would depend on how a block is cut.
    return np.asarray(array.sum(axis=0) if array.shape[1] > 1 else np.cumsum(array, axis=0)[-1])


def _column_names(codings: tuple[Coding, ...]) -> pa.Array:
    return pa.array([coding.column.name for coding in codings], pa.string())


def margins_of(counts: np.ndarray, pairs: BlockPairs) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of the left levels and of the right levels, each shape (classes, levels)."""
    left = [class_counts[:, : pairs.columns[1]].sum(axis=1) for class_counts in counts]
    return np.stack(left), np.stack([class_counts[: pairs.rows[1]].sum(axis=0) for class_counts in counts])
