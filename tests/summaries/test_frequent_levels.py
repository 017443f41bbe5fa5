"""Frequent levels: their bounds hold under any cut and order, and those of many rows are named."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featflow.columns.column import Column, Kind
from featflow.summaries import LevelsSummarizer
from featflow.summaries.frequent_levels import CHARACTERS, COUNTERS, FrequentLevels

SPEC = LevelsSummarizer((Column("x", "string", Kind.CATEGORY),), 16)


def found_in(values, cuts) -> FrequentLevels:
    total = SPEC.empty()
    for first, last in pairwise([0, *cuts, len(values)]):
        batch = pa.record_batch({"x": pa.array(values[first:last], pa.string()).dictionary_encode()})
        total = total.merge(SPEC.summarize(batch))
    return total.columns[0].frequent


def assert_bounds(found, values):
    counts = Counter(values)
    kept = dict(zip(found.levels.to_pylist(), found.rows.tolist(), strict=True))
    assert found.uncounted <= len(values) / (COUNTERS + 1)
    assert all(0 < rows <= counts[level] <= rows + found.uncounted for level, rows in kept.items())
    assert all(rows <= found.uncounted for level, rows in counts.items() if level not in kept)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 20_000), max_size=8), st.sampled_from([1.05, 1.3, 2.0]))
def test_bounds_hold_under_any_cut(seed, cuts, exponent):
    random = np.random.default_rng(seed)
    values = np.char.add("level ", (random.zipf(exponent, 20_000) % 5_000).astype(str)).tolist()
    assert_bounds(found_in(values, sorted(cuts)), values)


@pytest.mark.parametrize("levels", [17, COUNTERS, COUNTERS + 1, 3 * COUNTERS])
def test_few_levels_are_counted_exactly_and_of_a_flat_column_none_is_kept(levels):
    found = found_in([f"{i:05d}" for i in range(levels)] * 2, [levels])
    assert (len(found.levels), found.uncounted) in ((levels, 0), (0, 2), (0, 1))
    assert (found.uncounted == 0) == (levels <= COUNTERS)


def test_a_level_of_many_rows_is_named_with_nearly_all_of_them():
    values = [f"user {i}" for i in range(50_000)] + ["unknown"] * 2_000 + ["" for _ in range(1_000)]
    values = np.random.default_rng(0).permutation(np.array(values, object)).tolist()
    found = found_in(values, list(range(1_000, 53_000, 1_000)))
    (first, rows), (second, fewer) = found.surely()
    assert (first, second) == ("unknown", "")
    assert 2_000 - found.uncounted <= rows <= 2_000
    assert 1_000 - found.uncounted <= fewer <= 1_000


def test_long_levels_that_begin_alike_are_counted_together():
    values = ["ä" * CHARACTERS + str(i) for i in range(100)] + [f"{i}" for i in range(50)]
    found = found_in(values, [70])
    assert found.surely()[0] == ("ä" * CHARACTERS, 100)
