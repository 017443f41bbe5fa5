"""Which columns a histogram counts together: by what its rows, its cells and the calls around it should cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import inf, prod

from featflow.summaries.joint_counts.pair_covering import Block, cover_across, cover_within

__all__ = ["TAIL_CELLS", "Plan", "Run", "plan"]

ROW_NS, COLUMN_NS, CACHE_NS = 0.8, 0.12, 0.8e-6
"""Nanoseconds a row on one thread: histogram; each of its columns; each of its cells, as a cache misses.
These and those below fitted to benchmarks/kernels.py on one core of an AMD EPYC 9004."""
CELL_NS = 0.7
"""Nanoseconds a cell: zeroing, counting out."""
BLOCK_NS, PAIR_NS = 20e3, 12e3
"""Nanoseconds a block, and each of its pairs, of Python."""
MOST_CELLS, MOST_COLUMNS = 2**21, 12
"""Cells and columns of a histogram, unless two columns alone have more."""
TAIL_CELLS = 2**15
"""Codes that int16 holds."""


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks whose joint codes begin alike."""

    lead: tuple[int, ...]
    """Their leading columns."""
    blocks: tuple[Block, ...]
    """All columns of each, and its pairs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which columns are counted together; right columns are numbered after the left ones."""

    runs: tuple[Run, ...]
    """Blocks, those that share leading columns together."""
    row_ns: float
    """Nanoseconds that a row should cost one thread."""
    fixed_ns: float
    """Nanoseconds that no rows should."""


@lru_cache(maxsize=16)
def plan(left: tuple[int, ...], right: tuple[int, ...] | None, rows: int, classes: int) -> Plan:
    """Return the blocks for columns of these levels: of the first ones against themselves if there are no second.

    Columns for which blocks of one size are best are covered together.

    Examples
    --------
    >>> sum(len(run.blocks) for run in plan((17,) * 100, None, 10**6, 1).runs)
    873
    """
    cost = _Cost(rows, classes)
    groups = [_by_size(left, 0, cost)] + ([_by_size(right, len(left), cost)] if right is not None else [])
    levels = left + (right or ())
    found: list[Block] = []
    if right is None:
        for size, columns in groups[0].items():
            found += _numbered(cover_within(len(columns), size), columns)
    ours = list(groups[0].values())
    for index, columns in enumerate(ours):
        for others in ours[index + 1 :] if right is None else groups[1].values():
            found += _across(columns, others, levels, cost)
    cells = [prod(levels[column] for column in columns) for columns, _ in found]
    row_ns = sum(cost.row_ns(n, len(columns)) for n, (columns, _) in zip(cells, found, strict=True))
    fixed_ns = sum(cost.fixed_ns(n, len(pairs)) for n, (_, pairs) in zip(cells, found, strict=True))
    runs = (Run(lead, tuple(blocks)) for lead, blocks in groupby(found, key=_lead))
    return Plan(tuple(runs), row_ns, fixed_ns)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a histogram should cost one thread."""

    rows: int
    classes: int

    def row_ns(self, cells: int, columns: int) -> float:
        return ROW_NS + COLUMN_NS * columns + CACHE_NS * cells * self.classes

    def fixed_ns(self, cells: int, pairs: int) -> float:
        return CELL_NS * cells * self.classes + BLOCK_NS + PAIR_NS * pairs

    def of_pair(self, cells: int, columns: int, pairs: int) -> float:
        if cells * self.classes > MOST_CELLS and columns > 2:
            return inf
        return (self.rows * self.row_ns(cells, columns) + self.fixed_ns(cells, pairs)) / pairs


def _by_size(levels: tuple[int, ...], start: int, cost: _Cost) -> dict[int, tuple[int, ...]]:
    best = {level: _best_size(level, cost) for level in set(levels)}
    sizes = sorted({best[level] for level in levels})
    return {size: tuple(start + column for column, level in enumerate(levels) if best[level] == size) for size in sizes}


def _best_size(level: int, cost: _Cost) -> int:
    sizes = [size for size in range(2, MOST_COLUMNS + 1) if size == 2 or level ** (size - 1) <= TAIL_CELLS]
    return min(sizes, key=lambda size: cost.of_pair(level**size, size, size * (size - 1) // 2))


def _across(ours: tuple[int, ...], theirs: tuple[int, ...], levels: tuple[int, ...], cost: _Cost) -> list[Block]:
    most, other = (max(levels[column] for column in columns) for columns in (ours, theirs))
    sizes = [
        (a, b)
        for a in range(1, min(len(ours), MOST_COLUMNS) + 1)
        for b in range(1, min(len(theirs), MOST_COLUMNS) + 1)
        if b == 1 or other**b <= TAIL_CELLS
    ]
    best = min(sizes, key=lambda ab: cost.of_pair(most ** ab[0] * other ** ab[1], sum(ab), ab[0] * ab[1]))
    return _numbered(cover_across(len(ours), len(theirs), best), ours + theirs)


def _numbered(blocks: Iterator[Block] | tuple[Block, ...], columns: tuple[int, ...]) -> list[Block]:
    return [(tuple(columns[place] for place in block), pairs) for block, pairs in blocks]


def _lead(block: Block) -> tuple[int, ...]:
    """Return the columns before all seconds of pairs: no table of theirs alone is wanted; and at least one."""
    columns, pairs = block
    return columns[: max(1, min(second for _, second in pairs))]
