"""The ranking is by what noise does not reach: no feature that is not significant stands above one that is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import featflow
from featflow.analyses.ranking.ranks import ranked
from featflow.analyses.ranking.tables import RANKING
from featflow.measures.options import UncertaintyOptions

ROWS, TARGETS = 2000, 20


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    """Twenty targets, each of five columns of falling strength; 24 columns of noise of 2 levels to one a row."""
    random = np.random.default_rng(17)
    signals = random.integers(0, 3, (5, ROWS))
    columns = {f"signal_{place}": signals[place].astype(str) for place in range(5)}
    for place, levels in enumerate(np.geomspace(2, ROWS, 24).astype(int)):
        columns[f"noise_{place:02d}"] = np.char.add("v", random.integers(0, levels, ROWS).astype(str))
    logit = (np.array([1.0, 0.6, 0.4, 0.3, 0.2])[:, None] * (signals - 1)).sum(axis=0)
    for place in range(TARGETS):
        columns[f"y_{place:02d}"] = np.where(random.random(ROWS) < 1 / (1 + np.exp(-logit)), "yes", "no")
    folder = tmp_path_factory.mktemp("order")
    pl.DataFrame(columns).write_parquet(folder / "data.parquet", row_group_size=125)
    dataset = {"source": str(folder / "data.parquet"), "targets": [f"y_{place:02d}" for place in range(TARGETS)]}
    off = {"correlation": False, "interaction": False}
    run = featflow.run(
        {"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": "serial"}, "analyses": off}
    )
    return run.table("ranking")


def test_nothing_that_is_not_significant_stands_above_what_is(ranking):
    for _, rows in ranking.group_by("target"):
        flags = rows.sort("rank")["significant"].to_list()
        assert flags == sorted(flags, reverse=True)
        noise = rows["noise_rank"][0]
        assert noise == (sum(flags) + 1 if sum(flags) < len(flags) else None)


def test_by_corrected_information_noise_would_stand_between(ranking):
    """What the order is for: else this dataset would show nothing."""
    by_score = [rows.sort("corrected_mi", descending=True)["significant"] for _, rows in ranking.group_by("target")]
    assert any(flags.to_list() != sorted(flags, reverse=True) for flags in by_score)


def test_assured_information_is_above_zero_where_a_feature_is_significant(ranking):
    assert (ranking["assured_mi"] <= ranking["corrected_mi"] + 1e-12).all()
    gamma = ranking.filter(pl.col("null_method") == "gamma")
    worst = pl.col("p_value") == pl.col("p_value").filter("significant").max().over("target")  # it lies on its quantile
    assert (gamma.filter("significant", ~worst)["assured_mi"] > 0).all()
    assert (gamma.filter(pl.col("q_value") > 0.05)["assured_mi"] < 0).all()


def test_ranks_are_a_permutation_within_those_that_are_possible(ranking):
    for _, rows in ranking.group_by("target"):
        assert sorted(rows["rank"]) == list(range(1, rows.height + 1))
    assert ((ranking["rank_low"] <= ranking["rank"]) & (ranking["rank"] <= ranking["rank_high"])).all()


def _ordered(p_values, scores, expected, deviation):
    """Return ranked features f0, f1, ... of one target, of which only these figures are known."""
    rows = len(p_values)
    columns = {"target": ["y"] * rows, "feature": [f"f{place}" for place in range(rows)], "p_value": p_values}
    columns |= {"corrected_mi": scores, "expected_mi": [expected] * rows, "null_std": [deviation] * rows}
    return pl.from_arrow(ranked(RANKING.build(columns), UncertaintyOptions()))


def test_noise_reaches_no_less_than_its_mean():
    """The null of a column that is one value but for a row or two: its quantile lies below its mean."""
    rows = _ordered([0.01, 0.5], [2e-4, -1e-7], 1e-6, 1e-4)
    assert (rows["assured_mi"] <= rows["corrected_mi"]).all()
    assert rows["significant"].to_list() == (rows["assured_mi"] > 0).to_list() == [True, False]
