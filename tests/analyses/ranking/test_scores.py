"""The ranking's null, error bars, strata, clusters, weights and hash loss, against planted truths."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from featflow.analyses.ranking.evidence import Units
from featflow.analyses.ranking.ranks import ranked
from featflow.analyses.ranking.scores import RankingMeasure, ranking
from featflow.columns.binning import category_coding, hashed_coding
from featflow.columns.column import Column, Kind, Role
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.measures.effective_rows import whole_rows
from featflow.measures.information import corrected_mutual_information, mutual_information
from featflow.measures.options import UncertaintyOptions
from featflow.measures.permutation_null import ClassNull, null_test
from featflow.summaries import TargetCountsSummarizer

N = 4_000
RANDOM = np.random.default_rng(5)
NO_HEAVY = np.empty(0, np.uint64), np.empty(0, np.int64)
ENTITY = Column("entity", "string", Kind.CATEGORY)


def batch_of(values):
    return pa.record_batch(
        {
            name: array
            if isinstance(array, np.ndarray) and array.dtype.kind == "f"
            else pa.array([None if v is None or v == "None" else str(v) for v in array]).dictionary_encode()
            for name, array in values.items()
        }
    )


def coding(name, values, role=Role.FEATURE):
    levels, counts = np.unique([str(v) for v in values if v is not None], return_counts=True)
    column = Column(name, "string", Kind.CATEGORY, role=role)
    return category_coding(column, levels.tolist(), counts.tolist(), 16)


def counted(values, target="y", features=None, **spec):
    codings = {name: coding(name, array) for name, array in values.items() if np.asarray(array).dtype.kind != "f"}
    names = features or [name for name in codings if name not in {target, "entity"}]
    made = TargetCountsSummarizer(tuple(codings[name] for name in names), (codings[target],), **spec)
    return made, made.summarize(batch_of(values))


def scored(*of, measure=None, **counts):
    return measured(counted(*of, **counts), measure)


def measured(counts, measure=None):
    table, warnings = ranking(*counts, measure or RankingMeasure())
    rows = ranked(table, UncertaintyOptions())
    return {row["feature"]: row for row in pl.from_arrow(rows).to_dicts()}, warnings


def noisy(y, share, random=RANDOM):
    return np.where(random.random(len(y)) < share, y, random.integers(0, 2, len(y)))


def test_scores_are_those_of_each_table_alone():
    y = RANDOM.integers(0, 3, N)
    values = {"y": y, "a": noisy(y % 2, 0.2), "b": RANDOM.integers(0, 300, N), "c": RANDOM.integers(0, 2, N)}
    rows, _ = scored(values)
    for name in "abc":
        table = np.bincount(np.asarray(values[name]) * 3 + y).reshape(-1, 3)
        mi, expected = corrected_mutual_information(table)
        test = null_test(mi, [table.sum(axis=1)], [ClassNull(table.sum(axis=0))])
        assert rows[name]["mi"] == pytest.approx(mi, abs=1e-14)
        assert rows[name]["expected_mi"] == pytest.approx(expected, abs=1e-12)
        assert rows[name]["p_value"] == pytest.approx(test.p_value)
        assert rows[name]["z"] == pytest.approx((mi - expected) / test.std)
    assert rows["a"]["significant"]
    assert not rows["b"]["significant"]
    assert rows["a"]["noise_rank"] == rows["b"]["noise_rank"] == 2


def test_jackknife_is_a_leave_one_group_out_by_hand():
    y, group = RANDOM.integers(0, 2, N), RANDOM.integers(0, 12, N)
    x = noisy(y, 0.3)
    rows, _ = scored({"y": y, "x": x, "entity": group}, jackknife=JackknifeGroups("value", (ENTITY,), 2**16))
    thetas, sizes = [], []
    for g in range(12):
        kept = group != g
        mi, expected = corrected_mutual_information(np.bincount(x[kept] * 2 + y[kept], minlength=4).reshape(2, 2))
        thetas.append(mi - expected)
        sizes.append((~kept).sum())
    mi, expected = corrected_mutual_information(np.bincount(x * 2 + y, minlength=4).reshape(2, 2))
    h = N / np.array(sizes)
    pseudo = h * (mi - expected) - (h - 1) * thetas
    mean = 12 * (mi - expected) - ((1 - 1 / h) * thetas).sum()
    error = np.sqrt(((pseudo - mean) ** 2 / (h - 1)).mean())
    assert rows["x"]["standard_error"] == pytest.approx(error, rel=1e-9)
    assert rows["x"]["ci_low"] < rows["x"]["corrected_mi"] < rows["x"]["ci_high"]


def test_rank_intervals_hold_what_the_error_bars_leave_open():
    y = RANDOM.integers(0, 2, N)
    values = {"y": y, "entity": np.arange(N) % 64, "strong": noisy(y, 0.8)}
    values |= {f"alike_{i}": noisy(y, 0.3) for i in range(4)} | {
        f"noise_{i}": RANDOM.integers(0, 9, N) for i in range(3)
    }
    rows, _ = scored(values, jackknife=JackknifeGroups("value", (ENTITY,), 32))
    assert (rows["strong"]["rank_low"], rows["strong"]["rank_high"]) == (1, 1)
    for i in range(4):
        assert rows[f"alike_{i}"]["rank_low"] == 2
        assert rows[f"alike_{i}"]["rank_high"] == 5
    for row in rows.values():
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]


def test_a_stratum_explains_a_feature_away():
    campaign = RANDOM.integers(0, 6, N)
    y = (RANDOM.random(N) < np.array([0.1, 0.2, 0.4, 0.5, 0.7, 0.9])[campaign]).astype(int)
    copy = np.where(RANDOM.random(N) < 0.7, campaign, RANDOM.integers(0, 6, N))
    within = noisy(y, 0.3)
    values = {"y": y, "copy": copy, "within": within, "campaign": campaign}
    plain, _ = scored(values)
    rows, _ = scored(values, strata=(coding("campaign", campaign),))
    assert plain["copy"]["p_value"] < 1e-20
    assert rows["copy"]["p_value"] > 0.01
    assert abs(rows["copy"]["corrected_mi"]) < 3 * rows["copy"]["null_std"]
    assert rows["copy"]["marginal_mi"] == pytest.approx(plain["copy"]["corrected_mi"])
    assert rows["within"]["significant"]
    assert rows["campaign"]["p_value"] == 1.0  # constant within itself
    inside = [
        mutual_information(np.bincount(within[campaign == c] * 2 + y[campaign == c]).reshape(2, 2)) for c in range(6)
    ]
    share = np.bincount(campaign) / N
    assert rows["within"]["mi"] == pytest.approx(share @ inside, abs=1e-14)
    assert rows["within"]["missing_mi"] + rows["within"]["value_mi"] == pytest.approx(rows["within"]["corrected_mi"])


def test_strata_that_say_nothing_are_told():
    y = RANDOM.integers(0, 2, N)
    stratum = np.where(y == 1, np.arange(N) % 5, 0)  # strata 1 to 4 hold one class
    values = {"y": y, "x": noisy(y, 0.5), "s": stratum}
    rows, warnings = scored(values, strata=(coding("s", stratum),))
    assert any("strata hold one class only" in warning for warning in warnings)
    assert rows["x"]["p_value"] < 1e-3
    single = np.arange(N)
    rows, warnings = scored(values | {"s": single}, strata=(coding("s", single),), features=["x"])
    assert rows["x"]["p_value"] == 1.0
    assert f"{N} of {N} strata" in warnings[0]


def test_more_classes_than_rows_allow_are_told():
    y = np.arange(60) // 2
    rows, warnings = scored({"y": y, "x": np.arange(60) % 7})
    assert warnings == []
    _, warnings = scored({"y": np.arange(60) % 40, "x": np.arange(60) % 7})
    assert "40 classes in 60 rows" in warnings[0]
    assert rows["x"]["p_value"] > 0


def test_too_few_groups_are_told_and_give_no_interval():
    y = RANDOM.integers(0, 2, N)
    values = {"y": y, "x": noisy(y, 0.3), "entity": np.arange(N) % 3}
    rows, warnings = scored(values, jackknife=JackknifeGroups("value", (ENTITY,), 32))
    assert "fall into 3 group(s)" in warnings[0]
    for name in ("standard_error", "ci_low", "ci_high", "rank_low", "rank_high"):
        assert rows["x"][name] is None
    assert rows["x"]["p_value"] < 1e-3


USER = Units("user", ordered=False)


def by_user(users, rows, random, levels):
    """Users of many rows, X and Y both the user's, independent of one another: noise that looks like signal."""
    user = np.repeat(np.arange(users), rows)
    x = random.integers(0, levels, users)[user]
    y = (random.random(len(user)) < random.beta(2, 2, users)[user]).astype(int)
    groups = JackknifeGroups("value", (ENTITY,), 32, most_units=1_024)
    return counted({"y": y, "x": x, "entity": user}, jackknife=groups)


