"""Converts numbers to unsigned integers in the same order."""

from __future__ import annotations

import numpy as np

__all__ = ["SIGN_64", "key_values", "narrow_keys", "sortable_keys"]

SIGN_64 = np.uint64(1 << 63)

SIGN_32 = np.uint32(1 << 31)


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
    # Of a negative float all bits are inverted, of a positive one the sign alone; adding 0.0 turns -0.0 into 0.0.
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
