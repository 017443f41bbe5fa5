"""One integer matrix product of one-hot codes counts all pairs of two blocks of columns at once.

It is what VNNI, AMX and tensor cores are fastest at. A column takes its levels less one: level 0 is what the rows of
the other levels leave, and a row of ones beside all columns tells how many there are. One triangle of sub-blocks is
multiplied. Rows grouped by class give one product a class. Integers, exact in int32 for any rows below 2^31.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise, product
from threading import Lock

import numpy as np
import torch

from featflow.summaries.joint_counts.coded_rows import CodedColumns, CodedRows
from featflow.summaries.joint_counts.packed_codes import as_writable
from featflow.summaries.joint_counts.threads import in_threads

__all__ = ["one_hot_product", "product_shape", "product_tables"]

ONE_HOT_BYTES = {"cpu": 8 * 2**20, "cuda": 2**30}
"""Bytes of a piece's one-hot codes: a thread's share of the last cache; half of what a device holds of them."""
ACCUMULATOR_BYTES = {"cpu": 0, "cuda": 2**31}
"""Bytes of the counts that are summed at once over all pieces of rows: a thread of a CPU takes a pair at a time."""
WIDTHS = {"cpu": (768, 2048), "cuda": (2048, 8192)}
"""Least and most levels of a sub-block: below, products lose speed; above, nothing is won."""
SUB_BLOCKS = 4
"""Sub-blocks that a block is cut into if those limits allow: 10 of 16 squares are multiplied."""
MOST_ROWS = 2**23
"""Rows of one product: float32 is exact below 2^24."""
MULTIPLE = 32
"""CUDA's int8 product wants sizes that are multiples of 8, and is fastest at multiples of 32."""

Rows = range | torch.Tensor
"""Consecutive rows, or the indices of some, int64, on the device."""