@pytest.mark.parametrize("levels", [2, 6])
@pytest.mark.parametrize(("users", "rows_each", "method"), [(200, 50, "units"), (2_000, 20, "groups")])
def test_users_are_what_evidence_counts(levels, users, rows_each, method):
    random = np.random.default_rng(levels)
    by_rows, found = [], []
    for _ in range(60):
        counts = by_user(users, rows_each, random, levels)
        by_rows.append(measured(counts)[0]["x"]["p_value"])
        found.append(measured(counts, RankingMeasure(units=USER))[0]["x"])
    assert np.mean(np.array(by_rows) < 0.05) > 0.3
    assert 0.0 < np.mean([row["p_value"] < 0.05 for row in found]) <= 0.12
    truth = 1 + (rows_each - 1) * 0.2  # beta(2, 2) has an intraclass correlation of 0.2
    assert np.median([row["design_effect"] for row in found]) == pytest.approx(truth, rel=0.2)
    assert abs(np.mean([row["z"] for row in found])) < 0.5  # noise is centred on 0
    assert {row["null_method"] for row in found} == {method}
    for row in found if method == "units" else []:
        assert (row["effective_n"], row["within_mi"], row["within_p_value"]) == (200, pytest.approx(0, abs=1e-12), None)
        assert row["between_mi"] == pytest.approx(row["corrected_mi"], abs=1e-12)
        assert row["alerts"] == ["constant_within:user"]
        assert row["ci_low"] <= row["corrected_mi"] <= row["ci_high"]


