"""Paged tables say what a binary search says."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featflow.columns.binning import number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.encoding import encode, ranks
from featflow.columns.key_lookup import MOST_SLOTS, MOST_SLOTS_A_STEP, KeyLookup, Steps
from featflow.columns.sort_keys import sortable_keys
from featflow.summaries.value_histograms import Histogram

KEYS = st.integers(0, 2**64 - 1)
RANDOM = np.random.default_rng(11)
VALUES = {
    "normal32": RANDOM.normal(size=60_000).astype(np.float32),
    "normal64": RANDOM.normal(size=60_000),
    "heavy tails": RANDOM.standard_cauchy(60_000),
    "all magnitudes": np.ldexp(RANDOM.normal(size=60_000), RANDOM.integers(-1_060, 1_020, 60_000)),
    "many zeros": np.where(RANDOM.random(60_000) < 0.5, -0.0, RANDOM.normal(size=60_000)),
    "few": RANDOM.integers(0, 10, 60_000),
    "any": RANDOM.integers(0, 10**6, 60_000),
    "wide": RANDOM.integers(-(2**63), 2**63 - 1, 60_000),
    "far apart": np.repeat(RANDOM.integers(0, 2**62, 500), 120),
    "unsigned": RANDOM.integers(0, 2**64 - 1, 60_000, np.uint64),
    "one": np.full(60_000, 7),
}


@given(st.lists(KEYS, max_size=40, unique=True), st.integers(0, 63), st.lists(KEYS, max_size=40))
def test_rank_is_a_search(steps, shift, keys):
    steps = np.unique(np.array(steps, np.uint64) >> np.uint64(shift) << np.uint64(shift))
    near = np.concatenate([steps, steps - np.uint64(1), steps + np.uint64(1)])
    keys = np.concatenate([np.array(keys, np.uint64), near])
    np.testing.assert_array_equal(Steps(steps).rank(keys), np.searchsorted(steps, keys, side="right"))


@given(st.lists(st.integers(0, 2**33), max_size=40, unique=True), st.lists(st.integers(0, 2**32 - 1), max_size=40))
def test_narrow_keys(steps, keys):
    steps, keys = np.sort(np.array(steps, np.uint64)), np.array(keys, np.uint32)
    expected = np.searchsorted(steps, keys.astype(np.uint64), side="right")
    np.testing.assert_array_equal(Steps(steps).rank(keys), expected)


def test_steps_too_far_apart_are_searched():
    assert not Steps(np.sort(RANDOM.integers(0, 2**64 - 1, 1_000, np.uint64))).is_paged
    assert Steps(np.arange(0, 2**40, 2**24, dtype=np.uint64)).is_paged


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("cells", [64, 65_536])
def test_codes_and_ranks_are_those_of_a_search(name, cells):
    values = VALUES[name]
    column = Column("x", values.dtype.name, Kind.NUMBER)
    histogram = Histogram.of_keys(np.sort(sortable_keys(values)), values.dtype.name, cells)
    coding = number_coding(column, histogram.cells, histogram.counts, histogram.shift, (64, 16))
    kind = np.finfo if values.dtype.kind == "f" else np.iinfo
    others = np.array([kind(values.dtype).min, kind(values.dtype).max, 0], values.dtype)
    looked_up = np.concatenate([others, values, np.nextafter(values, 9) if values.dtype.kind == "f" else values + 1])
    keys = sortable_keys(looked_up.astype(values.dtype))
    codes = 1 + np.searchsorted(coding.edges, keys, side="right")
    cell = np.searchsorted(coding.cells, keys, side="right") - 1
    np.testing.assert_array_equal(coding.key_lookup.codes(keys), codes)
    np.testing.assert_array_equal(coding.key_lookup.ranks(keys), coding.ranks[np.maximum(cell, 0)])


def test_tables_are_bounded():
    for values in VALUES.values():
        steps = np.unique(sortable_keys(values))
        function = Steps(steps)
        if function.is_paged:
            assert len(function._table) + len(function._pages.starts) <= max(MOST_SLOTS, MOST_SLOTS_A_STEP * len(steps))


def test_a_column_without_values():
    empty = KeyLookup(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0))
    keys = np.array([0, 2**64 - 1], np.uint64)
    assert empty.codes(keys).tolist() == [1, 1]
    assert empty.ranks(keys).tolist() == [0.0, 0.0]


def test_tables_do_not_travel():
    import pyarrow as pa

    cells = np.arange(2**63, 2**63 + 5_000, dtype=np.uint64)
    column = Column("x", "int64", Kind.NUMBER)
    coding = number_coding(column, cells, np.ones(5_000, int), 0, (64, 16))
    before = len(pickle.dumps(coding))
    array = pa.array([-3, 0, 17, None, 9_999])
    codes, found = encode(array, coding), ranks(array, coding)
    assert len(pickle.dumps(coding)) == before
    back = pickle.loads(pickle.dumps(coding))
    assert back.digest == coding.digest
    np.testing.assert_array_equal(encode(array, back), codes)
    np.testing.assert_array_equal(ranks(array, back), found)