@dataclass(frozen=True, slots=True, eq=False)
class _SubBlock:
    """Consecutive columns of one block."""

    codes: torch.Tensor
    """Codes, shape (columns, rows), uint8, on the device."""
    levels: tuple[int, ...]
    span: slice
    """Its levels among those of the whole block."""
    column_of: torch.Tensor
    """Column of every one-hot row but the first, int64."""
    level_of: torch.Tensor
    """Level of the same, shape (one-hot rows - 1, 1), uint8."""

    @property
    def height(self) -> int:
        """Return the number of one-hot rows, the row of ones and padding included."""
        rows = 1 + len(self.column_of)
        return rows if _on_cpu(self.codes) else -(-rows // MULTIPLE) * MULTIPLE


def product_tables(work: CodedRows, out: np.ndarray, device: torch.device) -> None:
    """Add all pairs' tables to ``out``, shape ``work.shape``; of one block against itself, those above the diagonal.

    Raises
    ------
    ValueError
        Rows have weights.
    """
    if work.weights is not None:
        raise ValueError("rows of weights are no integers: use the histogram")
    left = _sub_blocks(work.left, device)
    right = left if work.right is None else _sub_blocks(work.right, device)
    pairs = list(combinations_with_replacement(left, 2) if work.right is None else product(left, right))
    batches, by_class = list(_within_memory(pairs, device)), _rows_by_class(work, device)
    wanted = 2 * torch.get_num_threads() if device.type == "cpu" else 1  # so that no thread waits long for the last
    parts = -(-wanted // max(1, len(batches) * len(by_class)))
    tasks = [(code, batch, part) for code, rows in by_class for batch in batches for part in _parts(rows, parts)]
    tables, lock = torch.from_numpy(out), Lock()

    def count(task: tuple[int, list[tuple[_SubBlock, _SubBlock]], Rows]) -> None:
        class_code, batch, rows = task
        for (a, b), counts in zip(batch, _products(batch, rows), strict=True):
            on_host = counts.cpu()
            with lock:
                tables[class_code, a.span, b.span] += on_host

    if device.type == "cpu":
        in_threads(count, tasks)
    else:
        for task in tasks:
            count(task)


def product_shape(work: CodedRows) -> tuple[int, int, int]:
    """Return one-hot rows of a sub-block of either side on a CPU, and how many such pairs are multiplied.

    Examples
    --------
    >>> product_shape(CodedRows(CodedColumns(np.zeros((400, 1), np.uint8), (17,) * 400)))
    (1601, 1601, 10)
    """
    widths, cuts = [], []
    for side in (work.left, work.right or work.left):
        width = side.width - len(side.levels)
        cuts.append(max(1, round(width / _sub_width(width, "cpu"))))
        widths.append(1 + width // cuts[-1])
    squares = cuts[0] * cuts[1] if work.right else cuts[0] * (cuts[0] + 1) // 2
    return widths[0], widths[1], squares


def one_hot_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``left @ right.T`` of codes 0 and 1, shape (left levels, right levels), int32, exact.

    ``torch._int_mm`` is what VNNI, AMX and tensor cores are fastest at; its name is private, so float32 is the
    fallback, exact below 2^24 rows. On CPUs it leaves its output unwritten when a dimension is 1 (pytorch#195066).

    Examples
    --------
    >>> one_hot_product(torch.tensor([[1, 0, 1]], dtype=torch.int8), torch.tensor([[1, 1, 1]], dtype=torch.int8)).item()
    2
    """
    if min(*left.shape, *right.shape) > 1:
        try:
            return torch._int_mm(left, right.T)  # noqa: SLF001
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, RuntimeError):
            pass
    return (left.to(torch.float32) @ right.to(torch.float32).T).to(torch.int32)


def _on_cpu(codes: torch.Tensor) -> bool:
    return codes.device.type == "cpu"


def _sub_width(width: int, device: str) -> int:
    least, most = WIDTHS[device]
    return min(max(width // SUB_BLOCKS, least), most)


def _sub_blocks(columns: CodedColumns, device: torch.device) -> list[_SubBlock]:
    codes = torch.from_numpy(as_writable(columns.codes)).to(device)
    starts = columns.starts
    width = columns.width - len(columns.levels)
    wanted = max(1, round(width / _sub_width(width, device.type)))
    # A column belongs where its middle lies, so that sub-blocks are about equally wide.
    places = [(a + b) * wanted // (2 * max(columns.width, 1)) for a, b in pairwise(starts)]
    found = []
    for place in sorted(set(places)):
        first, end = places.index(place), len(places) - places[::-1].index(place)
        levels = columns.levels[first:end]
        above = torch.tensor(levels, device=device) - 1
        column_of = torch.repeat_interleave(torch.arange(end - first, device=device), above)
        level_of = torch.tensor([level for most in levels for level in range(1, most)], dtype=torch.uint8)
        span = slice(starts[first], starts[end])
        found.append(_SubBlock(codes[first:end], levels, span, column_of, level_of[:, None].to(device)))
    return found


def _rows_by_class(work: CodedRows, device: torch.device) -> list[tuple[int, Rows]]:
    """Return the rows of every class that has any."""
    if not work.rows:
        return []
    if work.target is None:
        return [(0, range(work.rows))]
    target = work.target.codes[0]
    counts = np.bincount(target, minlength=work.classes)
    if counts.max() == work.rows:
        return [(int(counts.argmax()), range(work.rows))]
    rows = torch.split(torch.from_numpy(np.argsort(target, kind="stable")).to(device), counts.tolist())
    return [(code, rows[code]) for code in np.flatnonzero(counts).tolist()]


def _parts(rows: Rows, parts: int) -> list[Rows]:
    """Cut rows into at most so many parts of about the same length."""
    step = -(-len(rows) // parts)
    return [rows[first : first + step] for first in range(0, len(rows), step)]


def _codes_of(codes: torch.Tensor, rows: Rows) -> torch.Tensor:
    return codes[:, rows.start : rows.stop] if isinstance(rows, range) else codes[:, rows]


def _within_memory(
    pairs: list[tuple[_SubBlock, _SubBlock]], device: torch.device
) -> Iterator[list[tuple[_SubBlock, _SubBlock]]]:
    batch: list[tuple[_SubBlock, _SubBlock]] = []
    taken = 0
    for a, b in pairs:
        size = 4 * a.height * b.height
        if batch and taken + size > ACCUMULATOR_BYTES[device.type]:
            yield batch
            batch, taken = [], 0
        batch.append((a, b))
        taken += size
    if batch:
        yield batch


def _products(pairs: list[tuple[_SubBlock, _SubBlock]], rows: Rows) -> Iterator[torch.Tensor]:
    """Yield the full tables of every pair of sub-blocks over the given rows, int32."""
    blocks = {id(block): block for pair in pairs for block in pair}
    count = len(rows)
    device = pairs[0][0].codes.device
    step = ONE_HOT_BYTES[device.type] // sum(block.height for block in blocks.values()) // MULTIPLE * MULTIPLE
    step = min(max(step, MULTIPLE), MOST_ROWS, -(-count // MULTIPLE) * MULTIPLE)
    buffers = {key: torch.zeros((block.height, step), dtype=torch.int8, device=device) for key, block in blocks.items()}
    sums = [torch.zeros((a.height, b.height), dtype=torch.int32, device=device) for a, b in pairs]
    for first in range(0, count, step):
        piece = rows[first : first + step]
        for key, block in blocks.items():
            _fill_one_hot(buffers[key], block, piece)
        for total, (a, b) in zip(sums, pairs, strict=True):
            total.add_(one_hot_product(buffers[id(a)], buffers[id(b)]))
    for total, (a, b) in zip(sums, pairs, strict=True):
        by_left = _with_level_zero(total, a)
        yield _with_level_zero(by_left.T.contiguous(), b).T


def _fill_one_hot(buffer: torch.Tensor, block: _SubBlock, rows: Rows) -> None:
    """Write ones in the first row and one-hot rows below it; 0 beyond them and beyond the rows."""
    length = len(rows)
    hot = buffer[1 : 1 + len(block.column_of), :length].view(torch.bool)
    if _on_cpu(block.codes):
        _compare(block, rows, hot.numpy())
    else:
        torch.eq(_codes_of(block.codes, rows)[block.column_of], block.level_of, out=hot)
    buffer[0, :length] = 1
    buffer[:, length:] = 0


def _compare(block: _SubBlock, rows: Rows, hot: np.ndarray) -> None:
    """Do so on a CPU, where numpy compares bytes ten times as fast as torch scatters or compares them."""
    level_of, start = block.level_of.numpy(), 0
    for column, levels in zip(block.codes.numpy(), block.levels, strict=True):
        codes = column[rows.start : rows.stop] if isinstance(rows, range) else column.take(rows.numpy())
        end = start + levels - 1
        np.equal(codes, level_of[start:end], out=hot[start:end])
        start = end


def _with_level_zero(counts: torch.Tensor, block: _SubBlock) -> torch.Tensor:
    """Return the counts of all levels, shape (levels, n), of those of a block's one-hot rows, shape (height, n)."""
    above = counts[1 : 1 + len(block.column_of)]
    levels = torch.tensor(block.levels, device=counts.device)
    starts = levels.cumsum(0) - levels
    zero = counts[0].expand(len(block.levels), -1).clone()
    zero.index_add_(0, block.column_of, above, alpha=-1)
    full = counts.new_empty((sum(block.levels), counts.shape[1]))
    full[starts] = zero
    full[starts[block.column_of] + block.level_of[:, 0].to(torch.int64)] = above
    return full
