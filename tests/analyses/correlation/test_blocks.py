"""What the correlation table keeps: the same rows as of all pairs, with the same q-values, however it is cut."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from datasets import write_parts

import featflow
from featflow.analyses.correlation.strongest import strengths

KEYS = ("method", "feature_a", "feature_b")
COLUMNS = 14


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(4)
    shared = random.normal(size=4_000)
    numbers = {f"x{i:02d}": random.normal(size=4_000) + i / 6 * shared for i in range(COLUMNS - 5)}
    numbers["x03"] = np.where(random.random(4_000) < 0.1, np.nan, numbers["x03"])
    words = {f"w{i}": (shared + i * random.normal(size=4_000) > 0).astype(int).astype(str) for i in range(5)}
    return pa.table(numbers | words)


@pytest.fixture(scope="module")
def every(table, tmp_path_factory):
    return run(table, tmp_path_factory.mktemp("all"), keep="all", dense=True)


def run(table, folder, kind="serial", **correlation):
    config = {
        "dataset": {"source": write_parts(table, folder / "data", 2)},
        "output": str(folder / "out"),
        "engine": {"kind": kind},
        "analyses": {"correlation": {"error_bars": 7} | correlation},
    }
    return featflow.run(config)


def same_rows(ours, theirs):
    ours, theirs = ours.sort(*KEYS), theirs.sort(*KEYS)
    assert ours.equals(theirs, null_equal=True)


@pytest.mark.parametrize("kind", ["serial", "ray"])
@pytest.mark.parametrize("blocks", ["one block", "small blocks"])
def test_the_strongest_of_every_column(kind, blocks, table, every, tmp_path, monkeypatch, request):
    if kind == "ray":
        request.getfixturevalue("local_ray")
    if blocks == "small blocks":
        monkeypatch.setattr("featflow.execution.column_blocks.MOST_OF_A_SIDE", 3)
    done = run(table, tmp_path, kind, keep={"top": 2}).table("correlation")
    whole = every.table("correlation").with_columns(pl.Series("strength", strengths(every.arrow("correlation"))))
    for (method,), rows in whole.partition_by("method", as_dict=True).items():
        names = set(rows["feature_a"]) | set(rows["feature_b"])
        least = {}
        for name in names:
            mine = rows.filter((pl.col("feature_a") == name) | (pl.col("feature_b") == name))
            least[name] = sorted(mine["strength"].fill_nan(-math.inf), reverse=True)[: min(2, len(mine))][-1]
        of = zip(rows["strength"], rows["feature_a"], rows["feature_b"], strict=True)
        wanted = {(a, b) for strength, a, b in of if strength >= min(least[a], least[b])}
        found = done.filter(pl.col("method") == method)
        assert set(zip(found["feature_a"], found["feature_b"], strict=True)) == wanted, method
    kept = every.table("correlation").join(done.select(KEYS), on=KEYS, how="semi").sort(*KEYS)
    close = ("value", "estimate", "p_value", "q_value", "standard_error", "ci_low", "ci_high", "error_bound")
    assert kept.drop(close).equals(done.sort(*KEYS).drop(close))
    for name in close:
        np.testing.assert_allclose(kept[name].fill_null(9.0), done.sort(*KEYS)[name].fill_null(9.0), rtol=1e-7)


def test_pairs_above_a_threshold(table, every, tmp_path):
    done = run(table, tmp_path, keep={"above": 0.2}).table("correlation")
    strength = pl.col("value").abs() - pl.col("expected").fill_null(0)
    same_rows(done, every.table("correlation").filter(strength >= 0.2))
    assert 0 < len(done) < len(every.table("correlation"))


def test_nothing_is_strong_enough(table, tmp_path):
    done = run(table, tmp_path, keep={"above": 100})
    assert len(done.table("correlation")) == 0
    assert done.manifest["tables"]["correlation"]["rows"] == 0


def test_matrices_hold_the_values_of_all_pairs(every, table, tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.execution.column_blocks.MOST_OF_A_SIDE", 4)
    cut = run(table, tmp_path, keep={"top": 1}, dense=True)
    for done in (every, cut):
        for (method,), rows in every.table("correlation").partition_by("method", as_dict=True).items():
            names, matrix = done.matrix(method)
            assert set(names) == set(rows["feature_a"]) | set(rows["feature_b"])
            np.testing.assert_array_equal(matrix, matrix.T)
            at = [[names.index(name) for name in rows[side]] for side in ("feature_a", "feature_b")]
            np.testing.assert_allclose(matrix[tuple(at)], rows["value"].fill_null(math.nan), rtol=1e-9)
            assert np.isfinite(matrix).sum() == 2 * rows["value"].drop_nulls().len()
    with pytest.raises(featflow.FeatflowError, match=r"no matrix 'kendall'; set analyses\.correlation\.dense"):
        every.matrix("kendall")


def test_a_table_of_parts(every, table, tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.analyses.correlation.analysis.PART_ROWS", 20)
    monkeypatch.setattr("featflow.execution.column_blocks.MOST_OF_A_SIDE", 4)
    done = run(table, tmp_path, keep="all")
    assert done.manifest["tables"]["correlation"]["parts"] > 2
    assert len(done.table("correlation")) == len(every.table("correlation"))
    assert done.store.names(f"runs/{done.run_id}/pending/correlation") == []


def test_error_bars_of_pass_2_are_those_of_a_further_look(table, tmp_path, monkeypatch):
    """Moments of all pairs by group, and of the kept ones alone, where there are too many numbers for that."""
    ours = run(table, tmp_path / "of pass 2").table("correlation")
    monkeypatch.setattr("featflow.analyses.requests.NUMBERS_BY_GROUP", 3)
    theirs = run(table, tmp_path / "looked up").table("correlation")
    names = ["value", "standard_error", "ci_low", "ci_high"]
    ours, theirs = (found.sort(*KEYS).filter(pl.col("error_method") == "jackknife") for found in (ours, theirs))
    assert set(ours["method"]) >= {"pearson", "spearman"}
    assert ours.select(KEYS).equals(theirs.select(KEYS))
    np.testing.assert_allclose(ours.select(names).to_numpy(), theirs.select(names).to_numpy(), rtol=1e-9, atol=1e-12)
