"""What a profile says of numbers and categories, within its limits and beyond them, against numpy and the library."""

from __future__ import annotations

from collections import Counter

import datasketches
import numpy as np
import pyarrow as pa
import pytest
from datasets import write_parts

import featflow

ROWS = 30_000
LEVELS, CELLS = 1_000, 2_000


def table() -> pa.Table:
    random = np.random.default_rng(0)
    user = np.char.add("user ", random.integers(0, 8_000, ROWS).astype(str)).astype(object)
    user[: ROWS // 10] = "unknown"
    return pa.table(
        {
            "few": random.poisson(4, ROWS),
            "many": pa.array(random.normal(size=ROWS), mask=random.random(ROWS) < 0.1),
            "narrow": random.normal(size=ROWS).astype(np.float32),
            "when": pa.array(1_600_000_000_000_000 + random.integers(0, 10**13, ROWS), pa.timestamp("us")),
            "one": np.full(ROWS, 2.5),
            "city": np.char.add("city ", random.integers(0, 40, ROWS).astype(str)),
            "user": pa.array(random.permutation(user), pa.string()),
        }
    )


def profiled(root, source, profile):
    analyses = {"profile": profile, "correlation": False, "drift": False}
    codebook = {"levels": LEVELS, "cells": CELLS}
    config = {"dataset": {"source": str(source), "shard_bytes": 1, "kinds": {"user": "category"}}, "codebook": codebook}
    return featflow.run(config | {"output": str(root), "engine": {"kind": "serial"}, "analyses": analyses})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_parts(table(), tmp_path_factory.mktemp("profile") / "data", 3)


@pytest.fixture(scope="module")
def rows(source, tmp_path_factory):
    run = profiled(tmp_path_factory.mktemp("plain"), source, True)
    return {row["column"]: row for row in run.table("profile").to_dicts()}


@pytest.fixture(scope="module")
def sketched(source, tmp_path_factory):
    run = profiled(tmp_path_factory.mktemp("sketched"), source, {"sketches": True})
    return {row["column"]: row for row in run.table("profile").to_dicts()}


def test_values_within_the_limits_are_counted_exactly(rows):
    for name in ("few", "one", "city"):
        distinct = len(set(table()[name].to_pylist()))
        assert [rows[name][key] for key in ("distinct", "distinct_low", "distinct_high")] == [distinct] * 3


@pytest.mark.parametrize("name", ["many", "narrow", "when", "user"])
def test_values_beyond_them_are_estimated_within_their_bounds(rows, name):
    distinct = len({*table()[name].to_pylist()} - {None})
    assert rows[name]["distinct_low"] <= distinct <= rows[name]["distinct_high"]
    assert rows[name]["distinct_low"] < rows[name]["distinct"] < rows[name]["distinct_high"]
    assert abs(rows[name]["distinct"] / distinct - 1) < 0.05


def test_frequent_levels_beyond_the_limit_have_lower_bounds_of_their_rows(rows):
    counts = Counter(table()["user"].to_pylist())
    first, *others = rows["user"]["top_values"]
    assert first["value"] == "unknown"
    assert 0.99 * counts["unknown"] <= first["count"] <= counts["unknown"]
    assert all(0 < each["count"] <= counts[each["value"]] for each in others)


@pytest.mark.parametrize("name", ["few", "many", "narrow"])
def test_the_histogram_is_of_the_middle_of_the_values(rows, name):
    values = np.array(table()[name].drop_null().to_pylist(), float)
    low, high = rows[name]["quantiles"][0], rows[name]["quantiles"][-1]
    expected, _ = np.histogram(values, 24, (low, high))
    error = rows[name]["quantile_rank_error"] * len(values)  # a cell may lie over the edge of a bin
    assert np.abs(rows[name]["histogram"] - expected).max() <= 2 * error
    assert sum(rows[name]["histogram"]) >= 0.97 * len(values)


def test_there_is_no_histogram_of_one_value_or_of_categories(rows):
    assert [rows[name]["histogram"] for name in ("one", "city", "user")] == [None] * 3


def test_sketches_are_left_out_unless_they_are_asked_for(rows, sketched):
    names = ("quantile_sketch", "distinct_sketch", "frequent_sketch")
    assert all(row[name] is None for row in rows.values() for name in names)
    for name, row in sketched.items():
        assert {k: v for k, v in row.items() if k not in names} == {k: rows[name][k] for k in row if k not in names}


def test_the_library_reads_the_sketches(sketched):
    frame = table()
    kll = datasketches.kll_doubles_sketch.deserialize(sketched["narrow"]["quantile_sketch"])
    assert kll.n == ROWS
    assert abs((frame["narrow"].to_numpy() <= kll.get_quantile(0.5)).mean() - 0.5) < 0.03
    for name, row in sketched.items():
        hll = datasketches.hll_sketch.deserialize(row["distinct_sketch"])
        assert hll.get_estimate() == pytest.approx(row["distinct"], rel=0.01), name


@pytest.mark.parametrize("name", ["few", "many", "narrow", "city", "user"])
def test_sketches_of_distinct_values_go_on_with_the_librarys(sketched, name):
    """Fed once more with the same values, as another engine would, a sketch holds no more of them."""
    hll = datasketches.hll_sketch.deserialize(sketched[name]["distinct_sketch"])
    again = datasketches.hll_sketch(12)
    for value in table()[name].drop_null().to_pylist():
        again.update(value)
    union = datasketches.hll_union(12)
    for sketch in (hll, again):
        union.update(sketch)
    alone = datasketches.hll_union(12)
    for _ in range(2):
        alone.update(again)
    assert union.get_estimate() == pytest.approx(alone.get_estimate(), rel=1e-6)


@pytest.mark.parametrize("name", ["city", "user"])
def test_sketches_of_frequent_levels_hold_their_bounds(sketched, name):
    counts = Counter(table()[name].to_pylist())
    items = datasketches.frequent_strings_sketch.deserialize(sketched[name]["frequent_sketch"])
    assert items.total_weight == ROWS
    found = items.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_POSITIVES)
    assert {item for item, *_ in found} >= {"unknown"} & set(counts)
    for item, estimate, low, high in found:
        assert low <= counts[item] <= high
        assert low <= estimate <= high
    items.update("unknown", 5)
    assert items.total_weight == ROWS + 5
