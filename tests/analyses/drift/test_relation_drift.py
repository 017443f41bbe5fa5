"""Changes of scores, ranks and correlations, against what is planted in their tables."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from featflow.analyses.correlation.drift import correlation_drift
from featflow.analyses.ranking.drift import ranking_drift

COLUMNS = 2, 0
"""Numbers and categories of a run of one pair."""


def ranking(scores, errors):
    order = np.argsort(-np.array(scores))
    rank = np.empty(len(scores), int)
    rank[order] = np.arange(1, len(scores) + 1)
    names = [f"f{index}" for index in range(len(scores))]
    return pl.DataFrame(
        {"target": "y", "feature": names, "rank": rank, "corrected_mi": scores, "standard_error": errors}
    )


def pearson(values, n, method="pearson", names=None):
    values = np.array(values, float)
    names = names or [(f"a{index}", f"b{index}") for index in range(len(values))]
    return pl.DataFrame(
        {
            "method": method,
            "feature_a": [a for a, _ in names],
            "feature_b": [b for _, b in names],
            "value": values,
            "expected": pl.Series([None] * len(values), dtype=pl.Float64),
            "standard_error": (1 - values**2) / np.sqrt(n - 3),
            "error_method": "fisher_z",
        }
    )


def test_a_change_of_scores_is_divided_by_both_errors():
    before, now = ranking([0.5, 0.2, 0.1], [0.03, 0.01, 0.01]), ranking([0.1, 0.2, 0.3], [0.04, 0.01, 0.02])
    rows = {(row["feature"], row["metric"]): row for row in ranking_drift(before, now, (31, 31))}
    assert rows["f0", "information"]["value"] == pytest.approx(-0.4)
    assert rows["f0", "information"]["z"] == pytest.approx(-0.4 / 0.05)
    # Welch's test is what scipy makes of two means with these errors.
    welch = stats.ttest_ind_from_stats(0.1, 0.04 * 32**0.5, 32, 0.5, 0.03 * 32**0.5, 32, equal_var=False)
    assert rows["f0", "information"]["p_value"] == pytest.approx(welch.pvalue)
    assert (rows["f0", "rank"]["reference_value"], rows["f0", "rank"]["current_value"]) == (1, 3)
    assert rows["f0", "rank"]["p_value"] == rows["f0", "information"]["p_value"]
    assert rows["f1", "information"]["value"] == 0
    assert rows["f1", "information"]["p_value"] == 1


def test_only_features_of_both_rankings_are_compared_and_no_error_is_no_test():
    rows = ranking_drift(ranking([0.5], [None]), ranking([0.4, 0.2], [0.1, 0.1]), (31, 31))
    assert {row["feature"] for row in rows} == {"f0"}
    assert np.isnan([row["p_value"] for row in rows]).all()


def test_correlations_are_compared_on_fishers_scale():
    before, now = pearson([0.8, 0.1, -0.3], 1_000), pearson([0.5, 0.1, -0.3], 2_000)
    rms, largest = correlation_drift(before, now, (31, 31), COLUMNS)
    assert rms["value"] == pytest.approx(0.3 / 3**0.5)
    assert (largest["feature"], largest["feature_b"]) == ("a0", "b0")
    assert largest["value"] == pytest.approx(-0.3)
    z = (np.arctanh(0.5) - np.arctanh(0.8)) / np.sqrt(1 / 997 + 1 / 1997)
    assert largest["z"] == pytest.approx(z)
    assert largest["p_value"] == pytest.approx(3 * 2 * stats.norm.sf(-z), rel=1e-3)


def test_pairs_are_known_whichever_column_comes_first():
    before, now = pearson([0.2], 100, names=[("x", "y")]), pearson([0.5], 100, names=[("y", "x")])
    assert [row["value"] for row in correlation_drift(before, now, (31, 31), COLUMNS)] == pytest.approx([0.3, 0.3])


def test_a_correlation_of_one_is_compared_and_not_tested():
    rms, largest = correlation_drift(pearson([1.0], 100), pearson([1.0], 100), (31, 31), COLUMNS)
    assert (rms["value"], largest["value"]) == (0, 0)
    assert np.isnan([rms["p_value"], largest["p_value"]]).all()


def test_chance_is_taken_from_mutual_information():
    before, now = (pearson([value], 100, "mutual_information") for value in (0.5, 0.3))
    before = before.with_columns(expected=pl.lit(0.25))
    now = now.with_columns(expected=pl.lit(0.05))
    assert [row["value"] for row in correlation_drift(before, now, (31, 31), COLUMNS)] == pytest.approx(
        [0, 0], abs=1e-12
    )


def test_chance_alone_changes_no_matrix():
    """The p-value of the whole matrix is below 0.05 in about 5 % of pairs of runs."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(200):
        values = np.tanh(random.normal(0, 1 / np.sqrt(497), (2, 50)))
        rms, _ = correlation_drift(pearson(values[0], 500), pearson(values[1], 500), (31, 31), COLUMNS)
        found.append(rms["p_value"])
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.1


def test_strong_pairs_are_not_picked_out_of_noise():
    """Tables hold the strongest of 20,100 pairs of noise: those that both hold have changed, and it means nothing."""
    random = np.random.default_rng(7)
    names = [(f"a{a}", f"b{b}") for a in range(201) for b in range(a)]
    found = []
    for _ in range(20):
        values = np.tanh(random.normal(0, 1 / np.sqrt(997), (2, len(names))))
        kept = [pearson(each, 1_000, names=names).filter(pl.col("value").abs() > 0.06) for each in values]
        rms, largest = correlation_drift(*kept, (31, 31), (201, 0))
        assert rms["value"] > 0.05
        assert rms["p_value"] <= largest["p_value"]
        found.append(rms["p_value"])
    assert np.sum(np.array(found) <= 0.05) <= 4  # of 20, with 1 expected
