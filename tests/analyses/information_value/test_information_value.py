"""Information value against scikit-learn and numpy, on flights and on planted truths."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import featflow
from featflow.analyses.information_value.scores import best_split, evidence, figures

FEW_VALUES = ("Month", "DayOfWeek", "DayofMonth")
"""Numbers of so few values that each has a fine bin of its own."""


def run(table, tmp_path, **dataset):
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=max(1, len(table) // 16))
    config = {
        "dataset": {"source": str(tmp_path / "data.parquet"), **dataset},
        "output": str(tmp_path / "out"),
        "engine": {"kind": "serial"},
    }
    return featflow.run(config | {"analyses": {"information_value": True, "correlation": False, "interaction": False}})


def values_of(bins):
    """Information value of others and events by bin, none of them empty."""
    shares = bins / bins.sum(axis=0)
    return float(((shares[:, 1] - shares[:, 0]) * np.log(shares[:, 1] / shares[:, 0])).sum())


@pytest.fixture(scope="module")
def flights(shared_data, tmp_path_factory):
    table = pq.read_table(shared_data / "hflights.parquet", columns=[*FEW_VALUES, "UniqueCarrier", "Cancelled"])
    kinds = {"Cancelled": "category", **dict.fromkeys(FEW_VALUES, "number")}
    done = run(table, tmp_path_factory.mktemp("flights"), targets=["Cancelled"], kinds=kinds)
    return pl.from_arrow(table), {row["feature"]: row for row in done.table("information_value").to_dicts()}


def test_figures_lie_in_their_intervals(flights):
    for row in flights[1].values():
        for name in ("iv", "ks", "auc"):
            assert 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


@pytest.mark.parametrize("name", FEW_VALUES)
def test_numbers_of_flights(flights, name):
    table, rows = flights
    y, x, row = table["Cancelled"].to_numpy(), table[name].to_numpy(), rows[name]
    assert row["event"] == "1"
    assert row["auc"] == pytest.approx(roc_auc_score(y, x), abs=1e-12)
    steps = np.unique(x)
    gaps = [abs((x[y == 1] <= step).mean() - (x[y == 0] <= step).mean()) for step in steps]
    assert row["ks"] == pytest.approx(max(gaps), abs=1e-12)
    if len(steps) <= 16:
        bins = np.array([[((x == step) & (y == side)).sum() for side in (0, 1)] for step in steps], float)
        assert row["iv"] == pytest.approx(values_of(bins), abs=1e-12)
        assert sum(each["contribution"] for each in row["bins"]) == pytest.approx(row["iv"], abs=1e-12)
        assert row["expected_iv"] == pytest.approx((len(steps) - 1) * (1 / bins.sum(axis=0)).sum(), abs=1e-15)
    above = x >= row["split_value"]
    assert (y[above].mean(), y[~above].mean()) == pytest.approx((row["event_rate_high"], row["event_rate_low"]))
    assert row["split_gain"] == pytest.approx(max(information(x >= step, y) for step in steps[1:]), abs=1e-12)


def information(a, b):
    joint = np.histogram2d(a, b, bins=2)[0] / len(a)
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / product[held])).sum())


def test_a_category_of_flights(flights):
    table, rows = flights
    rates = table.group_by("UniqueCarrier").agg(pl.col("Cancelled").mean().alias("rate"), pl.len())
    scored = table.join(rates, on="UniqueCarrier")
    row = rows["UniqueCarrier"]
    assert row["auc"] == pytest.approx(roc_auc_score(scored["Cancelled"], scored["rate"]), abs=1e-12)
    of_bin = {each["bin"]: each["event_rate"] for each in row["bins"]}
    assert of_bin == pytest.approx(dict(zip(rates["UniqueCarrier"], rates["rate"], strict=True)))
    low = set(of_bin) - set(row["split_levels"])
    assert min(of_bin[name] for name in row["split_levels"]) > max(of_bin[name] for name in low)


def test_a_planted_normal_shift_is_found_within_its_interval(tmp_path):
    """Two normal classes d apart: Jeffreys' divergence d^2, AUC Phi(d / sqrt 2), KS 2 Phi(d / 2) - 1."""
    random, n, shift = np.random.default_rng(5), 40_000, 1.0
    y = random.integers(0, 2, n)
    table = pa.table(
        {
            "y": y.astype(str),
            "x": random.normal(size=n) + shift * y,
            **{f"noise_{i}": random.normal(size=n) for i in range(40)},
        }
    )
    rows = {row["feature"]: row for row in run(table, tmp_path, targets=["y"]).table("information_value").to_dicts()}
    assert 0.9 * shift**2 < rows["x"]["iv"] < shift**2  # bins lose some
    assert rows["x"]["auc_low"] < 0.7602 + 0.001
    assert rows["x"]["auc_high"] > 0.7602 - 0.001
    assert rows["x"]["ks"] == pytest.approx(0.3829, abs=0.02)
    noise = [row for name, row in rows.items() if name.startswith("noise")]
    mean, expected = np.mean([row["iv"] for row in noise]), noise[0]["expected_iv"]
    assert mean == pytest.approx(expected, rel=4 * np.sqrt(2 / 15 / 40))  # a chi-square of 15 degrees, 40 times
    assert sum(row["auc_low"] < 0.5 < row["auc_high"] for row in noise) >= 34


