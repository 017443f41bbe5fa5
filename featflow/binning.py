"""Pass-1 counts to codings, and columns to codes and ranks.

Numbers are compared through *sortable keys*: unsigned integers in the order of
the values. Bin edges are keys, so coding is exact for every type and does not
depend on row order, sharding or floating-point rounding.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns import MISSING, CategoryCoding, Coding, Column, NumberCoding
from featflow.hashing import IDENTITY_BITS, buckets_of, hash64, identities

__all__ = [
    "category_coding",
    "centred_values",
    "divisor",
    "encode",
    "finite_values",
    "hashed_coding",
    "key_values",
    "narrow_keys",
    "number_coding",
    "ranks",
    "row_weights",
    "sortable_keys",
    "values_and_presence",
    "values_less",
    "weight_faults",
]

SIGN_64 = np.uint64(1 << 63)
SIGN_32 = np.uint32(1 << 31)
EXACT_FLOAT = 2.0**53
"""Integers below it are float64 exactly."""
WRAPS_FROM = 2.0**62
"""Differences of 64-bit integers below it do not wrap around."""


def values_and_presence(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return values and a mask of those that are neither null nor NaN, both shape (rows,)."""
    values, present = _values(array)
    return values, present & ~np.isnan(values) if values.dtype.kind == "f" else present


def finite_values(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return values in their own type and a mask of the finite ones, both shape (rows,)."""
    values, present = _values(array)
    return values, present & np.isfinite(values) if values.dtype.kind == "f" else present


def _values(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return values, 0 for nulls, and a mask of those that are no nulls."""
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False), np.ones(len(array), dtype=bool)
    return array.fill_null(0).to_numpy(zero_copy_only=False), array.is_valid().to_numpy(zero_copy_only=False)


def values_less(values: np.ndarray, finite: np.ndarray, origin: float) -> np.ndarray:
    """Return values less an origin, 0 where not finite, shape (rows,), float64; exact for integers beyond 2^53.

    Examples
    --------
    >>> values_less(np.array([2**60 + 3, 2**60 + 1]), np.array([True, False]), float(2**60)).tolist()
    [3.0, 0.0]
    """
    whole = bool(finite.all())
    with np.errstate(over="ignore"):
        difference = (values if whole else np.where(finite, values, 0)).astype(np.float64) - origin
    if values.dtype.kind in "iu" and abs(origin) >= EXACT_FLOAT:
        base = np.uint64(int(origin) % 2**64)  # differences are exact modulo 2^64
        exact = (values.view(np.uint64) - base).view(np.int64)
        difference = np.where(np.abs(difference) < WRAPS_FROM, exact, difference)
    return difference if whole else np.where(finite, difference, 0.0)


def centred_values(array: pa.Array, coding: NumberCoding) -> tuple[np.ndarray, np.ndarray]:
    """Return values less the coding's centre (0 where absent) and a mask of the finite ones, both shape (rows,)."""
    values, finite = finite_values(array)
    return values_less(values, finite, coding.centre), finite


def row_weights(batch: pa.RecordBatch, weight: Column | None) -> np.ndarray | None:
    """Return the weight of every row, NaN where it is null, shape (rows,), float64; None without a weight."""
    return None if weight is None else np.array(batch.column(weight.name).to_numpy(zero_copy_only=False), np.float64)


def weight_faults(weights: np.ndarray | None) -> np.ndarray:
    """Return how many weights are negative, missing and infinite, shape (3,), int64; none without weights.

    Examples
    --------
    >>> weight_faults(np.array([1.0, 0.0, -2.0, np.nan, np.inf, -np.inf])).tolist()
    [1, 1, 2]
    """
    if weights is None:
        return np.zeros(3, np.int64)
    infinite = np.isinf(weights)
    return np.array([((weights < 0) & ~infinite).sum(), np.isnan(weights).sum(), infinite.sum()], np.int64)


def divisor(total: np.ndarray) -> np.ndarray:
    """Return sums of weights to divide by: 1 where a sum is 0 and what is divided is 0, too."""
    return np.where(total > 0, total, 1)


def sortable_keys(values: np.ndarray) -> np.ndarray:
    """Return uint64 keys in the order of the values; equal values, -0.0 and 0.0 among them, have equal keys.

    Examples
    --------
    >>> keys = sortable_keys(np.array([-np.inf, -1.5, -0.0, 0.0, 2.0]))
    >>> bool((np.diff(keys.astype(object)) >= 0).all()), bool(keys[2] == keys[3])
    (True, True)
    """
    return narrow_keys(values).astype(np.uint64, copy=False)


def narrow_keys(values: np.ndarray) -> np.ndarray:
    """Return `sortable_keys` in as few bits as they take: uint32 for float32, which is sorted in half the time."""
    if values.dtype == np.float64:
        bits = (values + 0.0).view(np.int64)
        return (bits ^ (bits >> 63 | SIGN_64.view(np.int64))).view(np.uint64)
    if values.dtype == np.float32:
        narrow = (values + np.float32(0.0)).view(np.int32)
        return (narrow ^ (narrow >> 31 | SIGN_32.view(np.int32))).view(np.uint32)
    if values.dtype == np.uint64:
        return values
    return values.astype(np.int64).view(np.uint64) ^ SIGN_64


