"""Columns and pairs of columns cut into blocks whose states fit a task."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement, pairwise
from typing import Any, TypeVar

from featflow.columns.codebook import Coding
from featflow.execution.state_store import COLUMNS_AT_ONCE
from featflow.summaries import Summarizer

__all__ = ["MOST_OF_A_SIDE", "block_pairs", "blocks", "column_blocks"]

MOST_OF_A_SIDE = 1024
"""Columns on either side of a block of pairs, whatever memory there is: a task measures a million pairs at once, and
more columns still leave several tasks to run side by side."""

Item = TypeVar("Item")
Spec = TypeVar("Spec", bound=Summarizer[Any])


def blocks(
    items: tuple[Item, ...], nbytes: Callable[[tuple[Item, ...]], int], limit: int, most: int = COLUMNS_AT_ONCE
) -> list[tuple[Item, ...]]:
    """Cut items into blocks of at most ``most`` whose states take at most ``limit`` bytes, or of one item each."""
    greedy: list[tuple[Item, ...]] = []
    start = 0
    while start < len(items):
        fits, too_many = 1, min(len(items) - start, most) + 1
        while too_many - fits > 1:  # bisect: the state grows with the block
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if nbytes(items[start : start + middle]) <= limit else (fits, middle)
        greedy.append(items[start : start + fits])
        start += fits
    ends = [len(items) * index // max(len(greedy), 1) for index in range(len(greedy) + 1)]
    # As many blocks, of equal length: a short one at the end would cost as much to read.
    even = [items[start:end] for start, end in pairwise(ends)]
    return even if all(nbytes(block) <= limit for block in even) else greedy


def column_blocks(
    make: Callable[[tuple[Item, ...]], Spec], items: tuple[Item, ...], limit: int, most: int = COLUMNS_AT_ONCE
) -> tuple[Spec, ...]:
    """Return a spec for every block of columns or pairs, of at most ``most`` of them."""
    return tuple(make(block) for block in blocks(items, lambda block: make(block).nbytes(), limit, most))


def block_pairs(
    make: Callable[[tuple[Any, ...], tuple[Any, ...]], Spec], items: tuple[Coding, ...], limit: int
) -> tuple[Spec, ...]:
    """Return a spec for every pair of blocks, the first not after the second."""
    sides = blocks(tuple(items), lambda block: make(block, block).nbytes(), limit, MOST_OF_A_SIDE)
    return tuple(make(left, right) for left, right in combinations_with_replacement(sides, 2))
