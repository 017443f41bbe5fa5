"""The histogram: exact, of bounded size, the same for any order, as fine as its cells allow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featflow.columns.column import Column, Kind
from featflow.summaries import ValueHistogramsSummarizer


def summarize(values, cells, kind="float64"):
    spec = ValueHistogramsSummarizer((Column("x", kind, Kind.NUMBER),), cells)
    return spec, [spec.summarize(pa.record_batch({"x": part})) for part in values]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=True), min_size=0, max_size=200),
    st.integers(2, 40),
    st.integers(0, 200),
    st.randoms(use_true_random=False),
)
def test_any_cut_and_order_gives_the_same_bits(values, cells, cut, shuffler):
    shuffled = list(values)
    shuffler.shuffle(shuffled)
    _, (whole,) = summarize([pa.array(values, pa.float64())], cells)
    _, (left, right) = summarize(
        [pa.array(shuffled[:cut], pa.float64()), pa.array(shuffled[cut:], pa.float64())], cells
    )
    merged = right.merge(left)
    assert merged.to_arrow().equals(whole.to_arrow(), check_metadata=True)
    assert len(whole.histograms[0].cells) <= cells
    assert whole.histograms[0].counts.sum() == np.isfinite(values).sum()


def test_resolution_is_the_finest_that_fits():
    values = np.random.default_rng(0).normal(size=10_000)
    _, (state,) = summarize([pa.array(values)], 500)
    histogram = state.histograms[0]
    from featflow.columns.sort_keys import sortable_keys

    keys = sortable_keys(values)
    assert len(np.unique(keys >> np.uint64(histogram.shift))) == len(histogram.cells) <= 500
    assert len(np.unique(keys >> np.uint64(histogram.shift - 1))) > 500


@pytest.mark.parametrize("offset", [0, 10**15])
def test_a_narrow_range_far_from_zero_is_resolved(offset):
    """Times and ids: relative resolution would see one value."""
    values = pa.array(offset + np.random.default_rng(1).integers(0, 10**7, 50_000))
    _, (state,) = summarize([values], 4_096, "int64")
    histogram = state.histograms[0]
    assert histogram.counts.max() / 50_000 < 4 / 2_048


def test_few_values_are_counted_exactly():
    _, (state,) = summarize([pa.array([3.0, 1.0, 3.0, -0.0, 0.0, None])], 16)
    histogram = state.histograms[0]
    assert histogram.shift == 0
    assert histogram.counts.tolist() == [2, 1, 2]
