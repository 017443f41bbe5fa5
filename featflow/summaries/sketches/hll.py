"""HyperLogLog registers of many values at once, as an Apache DataSketches HLL sketch has them.

A value's first hash word names a register, which keeps the largest 1 + leading zeros of the second one (Heule et
al. 2013). A sketch fed value by value ends with the same registers; here numpy fills them, 15 ns a number against the
library's 87, and the library reads them in its own HLL_8 format (the preamble of ``HllArray::newHll``), marked as out
of order: its running estimate depends on the order of values, and registers have none. They do not depend on how
values are cut into parts either: those of several parts are the largest of each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from featflow.columns.sort_keys import SIGN_64, key_values
from featflow.summaries.sketches.murmur import murmur_numbers, murmur_strings

if TYPE_CHECKING:
    import datasketches

__all__ = [
    "LG_K",
    "REGISTERS",
    "distinct_estimate",
    "hll_sketch",
    "no_registers",
    "number_registers",
    "number_words",
    "text_registers",
]

LG_K = 12
"""4,096 registers: standard error 1.6 %."""
REGISTERS = 1 << LG_K
"""Registers of a sketch, a byte each."""
AT_ONCE = 2**14
"""Values hashed at once: what a core's cache holds."""
BOUND_STANDARD_ERRORS = 2
"""Distance of bounds from the estimate: they hold for some 95 % of columns."""
MOST_ZEROS = 62
"""Leading zeros that a register tells apart."""
FLOAT_EXPONENT = 52, 1023
"""Bits below the exponent of a float64, and its bias."""
PREAMBLE = "<8B3d2I"
"""Preamble integers, version, family, registers' logarithm, 0, flags, lowest value, mode; running estimate, sums of
1 / 2^value below 2^-32 and the others; registers at the lowest value, exceptions."""
OUT_OF_ORDER = 16
"""Flag that makes the library estimate from the registers, not from its running estimate."""
HLL_8_MODE = 10
"""Mode byte of a sketch with a byte a register."""
HIGH_VALUE = 32
"""Register value from which the library sums terms apart, to keep their digits."""


def number_words(keys: np.ndarray, kind: str) -> np.ndarray:
    """Return what is hashed of every number: the eight bytes of an integer, or of a float64, uint64.

    Parameters
    ----------
    keys
        See `featflow.columns.sort_keys.sortable_keys`.
    """
    if kind == "int64":
        return np.asarray(keys ^ SIGN_64)
    return keys if kind == "uint64" else key_values(keys, kind).view(np.uint64)


def no_registers() -> np.ndarray:
    """Return the registers of a column whose values are counted exactly: none."""
    return np.empty(0, np.uint8)


def number_registers(keys: np.ndarray, kind: str) -> np.ndarray:
    """Return the registers of numbers, shape (REGISTERS,), uint8."""
    parts = (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))
    return _registers(murmur_numbers(number_words(part, kind)) for part in parts)


def text_registers(values: pa.StringArray) -> np.ndarray:
    """Return the registers of strings, shape (REGISTERS,), uint8."""
    parts = (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))
    return _registers(murmur_strings(part) for part in parts)


def _registers(hashes: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    registers = np.zeros(REGISTERS, np.uint8)
    for first, second in hashes:
        top = (second & ~(second >> np.uint64(1))).astype(np.float64)  # without a second bit, no rounding upwards
        exponent = (top.view(np.int64) >> FLOAT_EXPONENT[0]) - FLOAT_EXPONENT[1]
        value = np.minimum(63 - exponent, MOST_ZEROS).astype(np.uint8) + np.uint8(1)
        np.maximum.at(registers, (first & np.uint64(REGISTERS - 1)).view(np.int64), value)
    return registers


def hll_sketch(registers: np.ndarray) -> datasketches.hll_sketch:
    """Return the library's sketch of these registers, HLL_4.

    Examples
    --------
    >>> registers = np.zeros(REGISTERS, np.uint8)
    >>> registers[:1000] = 1
    >>> round(hll_sketch(registers).get_estimate())
    1146
    """
    import datasketches  # noqa: PLC0415  which few ask for

    counts = np.bincount(registers, minlength=64)
    terms = counts * 0.5 ** np.arange(len(counts))  # multiples of 2^-63: their sums are exact
    flags = (10, 1, 7, LG_K, 0, OUT_OF_ORDER, 0, HLL_8_MODE)
    sums = (0.0, float(terms[:HIGH_VALUE].sum()), float(terms[HIGH_VALUE:].sum()))
    data = struct.pack(PREAMBLE, *flags, *sums, int(counts[0]), 0) + registers.tobytes()
    union = datasketches.hll_union(LG_K)
    union.update(datasketches.hll_sketch.deserialize(data))
    return union.get_result(datasketches.tgt_hll_type.HLL_4)


def distinct_estimate(registers: np.ndarray) -> tuple[float, float, float]:
    """Return the composite estimate of distinct values and its bounds at two standard errors."""
    sketch = hll_sketch(registers)
    return (
        float(sketch.get_estimate()),
        float(sketch.get_lower_bound(BOUND_STANDARD_ERRORS)),
        float(sketch.get_upper_bound(BOUND_STANDARD_ERRORS)),
    )
