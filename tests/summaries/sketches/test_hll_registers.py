"""HLL registers that numpy fills against sketches that the library fed value by value."""

from __future__ import annotations

import datasketches
import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.column import Column, Kind
from featflow.summaries import DistinctSummarizer
from featflow.summaries.sketches.sketches import FEW_VALUES, HLL_LG_K, distinct_estimate

RANDOM = np.random.default_rng(2)
SIZES = [0, 1, 300, 500, FEW_VALUES, FEW_VALUES + 1, 5_000, 60_000]
KINDS = {
    "float64": lambda n: RANDOM.normal(size=n),
    "float32": lambda n: RANDOM.normal(size=n).astype(np.float32),
    "int64": lambda n: RANDOM.integers(-(2**63), 2**63 - 1, n),
    "uint64": lambda n: RANDOM.integers(0, 2**64 - 1, n, np.uint64),
    "small integers": lambda n: np.arange(n) - n // 2,
    "few of many": lambda n: RANDOM.integers(0, 40, n),
    "strings": lambda n: pa.array([f"{'ä' * (i % 40)}{i}" if i else "" for i in range(n)], pa.string()),
}


def fed(values):
    """A sketch fed value by value."""
    sketch = datasketches.hll_sketch(HLL_LG_K)
    for value in values.tolist():
        if isinstance(values, np.ndarray) and values.dtype == np.uint64:
            value = value - 2**64 if value >= 2**63 else value  # noqa: PLW2901
        sketch.update(value)
    return sketch


def registers(sketch):
    """The bytes of a union with a sketch that is in HLL mode: smaller ones are lists in the order of arrival."""
    union = datasketches.hll_union(HLL_LG_K)
    union.update(fed(np.arange(500) + 2**40))
    union.update(sketch)
    return bytes(union.get_result(datasketches.tgt_hll_type.HLL_8).serialize_updatable())[40:]


def summarized(values):
    text = isinstance(values, pa.Array)
    kind = "string" if text else values.dtype.name
    spec = DistinctSummarizer((Column("x", kind, Kind.CATEGORY if text else Kind.NUMBER),))
    batch = pa.record_batch({"x": values.dictionary_encode() if text else values})
    return spec.empty().merge(spec.summarize(batch)).data[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_registers_are_those_of_every_value(kind, size):
    values = KINDS[kind](size)
    expected, found = fed(values), summarized(values)
    loaded = datasketches.hll_sketch.deserialize(found)
    assert registers(loaded) == registers(expected)
    assert distinct_estimate(found) == distinct_estimate(bytes(expected.serialize_compact()))


def test_zeros_nan_and_infinities():
    values = np.concatenate([[-0.0, 0.0, np.nan, np.inf, -np.inf], RANDOM.normal(size=5_000)])
    expected = fed(values[~np.isnan(values)])
    assert registers(datasketches.hll_sketch.deserialize(summarized(values))) == registers(expected)


def test_the_estimate_of_the_published_bytes_does_not_depend_on_the_order():
    sketch = datasketches.hll_sketch.deserialize(summarized(RANDOM.normal(size=50_000)))
    assert sketch.get_estimate() == distinct_estimate(bytes(sketch.serialize_compact()))[0]
    assert abs(sketch.get_estimate() / 50_000 - 1) < 4 * 1.04 / 2 ** (HLL_LG_K / 2)
