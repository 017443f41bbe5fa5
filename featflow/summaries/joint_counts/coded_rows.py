"""Rows of codes: what the kernels count."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

__all__ = ["CodedColumns", "CodedRows"]


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumns:
    """Columns of small codes.

    Raises
    ------
    ValueError
        Levels are not one a column, or a code is beyond its column's levels.
    """

    codes: np.ndarray
    """Codes, shape (columns, rows), uint8."""
    levels: tuple[int, ...]
    """Levels of every column: its codes are below; 1 to 256."""

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.uint8 or len(self.codes) != len(self.levels):
            shape = f"{self.codes.dtype} of shape {self.codes.shape}"
            raise ValueError(f"codes must be uint8, one row for each of {len(self.levels)} columns: {shape}")
        for column, highest in enumerate(self.codes.max(axis=1, initial=0).tolist()):
            if highest >= self.levels[column]:
                raise ValueError(f"column {column} of {self.levels[column]} levels holds code {highest}")

    @property
    def width(self) -> int:
        """Return the number of levels of all columns."""
        return sum(self.levels)

    @property
    def starts(self) -> tuple[int, ...]:
        """Return the first level of every column among those of all, and their number."""
        return tuple(accumulate(self.levels, initial=0))


@dataclass(frozen=True, slots=True, eq=False)
class CodedRows:
    """Two blocks of columns over the same rows, with what is counted apart and what rows weigh.

    Examples
    --------
    >>> left = CodedColumns(np.array([[1, 0, 2]], np.uint8), (3,))
    >>> CodedRows(left, target=CodedColumns(np.array([[1, 1, 0]], np.uint8), (2,))).shape
    (2, 3, 3)
    """

    left: CodedColumns
    """First block."""
    right: CodedColumns | None = None
    """Second block; None counts the first one against itself."""
    target: CodedColumns | None = None
    """One column whose classes are counted apart; None if there is one class."""
    weights: np.ndarray | None = None
    """Weights, shape (rows,), float64; None where every row weighs 1."""

    def __post_init__(self) -> None:
        others = [side.codes.shape[1] for side in (self.right, self.target) if side is not None]
        others += [] if self.weights is None else [len(self.weights)]
        if any(rows != self.rows for rows in others):
            raise ValueError(f"blocks, target and weights differ in rows: {[self.rows, *others]}")

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return int(self.left.codes.shape[1])

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return self.target.levels[0] if self.target is not None else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return classes, left levels and right levels."""
        return self.classes, self.left.width, (self.right or self.left).width

    def zeros(self) -> np.ndarray:
        """Return the tables of no rows: int64, or float64 for sums of weights."""
        return np.zeros(self.shape, np.int64 if self.weights is None else np.float64)
