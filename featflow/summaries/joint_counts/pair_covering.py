"""Blocks of columns that hold every pair of columns once.

A histogram of g columns' joint codes has the tables of all its g (g - 1) / 2 pairs. A transversal design
TD(g, m) covers the pairs between g groups of m columns by m^2 blocks of one column a group: block (c, r) holds
column c of the first group and columns r, r + c, r + 2c, ... modulo m of the others. Two of these meet once where
differences of the multiples are invertible, so m must have no prime factor below g - 1 (Colbourn & Dinitz, Handbook of
Combinatorial Designs, 2007, III.3). Pairs within a group are covered in turn. Few columns are covered greedily.
100 columns by blocks of 4: 873, at best 825. Halves of blocks against halves, which needs no design, make 1,225:
counting all pairs of 100 or 300 columns of 17 levels takes 1.3 times as long, of 4 to 64 levels 1.2 to 1.3, of 20
columns as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations_with_replacement, pairwise

__all__ = ["Block", "cover_across", "cover_within"]

GREEDY_COLUMNS = 60
"""Columns up to which the greedy cover is tried: 30 ms, and seldom the better one beyond."""

Block = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Columns; and those pairs of their positions that are this block's to count, first not after second."""


@lru_cache(maxsize=16)
def cover_within(columns: int, size: int) -> tuple[Block, ...]:
    """Return blocks of at most ``size`` columns; every pair, of a column with itself too, is one block's to count.

    Examples
    --------
    >>> [block for block, _ in cover_within(6, 4)]
    [(0, 1, 2, 3), (0, 1, 4, 5), (2, 3, 4, 5)]
    """
    counted = bytearray(columns * columns)
    blocks: list[Block] = []
    known: dict[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]] = {}  # most blocks count the same ones
    for block in sorted(_blocks(columns, size)):
        pairs = []
        for i, j in combinations_with_replacement(range(len(block)), 2):
            pair = min(block[i], block[j]) * columns + max(block[i], block[j])
            if not counted[pair]:
                counted[pair] = True
                pairs.append((i, j))
        if pairs:  # a block cut short by a group's end may be part of another
            blocks.append((block, known.setdefault(tuple(pairs), tuple(pairs))))
    return tuple(blocks)


def cover_across(left: int, right: int, sizes: tuple[int, int]) -> Iterator[Block]:
    """Yield blocks of some left columns and, numbered after all of those, some right ones; left first.

    Examples
    --------
    >>> list(cover_across(2, 3, (2, 2)))
    [((0, 1, 2, 3), ((0, 2), (0, 3), (1, 2), (1, 3))), ((0, 1, 4), ((0, 2), (1, 2)))]
    """
    for a in range(0, left, sizes[0]):
        ours = tuple(range(a, min(a + sizes[0], left)))
        for b in range(0, right, sizes[1]):
            theirs = tuple(range(left + b, left + min(b + sizes[1], right)))
            pairs = ((i, len(ours) + j) for i in range(len(ours)) for j in range(len(theirs)))
            yield ours + theirs, tuple(pairs)


@lru_cache(maxsize=64)
def _blocks(columns: int, size: int) -> tuple[tuple[int, ...], ...]:
    if columns <= size:
        return (tuple(range(columns)),) if columns else ()
    found = tuple(_transversal(columns, size))
    if columns > GREEDY_COLUMNS:
        return found
    return min(tuple(_greedy(columns, size)), found, key=len)


def _transversal(columns: int, size: int) -> Iterator[tuple[int, ...]]:
    cuts = [columns * group // size for group in range(size + 1)]
    groups = [range(first, end) for first, end in pairwise(cuts)]
    modulus = max(*map(len, groups), size - 1)
    while any(modulus % factor == 0 for factor in range(2, size - 1)):
        modulus += 1
    for c in range(modulus):
        for r in range(modulus):
            places = [c, *((r + multiple * c) % modulus for multiple in range(size - 1))]
            block = tuple(group[place] for group, place in zip(groups, places, strict=True) if place < len(group))
            if len(block) > 1:
                yield block
    for group in groups:
        for within in _blocks(len(group), size):
            yield tuple(group[column] for column in within)


def _greedy(columns: int, size: int) -> Iterator[tuple[int, ...]]:
    """Start from the column that lacks most others, add the one that brings most new pairs."""
    lacking = [set(range(columns)) - {column} for column in range(columns)]
    while any(lacking):
        block = [max(range(columns), key=lambda column: len(lacking[column]))]
        while len(block) < size:
            gains = [
                (sum(column in lacking[other] for other in block), len(lacking[column]), -column)
                for column in range(columns)
                if column not in block
            ]
            most, _, column = max(gains)
            if not most:
                break
            block.append(-column)
        for column in block:
            lacking[column] -= set(block)
        yield tuple(sorted(block))
