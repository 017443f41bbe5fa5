"""Builds codings of columns from the counts of pass 1.

Numbers are compared through *sortable keys*: unsigned integers in the order of
the values. Bin edges are keys, so coding is exact for every type and does not
depend on row order, sharding or floating-point rounding.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import MISSING, CategoryCoding, NumberCoding
from featflow.columns.column import Column
from featflow.columns.hashing import IDENTITY_BITS, buckets_of
from featflow.columns.sort_keys import key_values

__all__ = ["category_coding", "hashed_coding", "number_coding"]


def _bin_ends(counts: np.ndarray, bins: int) -> np.ndarray:
    """Return the cells after which a bin ends, never the last cell: where a quantile falls, and around a heavy cell.

    A cell that holds a bin's share stands alone, whichever end of the column it is at: fewer than ``2 * bins`` bins.
    """
    total = int(counts.sum())
    cumulative = np.cumsum(counts)
    targets = np.array([total * k for k in range(1, bins)], dtype=np.int64)
    quantiles = np.searchsorted(cumulative * bins, targets, side="left")
    before_heavy = np.flatnonzero(counts * bins >= total) - 1
    ends = np.union1d(quantiles, before_heavy)
    return ends[(ends >= 0) & (ends < len(counts) - 1)]


def number_coding(
    column: Column, cells: np.ndarray, counts: np.ndarray, shift: int, bins: tuple[int, int]
) -> NumberCoding:
    """Return the quantile bins of a number.

    A bin is closed above: it ends at the smallest value whose cumulative share reaches k / bins. A value that
    holds a bin's share has a bin of its own, and a column of no more values than bins has one for each.

    Parameters
    ----------
    cells, counts
        Lowest key and rows of every occupied histogram cell, ascending.
    shift
        Cells are ``2**shift`` keys wide; 0 when every value has its own.
    bins
        Number of fine and of pair bins.
    """
    fine, pair = bins
    every_cell = np.arange(max(len(cells) - 1, 0))
    pair_ends = every_cell if shift == 0 and len(cells) <= pair else _bin_ends(counts, pair)
    fine_ends = every_cell if shift == 0 and len(cells) <= fine else _bin_ends(counts, fine)
    ends = np.union1d(fine_ends, pair_ends).astype(np.int64)
    width = np.uint64(1 << shift)
    edges = cells[ends] + width if len(ends) else np.empty(0, np.uint64)
    groups = np.concatenate([[MISSING, 1], 1 + np.searchsorted(pair_ends, ends, side="right")]).astype(np.uint8)
    total = max(int(counts.sum()), 1)
    mean_rank = (np.cumsum(counts) - counts + (counts + 1) / 2) / total
    share = counts / total
    variance = 0.0 if shift == 0 else float((share * (share**2 - 1 / total**2)).sum() / 12)
    middle = np.searchsorted(np.cumsum(counts), (total + 1) // 2)
    centre = float(key_values(cells[middle : middle + 1], column.type)[0]) if len(cells) else 0.0
    return NumberCoding(column, edges, groups, cells, mean_rank, variance, centre)


def category_coding(column: Column, levels: list[str], counts: list[int], pair_bins: int) -> CategoryCoding:
    """Return the levels of a category; in pairs the most frequent ones, ties by value, and "other".

    Parameters
    ----------
    levels, counts
        All levels and their rows.
    """
    order = sorted(range(len(levels)), key=lambda index: (-counts[index], levels[index]))
    by_value = sorted(range(len(levels)), key=lambda index: levels[index])
    frequent = set(order[: len(levels) if len(levels) <= pair_bins else pair_bins - 1])
    code = {index: code for code, index in enumerate((i for i in by_value if i in frequent), start=1)}
    groups = [MISSING, *(code.get(index, len(frequent) + 1) for index in by_value), len(frequent) + 1]
    return CategoryCoding(column, pa.array([levels[i] for i in by_value], pa.string()), np.array(groups, np.uint8))


def hashed_coding(
    column: Column, rows: np.ndarray, heavy: tuple[np.ndarray, np.ndarray], pair_bins: int
) -> CategoryCoding:
    """Return the coding of a category of too many levels: frequent values, then hash buckets for the others.

    In pairs the heaviest of both stand apart, and "other". A bucket of many rows holds a frequent value that
    group testing missed; pairs are counted without knowing which.

    Parameters
    ----------
    rows
        Rows of every bucket, shape (buckets,), int64.
    heavy
        Identities of frequent values, ascending, and upper bounds of their rows.
    """
    values, bounds = heavy
    bucket = buckets_of(values, len(rows), IDENTITY_BITS)
    tail = rows - np.bincount(bucket, weights=bounds, minlength=len(rows)).astype(np.int64)
    weights = np.concatenate([bounds, tail])
    heaviest = 1 + np.sort(np.argsort(-weights, kind="stable")[: pair_bins - 1])
    groups = np.full(1 + len(values) + len(rows), pair_bins, np.uint8)
    groups[0] = MISSING
    groups[heaviest] = 1 + np.arange(len(heaviest))
    return CategoryCoding(column, pa.array([], pa.string()), groups, len(rows), values)
