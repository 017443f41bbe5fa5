"""Columns of too many levels: frequent values are found and counted exactly, the rest share buckets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.binning import hashed_coding
from featflow.columns.codebook import Codebook, pair_cardinality
from featflow.columns.column import Column, Kind
from featflow.columns.encoding import encode
from featflow.columns.hashing import hash64, identities
from featflow.summaries import LevelsSummarizer
from featflow.summaries.heavy_hitters import HEAVY_GROUPS
from featflow.summaries.levels import BUCKETS

COLUMN = Column("x", "string", Kind.CATEGORY)
SPEC = LevelsSummarizer((COLUMN,), 10_000)
FREQUENT = ["frequent", "frequent_rows", "uncounted"]
"""What depends on the order: see `test_frequent_levels`."""
TAIL = 300_000
PLANTED = {"five per cent": 0.05, "größer": 0.01, "eins": 0.01, "0.1 %": 0.001, "": 0.001, "42": 0.001}


def batch_of(values) -> pa.RecordBatch:
    return pa.record_batch({"x": pa.array(values, pa.string()).dictionary_encode()})


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    random = np.random.default_rng(0)
    tail = [f"user-{i}" for i in np.concatenate([np.arange(TAIL), random.integers(0, TAIL, TAIL)])]
    rows = len(tail) / (1 - sum(PLANTED.values()))
    heavy = [value for value, share in PLANTED.items() for _ in range(round(share * rows))]
    return random.permutation(np.array(tail + heavy, object))


def state_of(values, cuts):
    total = SPEC.empty()
    for first, last in pairwise([0, *cuts, len(values)]):
        total = total.merge(SPEC.summarize(batch_of(values[first:last])))
    return total


@pytest.fixture(scope="module")
def state(values):
    return state_of(values, [])


def coding_of(state, pair_bins=16):
    (counted,) = state.columns
    return hashed_coding(COLUMN, counted.counts, counted.heavy(), pair_bins)


@pytest.mark.parametrize("cuts", [[5], [100_000, 100_001, 250_000], list(range(0, 600_000, 75_000))])
def test_any_order_and_cut_give_the_same_state(cuts, values, state):
    shuffled = np.random.default_rng(len(cuts)).permutation(values)
    for other in (state_of(values, cuts), state_of(shuffled, cuts)):
        left, right = (each.to_arrow().drop(FREQUENT) for each in (other, state))
        assert left.equals(right, check_metadata=True)
        assert coding_of(other).digest == coding_of(state).digest


def test_frequent_values_have_codes_of_their_own(values, state):
    coding = coding_of(state)
    codes = encode(batch_of(values).column("x"), coding)
    counts = np.bincount(codes, minlength=coding.cardinality)
    assert coding.first_bucket == 1 + len(PLANTED)
    assert coding.cardinality == coding.first_bucket + BUCKETS == len(counts)
    own = encode(batch_of(list(PLANTED)).column("x"), coding)
    assert sorted(own.tolist()) == list(range(1, coding.first_bucket))
    for value, code in zip(PLANTED, own, strict=True):
        assert counts[code] == (values == value).sum()
    pair = coding.groups[own]
    assert len(set(pair.tolist())) == len(PLANTED)
    assert np.bincount(coding.groups, minlength=17)[1:16].tolist() == [1] * 15
    assert pair_cardinality(coding) == 17


def test_bounds_hold(values, state):
    found, bounds = state.columns[0].heavy()
    order = np.argsort(identities(hash64(pa.array(list(PLANTED)))))
    true = np.array([(values == value).sum() for value in PLANTED])[order]
    assert (np.diff(found.astype(np.int64)) > 0).all()
    assert (bounds >= true).all()
    assert (bounds - true <= len(values) / HEAVY_GROUPS).all()


def test_values_that_share_a_group_are_told_apart_by_the_other_partition():
    names = np.array([f"v{i}" for i in range(20_000)], object)
    identity = identities(hash64(pa.array(names)))
    group = identity >> np.uint64(32)
    first = next(i for i in range(20_000) if (group == group[i]).sum() > 1)
    both = names[group == group[first]][:2].tolist()
    state = SPEC.summarize(batch_of([*both * 5_000, *(f"user-{i}" for i in range(50_000))]))
    found, bounds = state.columns[0].heavy()
    expected = np.sort(identities(hash64(pa.array(both))))
    assert np.isin(expected, found).all()
    assert (bounds[np.isin(found, expected)] >= 5_000).all()
    assert len(found) <= 3  # one more may be made up of both


def test_a_frequent_value_that_is_not_found_stands_out_by_its_bucket_in_pairs(state):
    (counted,) = state.columns
    nothing = (np.empty(0, np.uint64), np.empty(0, np.int64))
    coding = hashed_coding(COLUMN, counted.counts, nothing, 16)
    own = coding.groups[encode(batch_of(list(PLANTED)).column("x"), coding)]
    assert len(set(own.tolist())) == len(PLANTED)
    assert 16 not in own


def test_pairs_keep_the_heaviest(state):
    coding = coding_of(state, pair_bins=4)
    own = encode(batch_of(list(PLANTED)).column("x"), coding)
    assert sorted(coding.groups[own][:3].tolist()) == [1, 2, 3]
    assert set(coding.groups[own][3:].tolist()) == {4}


def test_a_flat_column_has_no_frequent_value():
    state = SPEC.summarize(batch_of([f"{i}" for i in range(200_000)]))
    coding = coding_of(state)
    assert (len(coding.heavy), coding.cardinality) == (0, 1 + BUCKETS)


def test_codes_do_not_depend_on_the_dictionary(values, state):
    coding = coding_of(state)
    column = batch_of([None, *values[:50_000]]).column("x")
    codes = encode(column, coding)
    assert codes[0] == 0
    np.testing.assert_array_equal(encode(column.slice(49_000, 300), coding), codes[49_000:49_300])
    np.testing.assert_array_equal(encode(column.slice(0, 1), coding), codes[:1])
    assert len(encode(column.slice(0, 0), coding)) == 0


def test_the_codebook_keeps_frequent_values(state):
    codebook = Codebook((coding_of(state),))
    back = Codebook.from_arrow(codebook.to_arrow())
    assert back.digest == codebook.digest
    np.testing.assert_array_equal(back["x"].heavy, codebook["x"].heavy)
    column = batch_of([*PLANTED, "user-1", None]).column("x")
    np.testing.assert_array_equal(encode(column, back["x"]), encode(column, codebook["x"]))


def test_the_limit_is_met_by_distinct_levels_alone():
    spec = LevelsSummarizer((COLUMN,), 16)
    repeated = pa.DictionaryArray.from_arrays(
        pa.array(range(40), pa.int32()), pa.array([f"{i % 16}" for i in range(40)])
    )
    (exact,) = spec.summarize(pa.record_batch({"x": repeated})).columns
    assert len(exact.levels) == 16
    assert exact.groups.size == 0
    one_more = spec.summarize(batch_of([f"{i}" for i in range(17)]))
    in_two = spec.summarize(batch_of([f"{i}" for i in range(9)])).merge(
        spec.summarize(batch_of([f"{i}" for i in range(9, 17)]))
    )
    assert one_more.columns[0].levels is None
    assert in_two.to_arrow().equals(one_more.to_arrow())
