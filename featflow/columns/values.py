"""Converts a column's values to numpy arrays, and reads row weights."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column

__all__ = ["divisor", "finite_values", "row_weights", "values_and_presence", "values_less", "weight_faults"]

EXACT_FLOAT = 2.0**53
"""Integers below it are float64 exactly."""

WRAPS_FROM = 2.0**62
"""Differences below it, computed in float64, are surely no differences of 64-bit integers that wrap around."""


def values_and_presence(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return values and a mask of those that are neither null nor NaN, both shape (rows,)."""
    values, present = _values_and_validity(array)
    return values, present & ~np.isnan(values) if values.dtype.kind == "f" else present


def finite_values(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return values in their own type and a mask of the finite ones, both shape (rows,)."""
    values, present = _values_and_validity(array)
    return values, present & np.isfinite(values) if values.dtype.kind == "f" else present


def _values_and_validity(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
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
    all_finite = bool(finite.all())
    with np.errstate(over="ignore"):
        difference = (values if all_finite else np.where(finite, values, 0)).astype(np.float64) - origin
    if values.dtype.kind in "iu" and abs(origin) >= EXACT_FLOAT:
        base = np.uint64(int(origin) % 2**64)  # differences are exact modulo 2^64
        exact = (values.view(np.uint64) - base).view(np.int64)
        difference = np.where(np.abs(difference) < WRAPS_FROM, exact, difference)
    return difference if all_finite else np.where(finite, difference, 0.0)


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
    """Return sums of weights as divisors: 1 where a sum is 0, as the dividend is 0 there, too."""
    return np.where(total > 0, total, 1)
