"""Rows of every level and class in every unit: what a null on units needs of the margins (`measures.unit_null`).

Integers by the unit's key, so any cut of the rows gives the same state. Units beyond `most` leave none: then they are
many, and groups of them say as much (`measures.group_null`). Cost: 8 bytes a unit that occurs and level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

__all__ = ["UnitMargins"]


@dataclass(frozen=True, slots=True, eq=False)
class UnitMargins:
    """Margins by unit."""

    most: int
    """Units that are kept."""
    keys: np.ndarray
    """Keys of the units, shape (units,), int64, ascending."""
    counts: np.ndarray
    """Rows of every level, and of every class, shape (units, cells), int64; its spec cuts it."""

    @classmethod
    def empty(cls, most: int, cells: int) -> Self:
        """Return the margins of no rows."""
        return cls(most, np.empty(0, np.int64), np.zeros((0, cells), np.int64))

    def merge(self, other: Self | None) -> Self | None:
        """Return the margins of both operands' rows; None if they have too many units."""
        if other is None:
            return None
        both = self.with_units(other.keys)
        if both is None:
            return None
        counts = both.counts if both is not self else both.counts.copy()
        counts[np.searchsorted(both.keys, other.keys)] += other.counts
        return type(self)(self.most, both.keys, counts)

    def with_units(self, keys: np.ndarray) -> Self | None:
        """Return the same margins with room for more units; None if there would be too many.

        Examples
        --------
        >>> few = UnitMargins.empty(2, 1).with_units(np.array([3, 5]))
        >>> few.keys.tolist(), few.with_units(np.array([4]))
        ([3, 5], None)
        """
        union = np.union1d(self.keys, keys)
        if len(union) > self.most:
            return None
        if len(union) == len(self.keys):
            return self
        counts = np.zeros((len(union), self.counts.shape[1]), np.int64)
        counts[np.searchsorted(union, self.keys)] = self.counts
        return type(self)(self.most, union, counts)
