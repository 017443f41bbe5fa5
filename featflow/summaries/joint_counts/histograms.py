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

from featflow.summaries.joint_counts.coded_rows import CodedRows
from featflow.summaries.joint_counts.histogram_plan import Plan, Run, plan
from featflow.summaries.joint_counts.packed_codes import code_type, histogram, join_codes
from featflow.summaries.joint_counts.threads import Spares, in_threads

__all__ = ["histogram_ns", "histogram_tables"]

PIECE_BYTES = 256 * 2**20
"""Bytes of a piece's codes as int16."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    columns: list[np.ndarray]
    """Codes, int16, shape (rows,) each."""
    levels: tuple[int, ...]
    target: np.ndarray | None
    """Class less ``classes.start``, int32."""
    classes: slice
    """Classes that occur, and those between."""
    weights: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class _Buffers:
    """Codes of one thread, shape (rows of a piece,)."""

    lead: np.ndarray
    """Class and leading columns, `code_type`."""
    code: np.ndarray
    """All of them, `code_type`."""
    tail: np.ndarray
    """The other columns, int16."""


def histogram_tables(work: CodedRows, out: np.ndarray) -> None:
    """Add all pairs' tables to ``out``, shape ``work.shape``; of one block against itself, those above the diagonal."""
    sides = [side for side in (work.left, work.right) if side is not None]
    levels = tuple(level for side in sides for level in side.levels)
    starts = [start for side in sides for start in side.starts[:-1]]
    subtrees = [slice(start, start + level) for start, level in zip(starts, levels, strict=True)]
    rows = _piece_rows(work)
    runs = _plan(work).runs
    kinds = code_type(), code_type(), np.int16
    spares = Spares(lambda: _Buffers(*(np.empty(rows, kind) for kind in kinds)))

    for first in range(0, work.rows, rows):
        piece = _piece(work, slice(first, first + rows), levels)
        into = out[piece.classes]

        def count(run: Run, piece: _Piece = piece, into: np.ndarray = into) -> None:
            with spares.lent() as buffers:
                for a, b, table in _count(piece, run, buffers):
                    into[:, subtrees[a], subtrees[b]] += table

        in_threads(count, runs)


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
    columns = [column[rows].astype(np.int16) for side in sides for column in side.codes]
    weights = None if work.weights is None else work.weights[rows]
    if work.target is None:
        return _Piece(columns, levels, None, slice(0, 1), weights)
    codes = work.target.codes[0, rows]
    classes = _occurring(codes)
    target = codes.astype(np.int32) - classes.start if classes.stop - classes.start > 1 else None
    return _Piece(columns, levels, target, classes, weights)


def _count(piece: _Piece, run: Run, buffers: _Buffers) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the tables of a run of blocks: columns a and b, a not after b, and shape (classes, levels, levels)."""
    rows = len(piece.columns[0])
    lead, code, tail = (buffer[:rows] for buffer in (buffers.lead, buffers.code, buffers.tail))
    lead[:] = piece.columns[run.lead[0]]
    if piece.target is not None:
        join_codes(piece.target, piece.columns[run.lead[0]], piece.levels[run.lead[0]], lead)
    for column in run.lead[1:]:
        join_codes(lead, piece.columns[column], piece.levels[column], lead)
    for columns, pairs in run.blocks:
        joined, rest = lead, columns[len(run.lead) :]
        if rest:
            levels = prod(piece.levels[column] for column in rest)
            joined = join_codes(lead, _digits(piece, rest, tail), levels, code)
        shape = (piece.classes.stop - piece.classes.start, *(piece.levels[column] for column in columns))
        table = histogram(joined, piece.weights, prod(shape)).reshape(shape)
        for i, j, counted in _margins(table, tuple(range(len(columns))), frozenset(pairs)):
            a, b = columns[i], columns[j]
            yield (a, b, counted) if a <= b else (b, a, counted.swapaxes(1, 2))


def _digits(piece: _Piece, columns: tuple[int, ...], into: np.ndarray) -> np.ndarray:
    found = piece.columns[columns[0]]
    for column in columns[1:]:
        found = join_codes(found, piece.columns[column], piece.levels[column], into)
    return found


def _margins(
    table: np.ndarray, axes: tuple[int, ...], pairs: frozenset[tuple[int, int]]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the margin of every wanted pair of axes; axis 0 of the table holds classes and stays."""
    first = axes[0]
    if len(axes) == 1:
        if pairs:
            yield first, first, _on_diagonal(table)
        return
    within = frozenset(pair for pair in pairs if first not in pair)
    if within:
        yield from _margins(_summed(table, 1), axes[1:], within)
    with_first = pairs - within
    if with_first:
        yield from _margins_of_first(table, axes, with_first)


def _margins_of_first(
    table: np.ndarray, axes: tuple[int, ...], pairs: frozenset[tuple[int, int]]
) -> Iterator[tuple[int, int, np.ndarray]]:
    first, second, *others = axes
    mine = pairs & {(first, first), (first, second)}
    if mine:
        both = _summed(table.reshape(*table.shape[:3], -1), 3) if others else table
        if (first, second) in mine:
            yield first, second, both
        if (first, first) in mine:
            yield first, first, _on_diagonal(_summed(both, 2))
    if pairs - mine:
        yield from _margins_of_first(_summed(table, 2), (first, *others), pairs - mine)


def _summed(table: np.ndarray, axis: int) -> np.ndarray:
    """Return sums over an axis; of weights by torch, whose order of adding is that of all runs so far."""
    if table.dtype.kind == "i":
        return np.asarray(table.sum(axis=axis))
    import torch  # noqa: PLC0415  for those who have weights

    return np.asarray(torch.from_numpy(table).sum(axis).numpy())


def _on_diagonal(table: np.ndarray) -> np.ndarray:
    """Return matrices of what stands in the last axis, 0 beside their diagonals."""
    full = np.zeros((*table.shape, table.shape[-1]), table.dtype)
    np.einsum("...ii->...i", full)[...] = table
    return full
