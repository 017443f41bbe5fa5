"""Counts by unit of time against counts of rows, whatever the width of units, the type of times and the merging."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.binning import category_coding, number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.sort_keys import sortable_keys
from featflow.summaries.time_counts import MOST_UNITS, TimeCountsSummarizer

ROWS = 3_000
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=ROWS)
CITY = RANDOM.integers(0, 30, ROWS).astype(str)
Y = RANDOM.integers(0, 3, ROWS).astype(str)


def number(name, values):
    cells, counts = np.unique(sortable_keys(values), return_counts=True)
    return number_coding(Column(name, "float64", Kind.NUMBER), cells, counts, 0, (64, 16))


def category(name, values):
    levels, counts = np.unique(values, return_counts=True)
    return category_coding(Column(name, "string", Kind.CATEGORY), levels.tolist(), counts.tolist(), 16)


FEATURES = (number("x", X), category("city", CITY))
TARGETS = (category("y", Y), number("x", X))


def batch_of(times):
    columns = {"x": X, "t": times} | {n: pa.array(v).dictionary_encode() for n, v in (("city", CITY), ("y", Y))}
    return pa.record_batch(columns)


def spec_of(kind, unit):
    return TimeCountsSummarizer(FEATURES, TARGETS, Column("t", kind, Kind.NUMBER), unit)


def counted(state, spec):
    """Rows of every unit, feature, level and class, of the first target."""
    edges = spec.starts()
    table = spec.tables(state, 0)
    return [table[:, a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize(
    ("kind", "times", "unit"),
    [
        ("int64", RANDOM.integers(-700, 700, ROWS), 10.0),
        ("uint64", (1 << 63) + RANDOM.integers(0, 1000, ROWS).astype(np.uint64), 50.0),
        ("float64", RANDOM.uniform(-3, 3, ROWS), 0.25),
        ("float32", RANDOM.uniform(0, 20, ROWS).astype(np.float32), 1.0),
        ("int64", RANDOM.integers(0, 10**15, ROWS), 1.0),
        ("float64", RANDOM.normal(size=ROWS) * 1e300, 1.0),
    ],
)
def test_cells_are_rows_of_a_unit_a_level_and_a_class(kind, times, unit):
    spec = spec_of(kind, unit)
    state = spec.summarize(batch_of(times))
    assert len(state.units) <= MOST_UNITS
    whole = kind.endswith("int64")
    numbers = times // int(unit) if whole else np.clip(np.floor(times.astype(float) / unit), -(2.0**62), 2.0**62)
    numbers = numbers.astype(np.int64) >> state.level
    np.testing.assert_array_equal(state.units, np.unique(numbers))
    pair = FEATURES[0].groups[np.searchsorted(FEATURES[0].edges, sortable_keys(X), side="right") + 1]
    classes = np.unique(Y, return_inverse=True)[1] + 1
    truth = np.zeros(counted(state, spec)[0].shape, np.int64)
    np.add.at(truth, (np.searchsorted(state.units, numbers), pair, classes), 1)
    np.testing.assert_array_equal(counted(state, spec)[0], truth)
    by_unit = np.bincount(np.searchsorted(state.units, numbers))
    for table in counted(state, spec):
        np.testing.assert_array_equal(table.sum(axis=(1, 2)), by_unit)


def test_units_are_joined_as_little_as_the_whole_needs():
    spec, times = spec_of("int64", 1.0), np.arange(ROWS) % 1_000
    states = [spec.summarize(batch_of(times).slice(at, 100)) for at in range(0, ROWS, 100)]
    assert [state.level for state in states[:2]] == [0, 0]
    whole = states[0]
    for state in states[1:]:
        whole = whole.merge(state)
    assert whole.level == 3  # 1,000 / 8 = 125
    assert spec.summarize(batch_of(times)).to_arrow().equals(whole.to_arrow(), check_metadata=True)


def test_rows_without_a_time_are_in_no_unit():
    times = pa.array(np.arange(ROWS) % 50, mask=np.arange(ROWS) % 3 == 0)
    spec = spec_of("int64", 1.0)
    state = spec.summarize(batch_of(times))
    assert (state.rows, state.undated) == (ROWS, ROWS // 3)
    assert counted(state, spec)[0].sum() == ROWS - ROWS // 3
    none = spec.summarize(batch_of(pa.nulls(ROWS, pa.int64())))
    assert (none.rows, none.undated, len(none.units)) == (ROWS, ROWS, 0)
    assert none.merge(state).to_arrow().column("counts").equals(state.to_arrow().column("counts"))


def test_absorbing_writes_into_the_state_where_it_has_the_units():
    spec, batch = spec_of("int64", 1.0), batch_of(np.arange(ROWS) % 50)
    state = spec.update(spec.empty(), batch)
    counts = state.counts
    assert spec.update(state, batch).counts is counts
    np.testing.assert_array_equal(counts, 2 * spec.summarize(batch).counts)