def key_values(keys: np.ndarray, kind: str) -> np.ndarray:
    """Return the float64 values whose `sortable_keys` are ``keys``; the inverse for a canonical type.

    Examples
    --------
    >>> key_values(sortable_keys(np.array([-3, 7])), "int64").tolist()
    [-3.0, 7.0]
    """
    if kind == "float64":
        return np.where(keys & SIGN_64, keys ^ SIGN_64, ~keys).view(np.float64)
    if kind == "float32":
        bits = keys.astype(np.uint32)
        return np.where(bits & SIGN_32, bits ^ SIGN_32, ~bits).view(np.float32).astype(np.float64)
    if kind == "uint64":
        return keys.astype(np.float64)
    return (keys ^ SIGN_64).view(np.int64).astype(np.float64)


def _edges(counts: np.ndarray, bins: int) -> np.ndarray:
    """Return the cells after which a bin ends, never the last cell: where a quantile falls, and around a heavy cell.

    A cell that holds a bin's share stands alone, whichever end of the column it is at: fewer than ``2 * bins`` bins.
    """
    total = int(counts.sum())
    cumulative = np.cumsum(counts)
    wanted = np.array([total * k for k in range(1, bins)], dtype=np.int64)
    quantiles = np.searchsorted(cumulative * bins, wanted, side="left")
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
    each = np.arange(max(len(cells) - 1, 0))
    pair_ends = each if shift == 0 and len(cells) <= pair else _edges(counts, pair)
    fine_ends = each if shift == 0 and len(cells) <= fine else _edges(counts, fine)
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
    kept = set(order[: len(levels) if len(levels) <= pair_bins else pair_bins - 1])
    code = {index: code for code, index in enumerate((i for i in by_value if i in kept), start=1)}
    groups = [MISSING, *(code.get(index, len(kept) + 1) for index in by_value), len(kept) + 1]
    return CategoryCoding(column, pa.array([levels[i] for i in by_value], pa.string()), np.array(groups, np.uint8))


def hashed_coding(
    column: Column, rows: np.ndarray, heavy: tuple[np.ndarray, np.ndarray], pair_bins: int
) -> CategoryCoding:
    """Return the coding of a category of too many levels: frequent values, then hash buckets for the others.

    In pairs the heaviest of both stand apart, and "other". A bucket that stands out holds a frequent value that
    was not found: which one it is, nobody needs to know to count pairs.

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
    kept = 1 + np.sort(np.argsort(-weights, kind="stable")[: pair_bins - 1])
    groups = np.full(1 + len(values) + len(rows), pair_bins, np.uint8)
    groups[0] = MISSING
    groups[kept] = 1 + np.arange(len(kept))
    return CategoryCoding(column, pa.array([], pa.string()), groups, len(rows), values)


def encode(array: pa.Array, coding: Coding) -> np.ndarray:
    """Return the fine code of every row, shape (rows,), int32: 0 missing, infinities in the outer bins."""
    if isinstance(coding, NumberCoding):
        values, present = values_and_presence(array)
        return np.asarray(coding.steps.codes(narrow_keys(values)) * present)
    if len(array.dictionary) > len(array):  # a file's dictionary may be as long as the file
        array = array.dictionary_decode().dictionary_encode()
    dictionary = array.dictionary
    code = pc.index_in(dictionary, value_set=coding.levels).fill_null(-1).to_numpy(zero_copy_only=False) + 1
    unknown = np.flatnonzero(code == 0)
    if len(unknown):
        code = code.copy()
        code[unknown] = _unknown(dictionary.take(pa.array(unknown)), coding)
    lookup = np.concatenate([code, [MISSING]]).astype(np.int32)
    rows = array.indices.fill_null(len(code)).to_numpy(zero_copy_only=False)
    return np.asarray(lookup[rows])


def _unknown(values: pa.Array, coding: CategoryCoding) -> np.ndarray:
    """Return the fine code of every value that is no known level, shape (values,), int64."""
    if coding.buckets == 1:
        return np.full(len(values), coding.first_bucket)
    hashes = hash64(values)
    codes = coding.first_bucket + buckets_of(hashes, coding.buckets)
    if not len(coding.heavy):
        return codes
    identity = identities(hashes)
    nearest = np.minimum(np.searchsorted(coding.heavy, identity), len(coding.heavy) - 1)
    return np.where(coding.heavy[nearest] == identity, 1 + len(coding.levels) + nearest, codes)


def ranks(array: pa.Array, coding: NumberCoding) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank of every value as a share of the codebook's values, and a mask of finite ones, shape (rows,)."""
    values, present = finite_values(array)
    return coding.steps.ranks(narrow_keys(values)) * present, present