def test_units_that_share_nothing_cost_nothing():
    """Independent rows in users of 20: the p-values are those of rows, in signal and in noise."""
    random = np.random.default_rng(0)
    y, user = random.integers(0, 2, N), np.arange(N) // 20
    values = {"y": y, "entity": user, "a": noisy(y, 0.05, random), "b": random.integers(0, 5, N)}
    plain, _ = scored(values)
    units, _ = scored(
        values, measure=RankingMeasure(units=USER), jackknife=JackknifeGroups("value", (ENTITY,), 32, most_units=1_024)
    )
    for name in "ab":
        assert units[name]["p_value"] == pytest.approx(plain[name]["p_value"], rel=0.5)
        assert units[name]["design_effect"] == pytest.approx(1, abs=0.05)
        assert units[name]["within_mi"] + units[name]["between_mi"] == pytest.approx(units[name]["corrected_mi"])
        assert not units[name]["alerts"]


def test_levels_too_many_for_margins_are_joined():
    random = np.random.default_rng(0)
    user = np.arange(40_000) // 200
    y = (random.random(len(user)) < random.beta(2, 2, 200)[user]).astype(int)
    values = {
        "y": y,
        "entity": user,
        "wide": random.integers(0, 3_000, 200)[user],
        "row": random.integers(0, 3_000, 40_000),
    }
    groups = JackknifeGroups("value", (ENTITY,), 32, most_units=2**16)
    spec, state = counted(values, jackknife=groups)
    assert {levels.shape[1] for levels, _ in spec.unit_margins(state, 0)} == {17}
    rows, _ = measured((spec, state), RankingMeasure(units=USER))
    assert min(rows[name]["p_value"] for name in ("wide", "row")) > 0.01
    assert measured((spec, state))[0]["wide"]["p_value"] < 1e-9