def test_missing_values_weights_and_strata_add_up(tmp_path):
    random, n = np.random.default_rng(6), 3_000
    y, x, s = random.integers(0, 2, n), random.integers(0, 9, n).astype(float), random.integers(0, 3, n)
    gone, w = random.random(n) < 0.2, random.integers(1, 4, n).astype(float)
    table = pa.table({"y": y.astype(str), "x": pa.array(x, mask=gone), "s": s.astype(str), "w": w})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=200)
    done = featflow.run(
        {
            "dataset": {"source": str(tmp_path / "data.parquet"), "targets": ["y"], "weight": "w"},
            "output": str(tmp_path / "out"),
            "engine": {"kind": "serial"},
            "analyses": {"information_value": True, "ranking": {"strata": ["s"]}},
        }
    )
    row = done.table("information_value").filter(feature="x").to_dicts()[0]
    code = np.where(gone, -1, x)
    bins = np.array([[w[(code == each) & (y == side)].sum() for side in (0, 1)] for each in np.unique(code)])
    assert row["iv"] == pytest.approx(values_of(bins), abs=1e-12)
    assert row["auc"] == pytest.approx(roc_auc_score(y[~gone], x[~gone], sample_weight=w[~gone]), abs=1e-12)
    assert row["bins"][0]["bin"] == "missing"
    assert row["n"] == n


def test_targets_of_other_than_two_classes_have_no_rows(tmp_path):
    random = np.random.default_rng(7)
    table = pa.table({"three": random.integers(0, 3, 900).astype(str), "x": random.normal(size=900)})
    done = run(table, tmp_path, targets=["three"])
    assert done.manifest["tables"]["information_value"]["rows"] == 0


def test_bins_of_one_class_are_finite_and_counts_order_splits():
    woe, contribution = evidence(np.array([[5.0, 0.0], [5.0, 10.0], [0.0, 0.0]]))
    shares = np.array([[5.5, 0.5], [5.0, 10.0]]) / [10.5, 10.5]
    assert woe[:2] == pytest.approx(np.log(shares[:, 1] / shares[:, 0]))
    assert (woe[2], contribution[2]) == (0.0, 0.0)
    assert best_split(np.array([[3.0, 1.0]])) is None
    only_missing = figures(np.array([[0.0, 4.0], [6.0, 0.0]]), np.array([[6.0, 0.0]]))
    assert only_missing[0] > 0
    assert np.isnan(only_missing[1:]).all(), "no event has a value that could be compared"
