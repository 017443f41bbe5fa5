"""A block of a batch's columns as float64, piece by piece of rows: values, and presence where some are missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import NumberCoding
from featflow.columns.encoding import centred_values

__all__ = ["Columns", "Piece", "Values", "aligned", "block_columns", "times"]

CACHE_LINE = 64
"""Bytes; the widest vector registers are as wide."""
Values = Callable[[pa.Array, NumberCoding], tuple[np.ndarray, np.ndarray]]
"""Function from a column and its coding to values (0 where absent) and presence."""


@dataclass(frozen=True, slots=True)
class Columns:
    """One block of a batch's columns."""

    arrays: tuple[pa.Array, ...]
    """The columns."""
    codings: tuple[NumberCoding, ...]
    """Their codings."""
    values: Values
    """Function that returns their values and presence."""
    incomplete: np.ndarray
    """Indices of the columns that miss a finite value, ascending."""

    def only(self, indices: np.ndarray) -> Columns:
        """Return some of the columns."""
        incomplete = np.flatnonzero(np.isin(indices, self.incomplete))
        arrays, codings = (tuple(items[i] for i in indices) for items in (self.arrays, self.codings))
        return Columns(arrays, codings, self.values, incomplete)

    def piece(self, start: int, rows: int, origin: np.ndarray) -> Piece:
        """Return some rows, less the origin of each column."""
        values, present = aligned(len(self.arrays), rows), aligned(len(self.incomplete), rows)
        presence_of = dict(zip(self.incomplete.tolist(), present, strict=True))
        for index, (array, coding) in enumerate(zip(self.arrays, self.codings, strict=True)):
            part, out = array.slice(start, rows), values[index]
            if self.values is centred_values and pa.types.is_floating(array.type):  # the same in fewer passes
                x = part.to_numpy(zero_copy_only=False)
                np.copyto(out, x)
                if coding.centre:
                    out -= coding.centre
                if index in presence_of:
                    np.isfinite(x, out=presence_of[index])
                    np.copyto(out, 0.0, where=presence_of[index] == 0)
            else:
                out[:], finite = self.values(part, coding)
                if index in presence_of:
                    presence_of[index][:] = finite
            if origin[index]:
                out -= origin[index]
                out *= presence_of.get(index, 1.0)
        return Piece(values, present)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a block."""

    x: np.ndarray
    """Values, 0 where absent, shape (columns, rows), float64."""
    present: np.ndarray
    """Presence (0 or 1) in the columns that are incomplete, shape (incomplete, rows), float64."""

    def dense(self, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Return values and presence of every column, both shape (columns, rows)."""
        present = np.ones(self.x.shape, bool)
        present[columns.incomplete] = self.present > 0
        return self.x, present

    def weighted(self, weights: np.ndarray | None) -> Piece:
        """Return values and presence times the rows' weights; itself without weights."""
        return self if weights is None else Piece(times(self.x, weights), times(self.present, weights))


def aligned(*shape: int) -> np.ndarray:
    """Return an uninitialised float64 array that begins at a cache line."""
    # The last bits of a product depend on where its operands begin.
    size = math.prod(shape)
    memory = np.empty(size + CACHE_LINE // 8)
    start = -memory.ctypes.data % CACHE_LINE // 8
    array: np.ndarray = memory[start : start + size].reshape(shape)
    return array


def times(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the product of each entry, aligned."""
    return np.asarray(np.multiply(x, y, out=aligned(*x.shape)))


def block_columns(batch: pa.RecordBatch, codings: tuple[NumberCoding, ...], values: Values) -> Columns:
    """Return a block of a batch's columns."""
    arrays = tuple(batch.column(coding.column.name) for coding in codings)
    return Columns(arrays, codings, values, np.flatnonzero([not _is_complete(array) for array in arrays]))


@np.errstate(over="ignore", invalid="ignore")
def _is_complete(array: pa.Array) -> bool:
    """Return whether all values are finite."""
    if array.null_count:
        return False
    if not pa.types.is_floating(array.type):
        return True
    values = array.to_numpy()
    return bool(np.isfinite(values.sum()) or np.isfinite(values).all())
