"""What is made of a batch once is what would be made each time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.batch_cache import (
    RADIX_FROM,
    CachedBatch,
    cached,
    classes_of,
    codes_of,
    finite_keys_of,
    group_levels,
    keys_of,
    levels_of,
    pair_codes_of,
)
from featflow.columns.binning import category_coding, number_coding
from featflow.columns.codebook import target_classes
from featflow.columns.column import Column, Kind
from featflow.columns.encoding import encode
from featflow.columns.jackknife_groups import JackknifeGroups, group_codes
from featflow.columns.sort_keys import sortable_keys

ROWS = RADIX_FROM + 1_000
RANDOM = np.random.default_rng(5)
FLOAT = RANDOM.normal(size=ROWS)
FLOAT[:6] = [np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324]
NUMBERS = {
    "float32": FLOAT.astype(np.float32),
    "float64": FLOAT,
    "int64": RANDOM.integers(-(2**63), 2**63 - 1, ROWS),
    "uint64": RANDOM.integers(0, 2**64 - 1, ROWS, np.uint64),
}
TEXTS = pa.array([f"v{value}" for value in RANDOM.integers(0, 300, ROWS)], mask=RANDOM.random(ROWS) < 0.1)
BATCH = pa.record_batch(
    {name: pa.array(values, mask=RANDOM.random(ROWS) < 0.05) for name, values in NUMBERS.items()}
    | {"c": TEXTS.dictionary_encode()}
)
CATEGORY = Column("c", "string", Kind.CATEGORY)


def made_or_not(batch):
    return pytest.mark.parametrize("batch", [batch, CachedBatch(batch)], ids=["plain", "coded"])


def test_what_is_made_is_kept_by_a_coded_batch_alone():
    calls = []
    coded = CachedBatch(BATCH)
    for batch in (BATCH, BATCH, coded, coded):
        cached(batch, "key", lambda: calls.append(1))
    assert len(calls) == 3
    assert (coded.num_rows, coded.schema) == (BATCH.num_rows, BATCH.schema)
    assert coded.column("c").equals(BATCH.column("c"))


@made_or_not(BATCH)
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("rows", [0, 1, 100, ROWS])
def test_keys_are_sorted(batch, name, rows):
    batch = batch if rows == ROWS else BATCH.slice(0, rows)
    column = Column(name, name, Kind.NUMBER)
    values = np.array(batch.column(name).drop_null().to_numpy())
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    finite = present[np.isfinite(present)] if values.dtype.kind == "f" else values
    for _ in range(2):
        np.testing.assert_array_equal(keys_of(batch, column), np.sort(sortable_keys(present)))
        np.testing.assert_array_equal(finite_keys_of(batch, column), np.sort(sortable_keys(finite)))


@made_or_not(BATCH)
def test_levels_are_counted(batch):
    expected = sorted(Counter(text for text in TEXTS.to_pylist() if text is not None).items())
    levels, rows = levels_of(batch, CATEGORY)
    assert list(zip(levels.to_pylist(), rows.tolist(), strict=True)) == expected


def test_levels_that_repeat_are_one():
    levels, rows = group_levels(pa.array(["b", "a", "b", "ä", ""]), np.array([1, 2, 4, 8, 16]))
    assert dict(zip(levels.to_pylist(), rows.tolist(), strict=True)) == {"": 16, "a": 2, "b": 5, "ä": 8}
    assert levels.to_pylist() == sorted(levels.to_pylist(), key=str.encode)
    nothing, none = group_levels(pa.array([], pa.string()), np.empty(0, np.int64))
    assert (len(nothing), len(none)) == (0, 0)


@made_or_not(BATCH)
def test_codes(batch):
    number = number_coding(
        Column("float64", "float64", Kind.NUMBER),
        np.unique(sortable_keys(FLOAT[6:200])),
        np.ones(194, int),
        0,
        (64, 16),
    )
    category = category_coding(CATEGORY, [f"v{value}" for value in range(300)], list(range(300)), 16)
    for coding in (number, category):
        codes = encode(BATCH.column(coding.column.name), coding)
        for _ in range(2):
            np.testing.assert_array_equal(codes_of(batch, coding), codes)
            np.testing.assert_array_equal(pair_codes_of(batch, coding), coding.groups[codes])
            np.testing.assert_array_equal(classes_of(batch, coding), target_classes(coding)[codes])


@made_or_not(BATCH)
def test_groups_of_rows(batch):
    for groups in (8, 32):
        jackknife = JackknifeGroups("value", (CATEGORY,), groups)
        assert int(group_codes(batch, jackknife).max()) == groups - 1
        np.testing.assert_array_equal(group_codes(batch, jackknife), group_codes(BATCH, jackknife))
