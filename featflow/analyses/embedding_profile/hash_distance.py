"""Search for difference hashes that lie within `DISTANCE` bits of one another.

Two such hashes agree in at least two of five blocks of bits, so ten sorted tables, one for each two blocks, hold all
candidates (Manku, Jain & Das Sarma 2007, "Detecting near-duplicates for web crawling", section 3). Cost: 120 bytes a
hash that is held; a microsecond a hash that is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from featflow.columns.hashing import hash_numbers

__all__ = ["DISTANCE", "SLOT_BITS", "LikenessTables", "informative", "slots"]

DISTANCE = 3
"""Bits in which the hashes of images that look alike differ at most."""
BLOCKS = DISTANCE + 2
"""Blocks of bits of a hash: `DISTANCE` bits touch as many blocks at most, so two blocks at least are equal."""
MASKS = tuple(
    np.uint64(sum(1 << bit for bit in range(64) if bit % BLOCKS in pair)) for pair in combinations(range(BLOCKS), 2)
)
"""Masks of two blocks of bits each. A block takes every fifth bit, so that what many pictures share, such as a plain
border, does not fill a block and make all of them candidates."""
SLOT_BITS = 16
"""Bits of a slot, by which hashes that agree under a mask are counted: the counts of ten masks then take 2.5 MiB."""
PAIRS_AT_ONCE = 2**20
"""Pairs compared at once, which bounds memory where many hashes agree under a mask."""


def informative(hashes: np.ndarray) -> np.ndarray:
    """Return which hashes tell pictures apart: flat pictures, and evenly falling ones, all have the same hash.

    Examples
    --------
    >>> informative(np.array([0, 5, 2**64 - 1], np.uint64)).tolist()
    [False, True, False]
    """
    return np.asarray((hashes != 0) & (hashes != np.uint64(2**64 - 1)))


def slots(hashes: np.ndarray) -> np.ndarray:
    """Return the slot of each hash under each mask, shape (masks, hashes), below 2^`SLOT_BITS`, int64.

    Hashes that are candidates under a mask share its slot; so do others, by chance.
    """
    shift = np.uint64(64 - SLOT_BITS)
    return np.stack([(hash_numbers(hashes & mask) >> shift).astype(np.int64) for mask in MASKS])


class LikenessTables:
    """Tables of hashes, sorted by their bits under each mask.

    Parameters
    ----------
    hashes
        Shape (hashes,), uint64, each once.
    held
        Which of them each mask's table holds, shape (masks, hashes).

    Examples
    --------
    >>> tables = LikenessTables(np.array([1, 1000], np.uint64), np.ones((10, 2), bool))
    >>> [(i.tolist(), j.tolist()) for i, j in tables.close(np.array([3, 1000], np.uint64)) if len(i)][:1]
    [([0], [0])]
    """

    def __init__(self, hashes: np.ndarray, held: np.ndarray) -> None:
        self._hashes = hashes
        self._tables = []
        for mask, in_table in zip(MASKS, held, strict=True):
            rows = np.flatnonzero(in_table).astype(np.int32)
            keys = hashes[rows] & mask
            order = np.argsort(keys)
            self._tables.append((mask, keys[order], rows[order]))

    def close(self, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places of hashes and of others that differ in 1 to `DISTANCE` bits; a pair may come more than once.

        Parameters
        ----------
        others
            Shape (others,), uint64.
        """
        for mask, keys, rows in self._tables:
            masked = others & mask
            order = np.argsort(masked)  # neighbours are looked up together, in what the cache holds
            first, last = (np.searchsorted(keys, masked[order], side) for side in ("left", "right"))
            candidates = last - first
            hits = np.flatnonzero(candidates)
            pieces = (np.cumsum(candidates[hits]) - 1) // PAIRS_AT_ONCE
            for some in np.split(hits, np.flatnonzero(np.diff(pieces)) + 1):
                count = candidates[some]
                origin = np.repeat(first[some] - np.cumsum(count) + count, count)
                left, right = rows[origin + np.arange(len(origin))], np.repeat(order[some], count)
                distance = np.bitwise_count(self._hashes[left] ^ others[right])
                close = (distance > 0) & (distance <= DISTANCE)
                yield left[close], right[close]
