"""Codes and codings: order, ties, constants, few values, exact identities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featflow.columns.binning import category_coding, number_coding
from featflow.columns.codebook import Codebook, pair_cardinality, target_classes
from featflow.columns.column import Column, Kind
from featflow.columns.encoding import encode, ranks
from featflow.columns.sort_keys import key_values, sortable_keys
from featflow.summaries import ValueHistogramsSummarizer

FLOATS = st.floats(allow_nan=False)


def coding_of(values: pa.Array, bins=(64, 16), cells=65_536):
    kind = {pa.float64(): "float64", pa.float32(): "float32", pa.uint64(): "uint64"}.get(values.type, "int64")
    column = Column("x", kind, Kind.NUMBER)
    histogram = ValueHistogramsSummarizer((column,), cells).summarize(pa.record_batch({"x": values})).histograms[0]
    return number_coding(column, histogram.cells, histogram.counts, histogram.shift, bins)


@given(st.lists(FLOATS, min_size=2, max_size=50))
def test_keys_are_in_the_order_of_the_values(values):
    array = np.sort(np.array(values))
    keys = sortable_keys(array)
    assert (keys[1:] >= keys[:-1]).all()
    np.testing.assert_array_equal(keys[1:] == keys[:-1], array[1:] == array[:-1])
    np.testing.assert_array_equal(key_values(keys, "float64"), array)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_integers_keep_their_identity(values):
    keys = sortable_keys(np.array(values, np.int64))
    assert [int(key) - 2**63 for key in keys] == values


@pytest.mark.parametrize("dtype", [np.float32, np.uint64, np.int64])
def test_other_types_round_trip(dtype):
    values = np.array([0, 1, 2, 3, 1000], dtype)
    assert key_values(sortable_keys(values), np.dtype(dtype).name).tolist() == values.tolist()


def test_bins_hold_equal_shares():
    random = np.random.default_rng(0)
    values = pa.array(random.lognormal(size=100_000))
    coding = coding_of(values)
    fine = np.bincount(encode(values, coding))
    assert len(fine) == 65
    assert abs(fine[1:] - 100_000 / 64).max() < 100_000 / 64 * 0.06
    pair = np.bincount(coding.groups[encode(values, coding)])
    assert abs(pair[1:] - 100_000 / 16).max() < 100_000 / 16 * 0.02


def test_bins_end_where_numpy_says():
    values = np.random.default_rng(1).normal(size=10_001)
    coding = coding_of(pa.array(values), bins=(16, 16))
    edges = np.quantile(values, np.arange(1, 16) / 16, method="inverted_cdf")
    truth = 1 + np.searchsorted(edges, values, side="left")
    np.testing.assert_array_equal(encode(pa.array(values), coding), truth)


def test_ties_stay_together_and_leave_no_empty_bin():
    values = pa.array([0.0] * 900 + list(np.random.default_rng(2).random(100)))
    codes = encode(values, coding_of(values))
    assert set(codes[:900]) == {1}
    assert np.bincount(codes)[1:].min() > 0


@pytest.mark.parametrize(
    ("values", "cardinality"),
    [([5.0] * 10, 2), ([None] * 3, 2), ([1.0, None, 2.0], 3), (list(range(40)), 41), ([], 2), ([float("nan")], 2)],
)
def test_few_values_have_a_bin_each(values, cardinality):
    array = pa.array(values, pa.float64())
    coding = coding_of(array)
    assert coding.cardinality == cardinality
    codes = encode(array, coding)
    assert [code == 0 for code in codes] == [value is None or value != value for value in values]  # noqa: PLR0124
    assert len({c for c in codes if c}) == len({v for v in values if v is not None and v == v})  # noqa: PLR0124


def test_pair_codes_are_a_function_of_fine_codes_in_order():
    values = pa.array(np.random.default_rng(3).poisson(30, 5_000))
    coding = coding_of(values)
    assert (np.diff(coding.groups.astype(int)) >= 0).all()
    assert pair_cardinality(coding) <= 17
    assert coding.cardinality <= 65


def test_infinities_fall_into_the_outer_bins():
    values = pa.array(np.random.default_rng(4).normal(size=1_000))
    coding = coding_of(values)
    codes = encode(pa.array([-np.inf, np.inf, np.nan]), coding)
    assert codes.tolist() == [1, coding.cardinality - 1, 0]


def test_ranks_equal_scipy_where_every_value_has_a_cell():
    from scipy.stats import rankdata

    values = np.random.default_rng(5).poisson(9, 3_000).astype(float)
    ours, present = ranks(pa.array(values), coding_of(pa.array(values)))
    np.testing.assert_allclose(ours, rankdata(values) / 3_000, rtol=1e-14)
    assert present.all()


def test_rank_variance_bounds_the_error():
    from scipy.stats import rankdata

    values = np.random.default_rng(6).normal(size=5_000)
    coding = coding_of(pa.array(values), cells=64)
    ours, _ = ranks(pa.array(values), coding)
    assert 0 < np.mean((ours - rankdata(values) / 5_000) ** 2) <= coding.rank_variance * (1 + 1e-12)


def test_category_codes():
    column = Column("c", "string", Kind.CATEGORY)
    coding = category_coding(column, [f"v{i:02d}" for i in range(30)], list(range(1, 31)), 16)
    array = pa.array(["v29", "v00", None, "never seen", "v15"]).dictionary_encode()
    codes = encode(array, coding)
    assert codes.tolist() == [30, 1, 0, 31, 16]
    pair = coding.groups[codes]
    assert pair.tolist() == [15, 16, 0, 16, 1]  # the 15 most frequent, then "other"
    assert pair_cardinality(coding) == 17
    few = category_coding(column, ["a", "b"], [1, 1], 16)
    assert encode(pa.array(["b", "x"]).dictionary_encode(), few).tolist() == [2, 3]
    assert target_classes(few).tolist() == [0, 1, 2, 3]


def test_ties_among_levels_are_broken_by_value():
    column = Column("c", "string", Kind.CATEGORY)
    one = category_coding(column, ["b", "a", "c"], [1, 1, 1], 2)
    other = category_coding(column, ["c", "b", "a"], [1, 1, 1], 2)
    assert one.digest == other.digest
    assert one.groups.tolist() == [0, 1, 2, 2, 2]


def test_codebook_round_trip():
    values = pa.array(np.random.default_rng(8).normal(size=100))
    number = coding_of(values)
    category = category_coding(Column("c", "string", Kind.CATEGORY, ("?",)), ["x", "y"], [2, 1], 16)
    codebook = Codebook((number, category))
    back = Codebook.from_arrow(codebook.to_arrow())
    assert back.digest == codebook.digest
    assert back["c"].column == category.column
    assert encode(values, back["x"]).tolist() == encode(values, number).tolist()
    assert repr(back) == repr(codebook)
