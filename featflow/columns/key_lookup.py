"""Step functions of sortable keys, read from paged tables instead of searched.

The cells and bins of a number begin at keys that are multiples of a power of two, so the leading bits of a key,
its *slot*, decide its cell. A table of all slots would be too large, and most slots are far from any step: each page
of slots with a step in it has a stretch of the table of its own, and all pages between two such pages share one.
Cost: 3 to 7 ns a key whatever the steps. numpy.searchsorted and torch.bucketize take 30 among 63 edges and
100 among 43,000 cells: with them, a run of a million rows of 20 columns takes 40 % more CPU, one of hflights 2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["KeyLookup", "Steps"]

PAGE_BITS = range(2, 10)
"""Bits of a slot within its page that are tried: those of the smallest table are used."""
MOST_SLOTS = 2**14
"""Entries of table and pages that any function may have: 64 KiB."""
MOST_SLOTS_A_STEP = 16
"""Entries for each step beyond that, 2 bytes each where there are not more than 65,535 steps."""
NARROW = 2**32
"""Keys of narrow types (see `narrow_keys`) lie below it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pages:
    """Maps every slot to its place in a table."""

    shift: int
    """Bits of a key below its slot."""
    bits: int
    """Bits of a slot within its page."""
    first: int
    """Page of the first entry of ``starts``: lower pages share its stretch."""
    starts: np.ndarray
    """Where in the table every page begins, shape (pages,), int32; pages beyond the last share its stretch."""

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Return the place of every key's slot in the table, shape (keys,), int32."""
        kind = keys.dtype.type
        slots = keys >> kind(self.shift)
        pages = slots >> kind(self.bits)
        np.clip(pages, kind(self.first), kind(self.first + len(self.starts) - 1), out=pages)
        pages -= kind(self.first)
        places = self.starts.take(pages if pages.dtype == np.uint32 else pages.view(np.int64))
        slots &= kind((1 << self.bits) - 1)
        places += slots.astype(np.int32, copy=False)
        return np.asarray(places)


class Steps:
    """Ascending keys, and a table of how many of them lie at or below any other key.

    Examples
    --------
    >>> steps = Steps(np.array([8, 24], np.uint64))
    >>> steps.rank(np.array([0, 7, 8, 23, 24, 2**60], np.uint64)).tolist()
    [0, 0, 1, 1, 2, 2]
    """

    __slots__ = ("_pages", "_table", "keys")

    def __init__(self, keys: np.ndarray) -> None:
        self.keys = keys
        self._pages, self._table = _build_pages(keys)

    @property
    def is_paged(self) -> bool:
        """Whether it has a table: it has none where steps lie so far apart that the table would be too large."""
        return self._pages is not None

    def rank(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of steps at or below every key, shape (keys,), of an integer type.

        Keys are uint64, or uint32 of the narrow type whose keys the steps are.
        """
        if self._pages is None:
            return np.searchsorted(self.keys, keys.astype(np.uint64, copy=False), side="right")
        if keys.dtype == np.uint32 and int(self.keys[-1]) >= NARROW:
            keys = keys.astype(np.uint64)
        return np.asarray(self._table.take(self._pages.places(keys)))


class KeyLookup:
    """Fine codes and ranks of a number as functions of its keys.

    Parameters
    ----------
    edges, cells, ranks
        As `featflow.columns.codebook.NumberCoding` has them.
    """

    def __init__(self, edges: np.ndarray, cells: np.ndarray, ranks: np.ndarray) -> None:
        self._edges, self._cells, self._ranks = edges, cells, ranks

    def codes(self, keys: np.ndarray) -> np.ndarray:
        """Return the fine code of every key, shape (keys,), int32, 1 or more."""
        steps, codes = self._codes
        return np.asarray(codes.take(steps.rank(keys)))

    def ranks(self, keys: np.ndarray) -> np.ndarray:
        """Return the rank of every key, shape (keys,), float64: the first cell's below it, 0 without cells."""
        return np.asarray(self._values.take(self._merged_steps.rank(keys)))

    @cached_property
    def _codes(self) -> tuple[Steps, np.ndarray]:
        edges, codes = Steps(self._edges), np.arange(1, len(self._edges) + 2, dtype=np.int32)
        if edges.is_paged or not self._merged_steps.is_paged:
            return edges, codes
        first = np.zeros(len(self._values), np.int32)
        first[0], first[1 + np.searchsorted(self._merged_steps.keys, self._edges)] = 1, 1
        return self._merged_steps, np.cumsum(first, dtype=np.int32)

    @cached_property
    def _merged_steps(self) -> Steps:
        """Keys at which the code or the rank changes: edges too far apart for a table of their own share this one."""
        steps, place, extra = self._extra_edges
        return Steps(np.insert(steps, place, extra))

    @cached_property
    def _values(self) -> np.ndarray:
        """Rank below the first step, and from each step on."""
        if not len(self._ranks):
            return np.zeros(1)
        _, place, _ = self._extra_edges
        return np.insert(self._ranks, 1 + place, self._ranks[place])

    @cached_property
    def _extra_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys of the second and later cells; places among them of the edges that begin no cell; these edges."""
        steps = self._cells[1:]
        place = np.searchsorted(steps, self._edges)
        new = np.append(steps, self._edges[-1:] + np.uint64(1))[place] != self._edges
        return steps, place[new], self._edges[new]


def _build_pages(steps: np.ndarray) -> tuple[_Pages | None, np.ndarray]:
    """Return pages of slots and the table of steps at or below each slot; no pages where the table is too large."""
    no_table = np.empty(0, np.uint16)
    if not len(steps):
        return None, no_table
    common = int(np.bitwise_or.reduce(steps))
    shift = (common & -common).bit_length() - 1 if common else 0
    slots = steps >> np.uint64(shift)
    differing = slots[1:] ^ slots[:-1]
    sizes = {bits: _entry_count(slots, differing, bits) for bits in PAGE_BITS}
    bits = min(sizes, key=lambda bits: sizes[bits])
    if sizes[bits] > max(MOST_SLOTS, MOST_SLOTS_A_STEP * len(steps)):
        return None, no_table
    page = np.concatenate([[0], np.cumsum((differing >> np.uint64(bits)) != 0)])
    pages = slots[np.flatnonzero(np.diff(page, prepend=-1))] >> np.uint64(bits)
    first = max(int(pages[0]) - 1, 0)
    page_range = np.arange(first, int(pages[-1]) + 2, dtype=np.uint64)
    used_before = np.searchsorted(pages, page_range, side="right")
    has_steps = np.isin(page_range, pages, assume_unique=True)
    starts = (2 * used_before - has_steps << bits).astype(np.int32)  # what lies between pages follows the page below it
    places = (2 * page + 1 << bits) + (slots & np.uint64((1 << bits) - 1)).astype(np.int64)
    counts = np.cumsum(np.bincount(places, minlength=2 * len(pages) + 1 << bits))
    return _Pages(shift, bits, first, starts), counts.astype(np.min_scalar_type(len(steps)))


def _entry_count(slots: np.ndarray, differing: np.ndarray, bits: int) -> int:
    """Return the entries of table and pages; ``differing`` are the bits in which neighbours differ."""
    pages = 1 + int(np.count_nonzero(differing >> np.uint64(bits)))
    return (2 * pages + 1 << bits) + (int(slots[-1] - slots[0]) >> bits) + 3
