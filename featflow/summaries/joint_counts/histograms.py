"""The packed histogram: several columns as digits of one code, one histogram, and from it the tables of all pairs.

Its cost hardly depends on the number of levels; four columns of 17 levels give six pairs for little more than one.
Classes are one more digit. A sum of weights is as cheap, and added in the order of rows.
Skewed columns cost up to 2.4 times as much, since increments of one cell wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from featflow.summaries.joint_counts.coded_rows import CodedRows, as_tensor
from featflow.summaries.joint_counts.histogram_plan import Plan, Run, plan
from featflow.summaries.joint_counts.threads import Spares, in_threads

__all__ = ["histogram", "histogram_ns", "histogram_tables"]

PIECE_BYTES = 256 * 2**20
"""Bytes of a piece's codes as int16."""


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
    runs = _plan(work).runs
    kinds = torch.int32, torch.int32, torch.int16
    spares = Spares(lambda: _Buffers(*(torch.empty(rows, dtype=kind) for kind in kinds)))

    for first in range(0, work.rows, rows):
        piece = _piece(work, slice(first, first + rows), levels)
        into = out[piece.classes]

        def count(run: Run, piece: _Piece = piece, into: np.ndarray = into) -> None:
            with spares.lent() as buffers:
                for a, b, table in _count(piece, run, buffers):
                    into[:, spans[a], spans[b]] += table

        in_threads(count, runs)


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


def _count(piece: _Piece, run: Run, buffers: _Buffers) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the tables of a run of blocks: columns a and b, a not after b, and shape (classes, levels, levels)."""
    rows = len(piece.columns[0])
    lead, code, tail = (buffer[:rows] for buffer in (buffers.lead, buffers.code, buffers.tail))
    lead.copy_(piece.columns[run.lead[0]])
    if piece.target is not None:
        lead.add_(piece.target, alpha=piece.levels[run.lead[0]])
    for column in run.lead[1:]:
        torch.add(piece.columns[column], lead, alpha=piece.levels[column], out=lead)
    for columns, pairs in run.blocks:
        rest = columns[len(run.lead) :]
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