def test_weights_count_as_effective_rows():
    y = RANDOM.integers(0, 2, N)
    weight = RANDOM.gamma(0.5, 2.0, N)
    share = weight.sum() ** 2 / (N * (weight**2).sum())
    values = {"y": y, "x": noisy(y, 0.3), "z": RANDOM.integers(0, 40, N), "w": weight}
    column = Column("w", "float64", Kind.NUMBER)
    rows, _ = scored(values, weight=column, measure=RankingMeasure(effective_share=share))
    table = np.zeros((2, 2))
    np.add.at(table, (values["x"], y), weight)
    assert rows["x"]["mi"] == pytest.approx(mutual_information(table), abs=1e-12)
    assert rows["x"]["effective_n"] == pytest.approx(N * share)
    assert rows["x"]["n"] == N
    assert rows["z"]["expected_mi"] == pytest.approx(39 / (2 * N * share), rel=0.15)
    ones, _ = scored(values | {"w": np.full(N, 10.0)}, weight=column)
    none, _ = scored({name: values[name] for name in "yxz"})
    for name in ("mi", "expected_mi", "p_value", "null_std", "corrected_mi"):
        assert ones["z"][name] == pytest.approx(none["z"][name], rel=1e-9)


def test_weighted_noise_is_calibrated():
    random = np.random.default_rng(1)
    column, found = Column("w", "float64", Kind.NUMBER), []
    for _ in range(200):
        weight = random.gamma(1.0, 1.0, 2_000)
        values = {"y": random.integers(0, 2, 2_000), "x": random.integers(0, 25, 2_000), "w": weight}
        share = weight.sum() ** 2 / (2_000 * (weight**2).sum())
        rows, _ = scored(values, weight=column, measure=RankingMeasure(effective_share=share))
        found.append(rows["x"]["p_value"])
    assert 0.005 <= np.mean(np.array(found) <= 0.05) <= 0.1


def test_rows_of_weights_keep_their_total():
    parts = RANDOM.random(1_000)
    rows = whole_rows(parts, 3.0, 1_500)
    assert rows.sum() == 1_500
    assert np.abs(rows - 3 * parts).max() <= 1.0
    counts = np.array([3, 0, 9])
    assert whole_rows(counts, 1.0) is counts


@pytest.mark.parametrize(("buckets", "within"), [(4_096, 0.3), (16_384, 0.2), (65_536, 0.05)])
def test_hash_loss_says_what_hashing_costs(buckets, within):
    """20,000 levels with effects of their own in 4,096 buckets: four fifths of the information is gone."""
    random = np.random.default_rng(2)
    n, levels = 400_000, 20_000
    level = random.integers(0, levels, n)
    y = (random.random(n) < 1 / (1 + np.exp(-random.normal(0, 1.5, levels)[level]))).astype(int)
    truth = np.subtract(*corrected_mutual_information(np.bincount(level * 2 + y, minlength=2 * levels).reshape(-1, 2)))
    bucket = random.integers(0, buckets, levels)[level]
    column = hashed_coding(Column("x", "string", Kind.CATEGORY), np.bincount(bucket, minlength=buckets), NO_HEAVY, 16)
    spec = TargetCountsSummarizer((column,), (coding("y", y),))
    counts = np.zeros((1, column.cardinality, 1, 4), np.int64)
    counts[0, 1:, 0, 1:3] = np.bincount(bucket * 2 + y, minlength=2 * buckets).reshape(-1, 2)
    state = type(spec.empty())(n, np.array([n]), counts.ravel())
    row = pl.from_arrow(ranking(spec, state, RankingMeasure())[0]).to_dicts()[0]
    assert row["corrected_mi"] < truth
    assert row["corrected_mi"] + row["hash_loss"] == pytest.approx(truth, rel=within)


def test_users_of_one_row_each_are_rows():
    random = np.random.default_rng(0)
    y, user = random.integers(0, 2, N), np.arange(N)
    values = {"y": y, "entity": user, "a": noisy(y, 0.5, random)}
    groups = JackknifeGroups("value", (ENTITY,), 32, most_units=1_024)
    counts = counted(values, jackknife=groups)
    assert counts[1].unit_count == pytest.approx(N, rel=0.06)
    found, plain = measured(counts, RankingMeasure(units=USER))[0]["a"], measured(counts)[0]["a"]
    assert found["p_value"] == plain["p_value"] < 1e-20
    twice = counted(values | {"entity": user // 2}, jackknife=groups)
    assert measured(twice, RankingMeasure(units=USER))[0]["a"]["null_method"] == "groups"
