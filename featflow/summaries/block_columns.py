"""A block of a batch's columns as float64, piece by piece of rows: values, and presence where some are missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from featflow.binning import EXACT_FLOAT, centred_values
from featflow.columns import NumberCoding

__all__ = ["Columns", "Piece", "Values", "block_columns"]

Values = Callable[[pa.Array, NumberCoding], tuple[np.ndarray, np.ndarray]]
"""What takes values (0 where absent) and presence from a column."""


@dataclass(frozen=True, slots=True)
class Columns:
    """One block of a batch's columns."""

    arrays: tuple[pa.Array, ...]
    """The columns."""
    codings: tuple[NumberCoding, ...]
    """Their codings."""
    values: Values
    """What takes their values."""
    incomplete: np.ndarray
    """Indices of the columns that miss a finite value, ascending."""

    def only(self, indices: np.ndarray) -> Columns:
        """Return some of the columns."""
        kept = np.flatnonzero(np.isin(indices, self.incomplete))
        arrays, codings = (tuple(items[i] for i in indices) for items in (self.arrays, self.codings))
        return Columns(arrays, codings, self.values, kept)

    def piece(self, start: int, rows: int, origin: np.ndarray) -> Piece:
        """Return some rows, less the origin of each column."""
        values = torch.empty((len(self.arrays), rows), dtype=torch.float64)
        present = torch.empty((len(self.incomplete), rows), dtype=torch.float64)
        place = dict(zip(self.incomplete.tolist(), present.numpy(), strict=True))
        for index, (array, coding) in enumerate(zip(self.arrays, self.codings, strict=True)):
            some, into = array.slice(start, rows), values.numpy()[index]
            if index not in place and self.values is centred_values and _subtracts(array, coding):
                np.copyto(into, some.to_numpy())
                into -= coding.centre
            else:
                into[:], finite = self.values(some, coding)
                if index in place:
                    place[index][:] = finite
            if origin[index]:
                into -= origin[index]
                into *= place.get(index, 1.0)
        return Piece(values, present)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a block."""

    x: torch.Tensor
    """Values, 0 where absent, shape (columns, rows), float64."""
    present: torch.Tensor
    """Presence (0 or 1) in the columns that are incomplete, shape (incomplete, rows), float64."""

    def dense(self, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Return values and presence of every column, both shape (columns, rows)."""
        present = np.ones(self.x.shape, bool)
        present[columns.incomplete] = self.present.numpy() > 0
        return self.x.numpy(), present

    def weighted(self, weights: torch.Tensor | None) -> Piece:
        """Return values and presence times the rows' weights; itself without weights."""
        return self if weights is None else Piece(self.x * weights, self.present * weights)


def block_columns(batch: pa.RecordBatch, codings: tuple[NumberCoding, ...], values: Values) -> Columns:
    """Return a block of a batch's columns."""
    arrays = tuple(batch.column(coding.column.name) for coding in codings)
    return Columns(arrays, codings, values, np.flatnonzero([not _complete(array) for array in arrays]))


@np.errstate(over="ignore", invalid="ignore")
def _complete(array: pa.Array) -> bool:
    """Return whether all values are finite."""
    if array.null_count:
        return False
    if not pa.types.is_floating(array.type):
        return True
    values = array.to_numpy()
    return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _subtracts(array: pa.Array, coding: NumberCoding) -> bool:
    """Return whether a float64 difference from the centre is exact but for rounding: see `values_less`."""
    return pa.types.is_floating(array.type) or abs(coding.centre) < EXACT_FLOAT
