"""The whole job with row weights: what is weighted, what stays a count of rows, and that ones change nothing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from datasets import mixed_table, write_parts

import featflow
from featflow.config import parse
from featflow.pipeline.plan import plan

ROWS = 1_500
WEIGHTS = np.random.default_rng(4).gamma(1.0, 3.0, ROWS) * (np.arange(ROWS) % 10 > 0)
UNWEIGHTED = ["rows", "missing", "nonfinite", "distinct", "min", "max", "quantiles", "top_values", "entropy", "alerts"]


def run(folder, table, parts=3, **dataset):
    dataset |= {"source": write_parts(table, folder / "data", parts), "shard_bytes": 1}
    config = {"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": "serial"}}
    return featflow.run(config | {"codebook": {"cells": 512}})


def weighted_run(folder, weights, parts=3):
    table = mixed_table(ROWS).append_column("w", pa.array(weights))
    return run(folder, table, parts, targets=["target"], entity=["user"], weight="w")


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    return weighted_run(tmp_path_factory.mktemp("weighted"), WEIGHTS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), mixed_table(ROWS), targets=["target"], entity=["user"])


def test_the_profile_weighs_moments_and_counts_rows(weighted, plain):
    table = mixed_table(ROWS).to_pandas().assign(w=WEIGHTS)
    rows = {row["column"]: row for row in weighted.table("profile").to_dicts()}
    assert "w" not in rows
    for name in ("x", "y", "count"):
        kept = table[[name, "w"]].dropna()
        assert rows[name]["mean"] == pytest.approx(np.average(kept[name], weights=kept["w"]), rel=1e-12)
        assert rows[name]["std"] == pytest.approx(np.sqrt(np.cov(kept[name], aweights=kept["w"])), rel=1e-7)
    ours, theirs = (done.table("profile").select("column", *UNWEIGHTED) for done in (weighted, plain))
    assert ours.equals(theirs)


def test_correlations_are_weighted_and_count_rows(weighted, plain):
    kept = mixed_table(ROWS).to_pandas().assign(w=WEIGHTS)[["x", "y", "w"]].dropna()
    covariance = np.cov(kept["x"], kept["y"] - 1e8, aweights=kept["w"])
    truth = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    pair = (pl.col("method") == "pearson") & (pl.col("feature_a") == "x") & (pl.col("feature_b") == "y")
    row = weighted.table("correlation").filter(pair).row(0, named=True)
    assert (row["n"], row["value"]) == (len(kept), pytest.approx(truth, abs=1e-10))
    keys = ["method", "feature_a", "feature_b", "n"]
    ours, theirs = (done.table("correlation").select(keys).sort(keys) for done in (weighted, plain))
    assert ours.equals(theirs)
    assert set(weighted.table("interaction")["n"]) == {ROWS}


def test_weights_of_any_layout_give_the_same(weighted, tmp_path):
    other = weighted_run(tmp_path, WEIGHTS, parts=7)
    for name in ("correlation", "interaction"):
        keys = [{"correlation": "method", "interaction": "target"}[name], "feature_a", "feature_b"]
        ours, theirs = (done.table(name).sort(keys) for done in (weighted, other))
        for column in ours.columns:
            if ours[column].dtype == pl.Float64:
                np.testing.assert_allclose(ours[column], theirs[column], rtol=0, atol=1e-9, err_msg=column)


def test_equal_weights_give_the_tables_of_none(plain, tmp_path):
    ones = weighted_run(tmp_path, np.ones(ROWS))
    for name in ("profile", "correlation", "ranking", "interaction"):
        ours, theirs = ones.arrow(name), plain.arrow(name)
        for field in theirs.schema:
            a, b = ours.column(field.name), theirs.column(field.name)
            if pa.types.is_floating(field.type):
                assert a.is_null().equals(b.is_null()), field.name
                scale = np.abs(b.drop_null().to_numpy()).max() if b.null_count < len(b) else 1.0
                values = (x.drop_null().to_numpy() for x in (a, b))
                np.testing.assert_allclose(*values, rtol=1e-12, atol=1e-12 * scale, err_msg=field.name)
            else:
                assert a.equals(b), field.name


def test_without_numbers_weights_count_all_the_same(tmp_path):
    numeric = ["x", "y", "small", "count", "big_id", "when", "nested", "target"]
    table = mixed_table(ROWS).drop_columns(numeric).append_column("w", pa.array(WEIGHTS))
    done = run(tmp_path, table, 2, targets=["flag"], weight="w")
    assert len(done.store.names("states/moments")) == 1
    assert set(done.table("profile")["column"]) == {"city", "flag", "user"}
    assert set(done.table("interaction")["n"]) == {ROWS}


def test_without_targets_pairs_are_weighted(tmp_path):
    random = np.random.default_rng(9)
    a, b = random.integers(0, 3, (2, ROWS))
    whole = random.integers(0, 4, ROWS)
    table = pa.table({"a": a.astype(str), "b": b.astype(str)})
    repeated = table.take(pa.array(np.repeat(np.arange(ROWS), whole)))
    ours = run(tmp_path / "ours", table.append_column("w", pa.array(whole)), weight="w")
    theirs = run(tmp_path / "theirs", repeated)
    ours, theirs = (
        done.table("correlation").filter(pl.col("method") == "mutual_information").row(0, named=True)
        for done in (ours, theirs)
    )
    assert (ours["n"], theirs["n"]) == (ROWS, repeated.num_rows)
    assert ours["value"] == pytest.approx(theirs["value"], abs=1e-12)
    assert ours["expected"] > theirs["expected"]  # fewer rows of equal weight than repeated ones


def test_a_finished_run_leaves_nothing_to_read(weighted):
    config = weighted.manifest["config"]
    assert config["dataset"]["weight"] == "w"
    planned = plan(parse(config))
    assert (planned.profile_shards, planned.relation_shards) == (0, 0)
