"""HyperLogLog registers of many values at once, as the bytes of an Apache DataSketches HLL sketch.

A value's first hash word names a register, which keeps the largest 1 + leading zeros of the second one (Heule et
al. 2013). A sketch fed value by value ends with the same registers; here numpy fills them, 15 ns a value, and
the library reads them in its own HLL_8 format (the preamble of ``HllArray::newHll``), marked as out of order:
its running estimate depends on the order of values, and registers have none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

__all__ = ["hll_bytes", "hll_registers"]

MOST_ZEROS = 62
"""Leading zeros that a register tells apart."""
FLOAT_EXPONENT = 52, 1023
"""Bits below the exponent of a float64, and its bias."""
PREAMBLE = "<8B3d2I"
"""Preamble integers, version, family, registers' logarithm, 0, flags, lowest value, mode; running estimate, sums of
1 / 2^value below 2^-32 and the others; registers at the lowest value, exceptions."""
OUT_OF_ORDER = 16
HLL_8_MODE = 10
HIGH_VALUE = 32


def hll_registers(hashes: Iterable[tuple[np.ndarray, np.ndarray]], lg_k: int) -> np.ndarray:
    """Return the registers of values, shape (2**lg_k,), uint8.

    Parameters
    ----------
    hashes
        Both words of the values' hashes (see `featflow.summaries.sketches.murmur`), a part of the values at a time.
    """
    registers = np.zeros(1 << lg_k, np.uint8)
    for first, second in hashes:
        top = (second & ~(second >> np.uint64(1))).astype(np.float64)  # without a second bit, no rounding upwards
        exponent = (top.view(np.int64) >> FLOAT_EXPONENT[0]) - FLOAT_EXPONENT[1]
        value = np.minimum(63 - exponent, MOST_ZEROS).astype(np.uint8) + np.uint8(1)
        np.maximum.at(registers, (first & np.uint64(len(registers) - 1)).view(np.int64), value)
    return registers


def hll_bytes(registers: np.ndarray) -> bytes:
    """Return an HLL_8 sketch of these registers.

    Examples
    --------
    >>> import datasketches
    >>> registers = np.zeros(4096, np.uint8)
    >>> registers[:1000] = 1
    >>> round(datasketches.hll_sketch.deserialize(hll_bytes(registers)).get_estimate())
    1146
    """
    counts = np.bincount(registers, minlength=64)
    terms = counts * 0.5 ** np.arange(len(counts))  # multiples of 2^-63: their sums are exact
    lg_k = len(registers).bit_length() - 1
    flags = (10, 1, 7, lg_k, 0, OUT_OF_ORDER, 0, HLL_8_MODE)
    sums = (0.0, float(terms[:HIGH_VALUE].sum()), float(terms[HIGH_VALUE:].sum()))
    return struct.pack(PREAMBLE, *flags, *sums, int(counts[0]), 0) + registers.tobytes()
