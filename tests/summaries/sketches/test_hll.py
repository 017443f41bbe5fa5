"""HLL registers that numpy fills against sketches that the library fed value by value."""

from __future__ import annotations

import datasketches
import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.sort_keys import sortable_keys
from featflow.summaries.sketches.hll import LG_K, distinct_estimate, hll_sketch, number_registers, text_registers

RANDOM = np.random.default_rng(2)
SIZES = [500, 1_024, 5_000, 60_000]
KINDS = {
    "float64": lambda n: RANDOM.normal(size=n),
    "float32": lambda n: RANDOM.normal(size=n).astype(np.float32),
    "int64": lambda n: RANDOM.integers(-(2**63), 2**63 - 1, n),
    "uint64": lambda n: RANDOM.integers(0, 2**64 - 1, n, np.uint64),
    "small integers": lambda n: np.arange(n) - n // 2,
    "signed zeros": lambda n: np.append(RANDOM.normal(size=n), [-0.0, 0.0]),
    "strings": lambda n: pa.array([f"{'ä' * (i % 40)}{i}" for i in range(n)], pa.string()),
}


def fed(values):
    """A sketch fed value by value."""
    sketch = datasketches.hll_sketch(LG_K)
    for value in values.tolist():
        if isinstance(values, np.ndarray) and values.dtype == np.uint64:
            value = value - 2**64 if value >= 2**63 else value  # noqa: PLW2901
        sketch.update(value)
    return sketch


def registers_of(values):
    if isinstance(values, pa.Array):
        return text_registers(values)
    return number_registers(np.sort(sortable_keys(values)), values.dtype.name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_registers_are_those_of_every_value(kind, size):
    values = KINDS[kind](size)
    registers, expected = registers_of(values), fed(values)
    union = datasketches.hll_union(LG_K)  # whose estimate does not depend on the order
    for _ in range(2):
        union.update(expected)
    as_bytes = bytes(union.get_result(datasketches.tgt_hll_type.HLL_8).serialize_updatable())
    assert as_bytes[40:] == registers.tobytes()
    bounds = union.get_lower_bound(2), union.get_upper_bound(2)
    assert distinct_estimate(registers) == (union.get_estimate(), *bounds)


def test_registers_of_parts_are_the_largest_of_each():
    values = RANDOM.normal(size=5_000)
    parts = [registers_of(part) for part in np.array_split(values, 3)]
    np.testing.assert_array_equal(np.max(parts, axis=0), registers_of(values))


@pytest.mark.parametrize("distinct", [20, 400, 3_000, 50_000, 400_000])
def test_estimates_are_within_their_bounds(distinct):
    """Twenty samples of other values: bounds at two standard errors leave out one in twenty."""
    errors, outside = [], 0
    for seed in range(20):
        estimate, low, high = distinct_estimate(registers_of(np.arange(distinct) + seed * 10**9))
        errors.append(estimate / distinct - 1)
        outside += not low <= distinct <= high
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 2 * 1.04 / 2 ** (LG_K / 2)
    assert outside <= 4


def test_the_estimate_of_published_bytes_does_not_depend_on_the_order():
    registers = registers_of(RANDOM.normal(size=50_000))
    data = bytes(hll_sketch(registers).serialize_compact())
    assert datasketches.hll_sketch.deserialize(data).get_estimate() == distinct_estimate(registers)[0]
