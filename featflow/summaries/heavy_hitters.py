"""Finds frequent values among too many to count: combinatorial group testing on bits of the values' hashes.

Cormode & Muthukrishnan (2005, "What's hot and what's not", ACM TODS 30, sec. 3), with two partitions into
groups. 44 bits of a hash are a value's identity. Its leading 12 bits are its group in the first partition,
its last 12 bits in the second; for each of the other 32 bits a group counts the rows whose bit is 1. A value
with most rows of its group is read off the majorities, bit by bit. Counts are integers: they add, subtract
and do not depend on order. Cost: 8 bytes a group and bit, 2 MiB.
"""

from __future__ import annotations

import numpy as np

from featflow.columns.hashing import IDENTITY_BITS, buckets_of, identities

__all__ = ["HEAVY_BITS", "HEAVY_GROUPS", "PARTITIONS", "group_counts", "heavy_hitters"]

PARTITIONS = 2
"""Partitions into groups: two frequent values that share a group in one seldom share a group in the other."""
GROUP_BITS = 12
"""Bits of an identity that choose its group."""
HEAVY_GROUPS = 1 << GROUP_BITS
"""Groups of a partition: a value of one part in so many of all rows has as many as the others of an average group."""
HEAVY_BITS = IDENTITY_BITS - GROUP_BITS
"""Bits counted in every group."""
AT_ONCE = 4
"""Bits counted by one pass over the values, as 16 patterns: fewer passes, and counts that stay small."""
PLACES = 1 << np.arange(HEAVY_BITS, dtype=np.int64)[::-1]
"""Value of every counted bit, highest first."""


def group_counts(hashes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return rows by partition and group: all of them, then those whose bit is 1, highest bit first.

    Parameters
    ----------
    hashes, counts
        Hash and rows of every value, shape (values,).

    Returns
    -------
    np.ndarray
        Shape (PARTITIONS, HEAVY_GROUPS, 1 + HEAVY_BITS), int64.
    """
    result = np.empty((PARTITIONS, HEAVY_GROUPS, 1 + HEAVY_BITS), np.int64)
    patterns = np.arange(1 << AT_ONCE)
    bits = patterns[:, None] >> np.arange(AT_ONCE)[::-1] & 1
    for rows, rotated in zip(result, _rotated(identities(hashes)), strict=True):
        group = rotated >> HEAVY_BITS << AT_ONCE
        for first in range(0, HEAVY_BITS, AT_ONCE):
            pattern = rotated >> (HEAVY_BITS - AT_ONCE - first) & patterns[-1]
            table = np.bincount(group | pattern, weights=counts, minlength=HEAVY_GROUPS << AT_ONCE)
            table = table.reshape(HEAVY_GROUPS, -1)  # float64, exact below 2^53 rows
            rows[:, 1 + first : 1 + first + AT_ONCE] = table @ bits
        rows[:, 0] = table.sum(axis=1)
    return result


def heavy_hitters(buckets: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return identities of frequent values, ascending, uint64, and upper bounds of their rows, int64.

    Every value is found that has more than half of the rows of its group in a partition and at least one part
    in `HEAVY_GROUPS` of all rows: with fewer, it would not outweigh the rest of an average group. An identity
    may belong to no value where frequent values share groups: its code then stays empty, which loses no rows.

    Parameters
    ----------
    buckets
        Rows of every bucket, shape (buckets,), int64.
    groups
        `group_counts` of the same rows.

    Examples
    --------
    >>> hashes, counts = np.array([7 << 52 | 5 << 20, 9 << 52], np.uint64), np.array([90, 10])
    >>> buckets = np.bincount(buckets_of(hashes, 65_536), counts, 65_536).astype(int)
    >>> frequent, rows = heavy_hitters(buckets, group_counts(hashes, counts))
    >>> (frequent == identities(hashes)).tolist(), rows.tolist()
    ([True, True], [90, 10])
    """
    candidates, bounds = [], []
    for partition, rows in enumerate(groups):
        totals, ones = rows[:, 0], rows[:, 1:]
        majority = np.where(2 * ones > totals[:, None], PLACES, 0).sum(axis=1)
        candidate = np.arange(HEAVY_GROUPS) << HEAVY_BITS | majority
        identity = candidate if partition == 0 else _rotate_left(candidate, GROUP_BITS)
        bound = buckets[buckets_of(identity.view(np.uint64), len(buckets), IDENTITY_BITS)]
        for other_rows, rotated in zip(groups, _rotated(identity), strict=True):
            bound = np.minimum(bound, _row_bound(other_rows, rotated))
        frequent = (2 * bound > totals) & (bound * HEAVY_GROUPS >= totals.sum())
        candidates.append(identity[frequent])
        bounds.append(bound[frequent])
    values, first = np.unique(np.concatenate(candidates), return_index=True)
    return values.view(np.uint64), np.concatenate(bounds)[first]


def _rotated(identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return identities as each partition reads them: the bits of the group first, int64."""
    signed = identity.astype(np.int64)
    return signed, _rotate_left(signed, HEAVY_BITS)


def _rotate_left(identity: np.ndarray, bits: int) -> np.ndarray:
    """Rotate identities to the left."""
    return np.asarray((identity << bits | identity >> (IDENTITY_BITS - bits)) & ((1 << IDENTITY_BITS) - 1))


def _row_bound(rows: np.ndarray, rotated: np.ndarray) -> np.ndarray:
    """Return the fewest rows of the value's group that agree with one of its bits: an upper bound of its rows."""
    group = rows[rotated >> HEAVY_BITS]
    is_one = (rotated[:, None] & PLACES) != 0
    return np.asarray(np.where(is_one, group[:, 1:], group[:, :1] - group[:, 1:]).min(axis=1))
