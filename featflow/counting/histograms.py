"""The packed histogram: several columns as digits of one code, one histogram, and from it the tables of all pairs.

Its cost hardly depends on the number of levels; four columns of 17 levels give six pairs for little more than one.
Classes are one more digit. A sum of weights is as cheap, and added in the order of rows.
Skewed columns cost up to 2.4 times as much, since increments of one cell wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import inf, prod
from queue import SimpleQueue

import numpy as np
import torch

from featflow.counting.covering import Block, cover_across, cover_within
from featflow.counting.rows import CodedRows, as_tensor
from featflow.counting.threads import in_threads

__all__ = ["Plan", "histogram", "histogram_ns", "histogram_tables", "plan"]

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
PIECE_BYTES = 256 * 2**20
"""Bytes of a piece's codes as int16."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which columns are counted together; right columns are numbered after the left ones."""

    blocks: tuple[Block, ...]
    """Blocks; those beside each other share leading columns."""
    row_ns: float
    """Nanoseconds that a row should cost one thread."""
    fixed_ns: float
    """Nanoseconds that no rows should."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    columns: list[torch.Tensor]
    """Codes, int16, shape (rows,) each."""
    levels: tuple[int, ...]
    target: torch.Tensor | None
    """Class less ``classes.start``, int32."""
    classes: slice
    """Classes that occur, and those between."""
    weights: torch.Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class _Buffers:
    """Codes of one thread, shape (rows of a piece,)."""

    lead: torch.Tensor
    """Class and leading columns, int32."""
    code: torch.Tensor
    """All of them, int32."""
    tail: torch.Tensor
    """The other columns, int16."""


def histogram_tables(work: CodedRows, out: np.ndarray) -> None:
    """Add all pairs' tables to ``out``, shape ``work.shape``; of one block against itself, those above the diagonal."""
    sides = [side for side in (work.left, work.right) if side is not None]
    levels = tuple(level for side in sides for level in side.levels)
    starts = [start for side in sides for start in side.starts[:-1]]
    spans = [slice(start, start + level) for start, level in zip(starts, levels, strict=True)]
    rows = _piece_rows(work)
    tasks = _tasks(_plan(work).blocks)
    buffers = SimpleQueue[_Buffers]()  # made once: fresh memory costs more than what is written to it
    for _ in range(torch.get_num_threads()):
        buffers.put(_Buffers(*(torch.empty(rows, dtype=kind) for kind in (torch.int32, torch.int32, torch.int16))))

    for first in range(0, work.rows, rows):
        piece = _piece(work, slice(first, first + rows), levels)
        into = out[piece.classes]

        def count(task: tuple[Block, ...], piece: _Piece = piece, into: np.ndarray = into) -> None:
            mine = buffers.get()
            for a, b, table in _count(piece, task, mine):
                into[:, spans[a], spans[b]] += table
            buffers.put(mine)

        in_threads(count, tasks)


def histogram(codes: torch.Tensor, weights: torch.Tensor | None, cells: int) -> torch.Tensor:
    """Return the rows, int64, or the weight, float64, of every cell, shape (cells,); codes of any integer type.

    Examples
    --------
    >>> histogram(torch.tensor([0, 2, 2]), None, 3).tolist()
    [1, 0, 2]
    """
    return torch.bincount(codes, weights=weights, minlength=cells)


def histogram_ns(work: CodedRows) -> float:
    """Return the nanoseconds that `histogram_tables` should take one thread."""
    planned, pieces = _plan(work), -(-work.rows // _piece_rows(work))
    return planned.row_ns * work.rows + planned.fixed_ns * pieces


def _piece_rows(work: CodedRows) -> int:
    """Return the rows of a piece: all pieces are about as long."""
    columns = len(work.left.levels) + (len(work.right.levels) if work.right else 0)
    pieces = -(-2 * columns * work.rows // PIECE_BYTES)
    return max(1, -(-work.rows // max(pieces, 1)))


def _plan(work: CodedRows) -> Plan:
    right = work.right.levels if work.right else None
    rows = 1 << (_piece_rows(work) - 1).bit_length()  # a power of two, so that few plans are made
    classes = _occurring(work.target.codes[0]) if work.target is not None else slice(0, 1)
    return plan(work.left.levels, right, rows, classes.stop - classes.start)


def _occurring(classes: np.ndarray) -> slice:
    """Return the classes from the first to the last one that occurs."""
    return slice(int(classes.min()), int(classes.max()) + 1) if len(classes) else slice(0, 1)


def _piece(work: CodedRows, rows: slice, levels: tuple[int, ...]) -> _Piece:
    sides = [side for side in (work.left, work.right) if side is not None]
    columns = [torch.from_numpy(column[rows].astype(np.int16)) for side in sides for column in side.codes]
    weights = None if work.weights is None else as_tensor(work.weights[rows])
    if work.target is None:
        return _Piece(columns, levels, None, slice(0, 1), weights)
    codes = work.target.codes[0, rows]
    classes = _occurring(codes)
    target = torch.from_numpy(codes.astype(np.int32) - classes.start) if classes.stop - classes.start > 1 else None
    return _Piece(columns, levels, target, classes, weights)


def _tasks(blocks: tuple[Block, ...]) -> list[tuple[Block, ...]]:
    """Return runs of blocks that share all but their last columns, or their first one."""
    return [tuple(run) for _, run in groupby(blocks, key=lambda block: block[0][: _lead(block)])]


def _lead(block: Block) -> int:
    """Return how many columns lead: those that none of the pairs is among, and at least one."""
    return max(1, min((j for _, j in block[1]), default=1)) if all(i < j for i, j in block[1]) else 1


def _count(piece: _Piece, task: tuple[Block, ...], buffers: _Buffers) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the tables of a run of blocks: columns a and b, a not after b, and shape (classes, levels, levels)."""
    rows = len(piece.columns[0])
    leading = task[0][0][: _lead(task[0])]
    lead, code, tail = (buffer[:rows] for buffer in (buffers.lead, buffers.code, buffers.tail))
    lead.copy_(piece.columns[leading[0]])
    if piece.target is not None:
        lead.add_(piece.target, alpha=piece.levels[leading[0]])
    for column in leading[1:]:
        torch.add(piece.columns[column], lead, alpha=piece.levels[column], out=lead)
    for columns, pairs in task:
        rest = columns[len(leading) :]
        code.copy_(_digits(piece, rest, tail) if rest else lead)
        if rest:
            code.add_(lead, alpha=prod(piece.levels[column] for column in rest))
        shape = (piece.classes.stop - piece.classes.start, *(piece.levels[column] for column in columns))
        table = histogram(code, piece.weights, prod(shape)).view(shape)
        for i, j, counted in _margins(table, tuple(range(len(columns))), frozenset(pairs)):
            a, b = columns[i], columns[j]
            yield (a, b, counted.numpy()) if a <= b else (b, a, counted.transpose(1, 2).numpy())


def _digits(piece: _Piece, columns: tuple[int, ...], into: torch.Tensor) -> torch.Tensor:
    found = piece.columns[columns[0]]
    for column in columns[1:]:
        found = torch.add(piece.columns[column], found, alpha=piece.levels[column], out=into)
    return found


def _margins(
    table: torch.Tensor, axes: tuple[int, ...], pairs: frozenset[tuple[int, int]]
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yield the margin of every wanted pair of axes; axis 0 of the table holds classes and stays."""
    first = axes[0]
    if len(axes) == 1:
        if pairs:
            yield first, first, torch.diag_embed(table)
        return
    within = frozenset(pair for pair in pairs if first not in pair)
    if within:
        yield from _margins(table.sum(1), axes[1:], within)
    with_first = pairs - within
    if with_first:
        yield from _margins_of_first(table, axes, with_first)


def _margins_of_first(
    table: torch.Tensor, axes: tuple[int, ...], pairs: frozenset[tuple[int, int]]
) -> Iterator[tuple[int, int, torch.Tensor]]:
    first, second, *others = axes
    mine = pairs & {(first, first), (first, second)}
    if mine:
        both = table.flatten(3).sum(3) if others else table
        if (first, second) in mine:
            yield first, second, both
        if (first, first) in mine:
            yield first, first, torch.diag_embed(both.sum(2))
    if pairs - mine:
        yield from _margins_of_first(table.sum(2), (first, *others), pairs - mine)


# --- which columns are counted together -----------------------------------------------------------------------------


@lru_cache(maxsize=16)
def plan(left: tuple[int, ...], right: tuple[int, ...] | None, rows: int, classes: int) -> Plan:
    """Return the blocks for columns of these levels: of the first ones against themselves if there are no second.

    Columns for which blocks of one size are best are covered together.

    Examples
    --------
    >>> len(plan((17,) * 100, None, 10**6, 1).blocks)
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
    return Plan(tuple(found), row_ns, fixed_ns)


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
