"""Nulls and error bars of whole runs, against planted truths and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import measured_again, mixed_table, write_parts
from scipy import stats
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

import featflow

DAY = 86_400_000_000
ROWS = 4_000
ONLY_RANKING = {"correlation": False, "interaction": False}
WINDOWED = {"forward_information", "random_split_information", "window_rank_std"}
BY_UNIT = {"design_effect", "within_mi", "within_p_value", "between_mi", "between_p_value"}
RANKING_ALSO_KNOWS = {"hash_loss", "marginal_mi"} | BY_UNIT | WINDOWED
"""Columns of the ranking that are null without hashing, strata, units and event times."""


def run(folder, table, parts=4, *, analyses=None, kind="serial", **dataset):
    source = write_parts(table, folder / "data", parts) if isinstance(table, pa.Table) else str(table)
    dataset = {"source": source, "shard_bytes": 1} | dataset
    config = {"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": kind}}
    return featflow.run(config | {"analyses": analyses or {}})


def by_feature(done, target=None):
    ranked = done.table("ranking")
    rows = ranked.filter(pl.col("target") == target) if target else ranked
    return {row["feature"]: row for row in rows.to_dicts()}


def labels(values):
    """Values as text, missing as one more."""
    return np.array(["" if pd.isna(v) else str(v) for v in values])


def plug_in_and_expected(x, y):
    table = contingency_matrix(x, y)
    return mutual_info_score(None, None, contingency=table), expected_mutual_information(table, len(x))


def corrected(x, y):
    return float(np.subtract(*plug_in_and_expected(x, y)))


def left_out_error(x, y, groups):
    """Jackknife error of the corrected information for groups of unequal size, by hand."""
    groups = np.unique(groups, return_inverse=True)[1]
    held = np.bincount(groups)
    count, times, whole = len(held), len(x) / held, corrected(x, y)
    without = np.array([corrected(x[groups != g], y[groups != g]) for g in range(count)])
    mean = count * whole - ((1 - 1 / times) * without).sum()
    return np.sqrt(((times * whole - (times - 1) * without - mean) ** 2 / (times - 1)).mean())


def noisy(y, share, random):
    return np.where(random.random(len(y)) < share, y, random.integers(0, 2, len(y)))


# --- what every row of the ranking has ------------------------------------------------------------------------------

PLANTED = ("strong", "fair", "fair_too", "late")


def planted_table():
    random = np.random.default_rng(11)
    y = random.integers(0, 2, ROWS)
    late = pa.array(random.normal(size=ROWS), mask=random.random(ROWS) < np.where(y, 0.4, 0.1))
    columns = {"y": y, "strong": noisy(y, 0.7, random).astype(str), "late": late}
    columns |= {name: noisy(y, 0.3, random).astype(str) for name in ("fair", "fair_too")}
    columns |= {f"noise_{i}": random.integers(0, 4**i, ROWS).astype(str) for i in range(1, 6)}
    columns |= {f"noise_x{i}": random.normal(size=ROWS) for i in range(3)}
    return pa.table(columns | {"id": np.arange(ROWS).astype(str)})


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return run(tmp_path_factory.mktemp("planted"), planted_table(), targets=["y"], analyses=ONLY_RANKING)


def test_nothing_is_left_empty_without_a_reason(planted):
    ranked = planted.table("ranking")
    assert planted.manifest["warnings"] == []
    assert {c for c in ranked.columns if ranked[c].null_count() == len(ranked)} == RANKING_ALSO_KNOWS
    constant_null = ranked.filter(pl.col("z").is_null())
    assert set(constant_null["feature"]) == {"id"}
    assert set(constant_null["null_method"]) == {"degenerate"}
    assert constant_null["p_value"].to_list() == [1.0]
    others = [c for c in ranked.columns if c not in RANKING_ALSO_KNOWS | {"z", "normalized_mi"}]
    assert ranked.select(others).null_count().sum_horizontal()[0] == 0


def test_intervals_and_ranks_belong_together(planted):
    ranked = planted.table("ranking")
    assert ranked["rank"].to_list() == list(range(1, len(ranked) + 1))
    for flag in (True, False):
        assert ranked.filter(significant=flag)["assured_mi"].is_sorted(descending=True)
    for row in ranked.to_dicts():
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]
        assert row["ci_low"] <= row["corrected_mi"] <= row["ci_high"]
        reach = stats.t.ppf(0.975, 31) * row["standard_error"]
        low = min(max(row["corrected_mi"] - reach, 0), row["corrected_mi"])
        assert row["ci_low"] == pytest.approx(low, rel=1e-9, abs=1e-15)
        assert row["ci_high"] == pytest.approx(max(row["corrected_mi"] + reach, 0), rel=1e-9, abs=1e-15)
    rows = by_feature(planted)
    assert (rows["strong"]["rank_low"], rows["strong"]["rank_high"]) == (1, 1)
    for row in rows.values():
        row["reach"] = row["corrected_mi"] - row["assured_mi"]  # of noise: ranks are of what lies beyond it
    for row in rows.values():
        above = sum(other["ci_low"] - other["reach"] > row["ci_high"] - row["reach"] for other in rows.values())
        below = sum(other["ci_high"] - other["reach"] < row["ci_low"] - row["reach"] for other in rows.values())
        assert row["rank_low"] == min(above + 1, row["rank"])
        assert row["rank_high"] == max(len(rows) - below, row["rank"])


def test_noise_begins_after_what_was_planted(planted):
    ranked = planted.table("ranking")
    assert set(ranked["noise_rank"]) == {len(PLANTED) + 1}
    assert set(ranked.filter(pl.col("significant"))["feature"]) == set(PLANTED)
    assert ranked.filter("significant")["rank"].max() == len(PLANTED)
    for row in ranked.filter("significant").to_dicts():
        assert row["ci_low"] > 0
        assert row["z"] > 5


@pytest.mark.parametrize(("procedure", "method"), [("benjamini_hochberg", "bh"), ("benjamini_yekutieli", "by")])
def test_q_values_of_a_target_are_those_of_scipy(procedure, method, tmp_path):
    table = planted_table().append_column("late_y", pa.array(np.arange(ROWS) // 7 % 3))
    options = {"procedure": procedure, "false_discovery_rate": 0.2}
    done = run(tmp_path, table, targets=["y", "late_y"], analyses=ONLY_RANKING | {"uncertainty": options})
    ranked = done.table("ranking")
    for target in ("y", "late_y"):
        rows = ranked.filter(pl.col("target") == target).sort("p_value")
        truth = stats.false_discovery_control(rows["p_value"].to_numpy(), method=method)
        np.testing.assert_allclose(rows["q_value"], truth, rtol=1e-12)
        assert rows["q_value"].is_sorted()
        assert rows["significant"].to_list() == (truth <= 0.2).tolist()


# --- interactions ---------------------------------------------------------------------------------------------------


def test_xor_is_to_be_memorised_and_an_additive_pair_is_not(tmp_path):
    random = np.random.default_rng(2)
    bits = random.integers(0, 2, (5, ROWS))
    added = (random.random(ROWS) < 0.4 + 0.1 * bits[2] + 0.1 * bits[3]).astype(int)
    columns = {name: values.astype(str) for name, values in zip("abcde", bits, strict=True)}
    table = pa.table(columns | {"xor": bits[0] ^ bits[1], "sum": added})
    done = run(tmp_path, table, targets=["xor", "sum"], analyses={"correlation": False})
    pairs = done.table("interaction")
    best = pairs.filter(pl.col("target") == "xor").row(0, named=True)
    assert (best["feature_a"], best["feature_b"], best["strategy"]) == ("a", "b", "memorise")
    assert best["ci_low"] <= np.log(2) <= best["ci_high"]
    assert best["ci_high"] - best["ci_low"] < 0.01
    assert best["q_value"] < 1e-100
    others = pairs.filter((pl.col("target") == "xor") & (pl.col("rank") > 1))
    assert set(others["strategy"]) == {"naive"}
    alone = by_feature(done, "xor")
    assert not any(alone[name]["significant"] for name in "abcde")
    added = pairs.filter((pl.col("target") == "sum") & (pl.col("feature_a") == "c") & (pl.col("feature_b") == "d"))
    row = added.row(0, named=True)
    assert row["q_value"] < 1e-4  # both say something
    assert (row["strategy"], abs(row["synergy"]) < 0.001) == ("naive", True)
    assert by_feature(done, "sum")["c"]["significant"]
    for of_target in pairs.partition_by("target"):
        truth = stats.false_discovery_control(of_target["p_value"].to_numpy())
        np.testing.assert_allclose(of_target["q_value"], truth, rtol=1e-12)


# --- correlation ----------------------------------------------------------------------------------------------------


def test_kept_correlations_have_the_jackknife_and_the_others_fisher(tmp_path):
    random = np.random.default_rng(3)
    shared = random.normal(size=ROWS)
    numbers = {f"x{i}": random.normal(size=ROWS) + i / 2 * shared for i in range(5)}
    words = {f"w{i}": noisy((shared > 0).astype(int), i / 4, random).astype(str) for i in range(4)}
    done = run(tmp_path, pa.table(numbers | words), analyses={"correlation": {"error_bars": 2}})
    table = done.table("correlation")
    assert done.manifest["warnings"] == []
    for (method,), rows in table.partition_by("method", as_dict=True).items():
        truth = stats.false_discovery_control(rows["p_value"].to_numpy())
        np.testing.assert_allclose(rows["q_value"], truth, rtol=1e-12, err_msg=method)
        if method == "correlation_ratio":
            assert rows["error_method"].null_count() == len(rows)
            continue
        strength = (rows["value"].abs() - rows["expected"].fill_null(0)).to_numpy()
        strongest = set(np.argsort(-strength)[:2].tolist())
        by_jackknife = set(np.flatnonzero((rows["error_method"] == "jackknife").fill_null(value=False)).tolist())
        assert by_jackknife == strongest, method
        others = rows.filter(pl.col("error_method").ne_missing("jackknife"))
        assert set(others["error_method"]) == ({"fisher_z"} if method in {"pearson", "spearman"} else {None})
        kept = rows.filter(pl.col("error_method") == "jackknife")
        assert (kept["ci_low"] <= kept["estimate"]).all()
        assert (kept["estimate"] <= kept["ci_high"]).all()
        middle = (kept["value"] - kept["expected"].fill_null(0)).to_numpy()
        np.testing.assert_allclose(kept["estimate"], middle, atol=0.005)
    fisher = table.filter(pl.col("error_method").eq("fisher_z") & pl.col("method").eq("pearson")).row(0, named=True)
    reach = stats.norm.ppf(0.975) / np.sqrt(ROWS - 3)
    assert fisher["ci_low"] == pytest.approx(np.tanh(np.arctanh(fisher["value"]) - reach), abs=1e-12)


def test_spearmans_bound_is_measured_where_values_are_missing(tmp_path):
    random = np.random.default_rng(4)
    shared = random.normal(size=ROWS)
    numbers = pd.DataFrame({f"x{i}": random.normal(size=ROWS) + i / 2 * shared for i in range(4)})
    for name in numbers:
        numbers.loc[random.random(ROWS) < np.where(shared > 0.5, 0.06, 0.01), name] = np.nan
    table = pa.Table.from_pandas(numbers, preserve_index=False)
    measured, general = (
        run(tmp_path / str(kept), table, analyses={"correlation": {"error_bars": kept}}).table("correlation")
        for kept in (10, 1)
    )
    bounds = []
    for done in (measured, general):
        rows = done.filter(pl.col("method") == "spearman").sort("feature_a", "feature_b")
        for row in rows.to_dicts():
            both = numbers[[row["feature_a"], row["feature_b"]]].dropna()
            truth = stats.spearmanr(*both.to_numpy().T).statistic
            assert abs(row["value"] - truth) <= row["error_bound"]
            assert row["ci_low"] <= truth <= row["ci_high"]
        bounds.append(rows["error_bound"].to_numpy())
    assert (bounds[0] < bounds[1] / 3).sum() == 5  # of the strongest it is measured in both runs
    assert (bounds[0] <= bounds[1]).all()


# --- groups of rows -------------------------------------------------------------------------------------------------


def clustered_table(random):
    """Rows of users of 20 rows each, in no order: X and Z are the user's, Y leans to it."""
    user = random.permutation(np.repeat(np.arange(200), 20))
    leaning = random.random(200)
    x = (leaning + random.normal(0, 0.4, 200) > 0.5).astype(int)[user]
    y = (random.random(len(user)) < leaning[user]).astype(int)
    when = 1_600_000_000_000_000 + np.arange(len(user)) * (90 * DAY // len(user))
    shop = np.char.add("s", (user % 50).astype(str))
    names = {"user": np.char.add("u", user.astype(str)), "shop": shop, "when": pa.array(when, pa.timestamp("us"))}
    return pa.table({"x": x.astype(str), "z": (x + random.integers(0, 3, 200)[user]).astype(str), "y": y} | names)


@pytest.fixture(scope="module")
def clustered():
    return clustered_table(np.random.default_rng(8))


BASE = {"targets": ["y"], "exclude": ["user", "shop", "when"]}
GROUPED = {
    "clusters": ({"entity": ["user"], "event_time": "when", "exclude": []}, {"clusters": "shop"}, "equal shop"),
    "event_time": (
        {"entity": ["user"], "event_time": "when", "exclude": ["shop"]},
        {},
        "when in units of a day",
    ),
    "entity": ({"entity": ["user"], "exclude": ["shop", "when"]}, {}, "equal user"),
    "two entities": ({"entity": ["user", "shop"], "exclude": ["when"]}, {}, "equal user and shop"),
    "shard": ({}, {}, "neighbouring rows of a shard"),
}


@pytest.mark.parametrize("name", list(GROUPED))
def test_the_manifest_names_the_groups_that_were_taken(name, tmp_path, clustered):
    dataset, ranking, said = GROUPED[name]
    done = run(tmp_path, clustered, **BASE | dataset, analyses=ONLY_RANKING | {"ranking": ranking})
    groups = 31 if name == "event_time" else 32  # of days, a prime
    assert f"Error bars: {groups} groups of rows, by {said}, are independent and alike." in done.manifest["assumptions"]
    assert ("rows are independent" in done.manifest["assumptions"]) == (name == "shard")
    units = {
        "clusters": "50 values of shop",
        "entity": "200 values of user",
        "event_time": "91 units of when, each a day",
    }
    counted = "Evidence counts " + units.get(name, "200 values of user+shop") + ", not rows"
    assert (counted in done.manifest["assumptions"]) == (name != "shard")


def test_group_by_overrules_what_is_configured(tmp_path, clustered):
    dataset = BASE | {"entity": ["user"], "event_time": "when", "exclude": ["shop"]}
    for group_by, said in (("entity", "equal user"), ("shard", "neighbouring rows")):
        analyses = ONLY_RANKING | {"uncertainty": {"group_by": group_by}}
        done = run(tmp_path / group_by, clustered, **dataset, analyses=analyses)
        assert f"by {said}" in done.manifest["assumptions"]


def test_many_shards_are_groups_themselves(tmp_path, clustered):
    analyses = ONLY_RANKING | {"uncertainty": {"groups": 8}}
    done = run(tmp_path, clustered, 16, **BASE, analyses=analyses)
    assert "8 groups of rows, by shard, are" in done.manifest["assumptions"]


def test_groups_by_day_are_days_left_out_by_hand(tmp_path, clustered):
    done = run(tmp_path, clustered, **BASE | {"event_time": "when", "exclude": ["user", "shop"]}, analyses=ONLY_RANKING)
    data = clustered.to_pydict()
    day = clustered["when"].cast(pa.int64()).to_numpy() // DAY
    rows = by_feature(done)
    for name in ("x", "z"):
        error = left_out_error(labels(data[name]), np.array(data["y"]), day % 31)
        assert rows[name]["standard_error"] == pytest.approx(error, rel=1e-7)


def test_intervals_by_entity_are_wider_where_entities_hold_rows_together(tmp_path, clustered):
    by_shard = by_feature(run(tmp_path / "shard", clustered, **BASE, analyses=ONLY_RANKING))
    dataset = BASE | {"entity": ["user"], "exclude": ["shop", "when"]}
    by_entity = by_feature(run(tmp_path / "entity", clustered, **dataset, analyses=ONLY_RANKING))
    for name in ("x", "z"):
        assert by_entity[name]["mi"] == by_shard[name]["mi"]
        assert by_entity[name]["corrected_mi"] < by_shard[name]["corrected_mi"]
        assert by_entity[name]["standard_error"] > 1.5 * by_shard[name]["standard_error"]


# --- strata and missing values, on real data ------------------------------------------------------------------------

AS_LEVELS = dict.fromkeys(["Month", "DayOfWeek", "TaxiOut", "Distance"], "category")
FLIGHTS = [*AS_LEVELS, "UniqueCarrier", "CancellationCode", "Dest", "Cancelled"]


@pytest.fixture(scope="module")
def flights(shared_data):
    return pq.read_table(shared_data / "hflights.parquet", columns=FLIGHTS)


@pytest.fixture(scope="module")
def flights_runs(flights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    dataset = {"targets": ["Cancelled"], "kinds": AS_LEVELS}
    plain = run(folder / "plain", flights, 2, **dataset, analyses=ONLY_RANKING)
    strata = ONLY_RANKING | {"ranking": {"strata": ["Month"]}}
    return by_feature(plain), by_feature(run(folder / "strata", flights, 2, **dataset, analyses=strata))


def test_a_stratum_says_nothing_within_itself(flights_runs):
    plain, within = flights_runs
    assert plain["Month"]["significant"]
    assert (within["Month"]["p_value"], within["Month"]["corrected_mi"]) == (1.0, 0.0)
    assert within["Month"]["null_method"] == "degenerate"
    for name, row in within.items():
        assert row["marginal_mi"] == pytest.approx(plain[name]["corrected_mi"], abs=1e-14)
        assert plain[name]["marginal_mi"] is None


@pytest.mark.parametrize("name", ["UniqueCarrier", "DayOfWeek"])
def test_information_within_months_by_hand(name, flights, flights_runs):
    month, y = flights["Month"].to_numpy(), flights["Cancelled"].to_numpy()
    x = labels(flights[name].to_pylist())
    share, scores = np.bincount(month)[1:] / len(month), np.zeros((12, 2))
    for m in range(12):
        scores[m] = plug_in_and_expected(x[month == m + 1], y[month == m + 1])
    row = flights_runs[1][name]
    assert row["mi"] == pytest.approx(share @ scores[:, 0], abs=1e-9)
    assert row["expected_mi"] == pytest.approx(share @ scores[:, 1], abs=1e-9)


def split_by_hand(x, y):
    """I(M;Y), its mean under the null, P(M=0) I(X;Y|M=0), and what is missing."""
    x, missing = labels(x), np.array([pd.isna(v) for v in x])
    pattern, pattern_expected = plug_in_and_expected(missing, y)
    values = mutual_info_score(x[~missing], y[~missing]) * (~missing).mean()
    return pattern, pattern_expected, values, missing.sum()


def check_split(row, x, y):
    pattern, pattern_expected, values, _ = split_by_hand(x, y)
    mi, expected = plug_in_and_expected(labels(x), y)
    assert row["mi"] == pytest.approx(mi, abs=1e-12)
    assert row["mi"] == pytest.approx(pattern + values, abs=1e-12)
    assert row["missing_mi"] == pytest.approx(pattern - pattern_expected, abs=1e-9)
    assert row["value_mi"] == pytest.approx(values - (expected - pattern_expected), abs=1e-9)


def test_missing_part_and_value_part_add_up_in_flights(flights, flights_runs):
    y = flights["Cancelled"].to_numpy()
    for name in ("TaxiOut", "UniqueCarrier", "Distance"):
        check_split(flights_runs[0][name], flights[name].to_pylist(), y)
    assert flights["TaxiOut"].null_count > 1_000
    for row in (row for rows in flights_runs for row in rows.values()):
        assert row["missing_mi"] + row["value_mi"] == pytest.approx(row["corrected_mi"], abs=1e-12)
        assert row["mi"] - row["expected_mi"] == pytest.approx(row["corrected_mi"], abs=1e-15)


def test_missing_part_and_value_part_add_up_in_diabetes(shared_data, tmp_path):
    names = ["race", "medical_specialty", "payer_code", "readmitted"]
    raw = pq.read_table(shared_data / "diabetes130.parquet", columns=names)
    done = run(tmp_path, raw, 2, targets=["readmitted"], null_values=["?"], analyses=ONLY_RANKING)
    rows, y = by_feature(done), np.array(raw["readmitted"].to_pylist())
    for name in names[:3]:
        x = [None if value == "?" else value for value in raw[name].to_pylist()]
        assert split_by_hand(x, y)[3] > 1_000
        check_split(rows[name], x, y)
        assert rows[name]["missing_mi"] + rows[name]["value_mi"] == pytest.approx(rows[name]["corrected_mi"], abs=1e-12)


# --- weights --------------------------------------------------------------------------------------------------------


def test_a_weighted_ranking_by_hand_and_of_ones(tmp_path, planted):
    table = planted_table()
    weights = np.random.default_rng(1).gamma(2.0, 1.0, ROWS) * (np.arange(ROWS) % 9 > 0)
    dataset = {"targets": ["y"], "weight": "w"}
    weighted = run(tmp_path / "w", table.append_column("w", pa.array(weights)), **dataset, analyses=ONLY_RANKING)
    y = table["y"].to_numpy()
    for name in ("strong", "noise_2"):
        row, x = by_feature(weighted)[name], np.unique(table[name].to_pylist(), return_inverse=True)[1]
        p = np.zeros((x.max() + 1, 2))
        np.add.at(p, (x, y), weights / weights.sum())
        q = np.outer(p.sum(axis=1), p.sum(axis=0))
        assert row["mi"] == pytest.approx((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum(), abs=1e-12)
        assert row["effective_n"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-12)
        assert row["n"] == ROWS
        plain = by_feature(planted)[name]
        assert row["expected_mi"] == pytest.approx(plain["expected_mi"] * ROWS / row["effective_n"], rel=0.05)
    ones = run(tmp_path / "1", table.append_column("w", pa.array(np.ones(ROWS))), **dataset, analyses=ONLY_RANKING)
    ours, theirs = (done.table("ranking").sort("feature") for done in (ones, planted))
    real = [name for name in ours.columns if ours[name].dtype == pl.Float64]
    assert ours.drop(real).equals(theirs.drop(real))
    for name in real:
        np.testing.assert_allclose(ours[name].fill_null(9), theirs[name].fill_null(9), rtol=1e-9, atol=1e-12)


# --- again, and elsewhere -------------------------------------------------------------------------------------------

TABLES = ("ranking", "correlation", "interaction")
OPTIONS = {
    "ranking": {"strata": ["flag"], "clusters": "city"},
    "correlation": {"error_bars": 5},
    "interaction": {"keep": 5},
}
MIXED = {"targets": ["target", "count"], "entity": ["user"], "event_time": "when"}


def written(folder):
    """When every state of shards and of whole data was written; the codebook is made anew."""
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.arrow") if p.parent.name != "codebook"}


def test_a_second_run_reuses_everything_and_agrees_by_a_bit(tmp_path, engine_kind):
    table = mixed_table(2_000)
    first = run(tmp_path, table, 3, kind=engine_kind, analyses=OPTIONS, **MIXED)
    states = written(tmp_path / "out" / "states")
    second = featflow.run(measured_again(first.manifest["config"]))
    assert second.manifest["shards"] == {"total": 3, "computed": 0, "reused": 3}
    assert written(tmp_path / "out" / "states") == states
    assert second.manifest["assumptions"] == first.manifest["assumptions"]
    for name in TABLES:
        assert second.arrow(name).equals(first.arrow(name)), name


def test_both_engines_agree_by_a_bit(tmp_path, local_ray):
    source = write_parts(mixed_table(2_000), tmp_path / "data", 3)
    ours, theirs = (run(tmp_path / kind, source, kind=kind, analyses=OPTIONS, **MIXED) for kind in ("serial", "ray"))
    assert ours.manifest["assumptions"] == theirs.manifest["assumptions"]
    for name in TABLES:
        assert ours.arrow(name).equals(theirs.arrow(name)), name


# --- hashing --------------------------------------------------------------------------------------------------------


def test_only_a_hashed_column_has_a_hash_loss(tmp_path):
    random = np.random.default_rng(6)
    n, many = 40_000, 20_000
    site = random.integers(0, many, n)
    y = (random.random(n) < random.random(many)[site]).astype(int)
    table = pa.table({"y": y, "site": np.char.add("s", site.astype(str)), "few": (site % 900).astype(str)})
    table = table.append_column("x", pa.array(random.normal(size=n)))
    dataset = {"source": write_parts(table, tmp_path / "data", 2), "targets": ["y"]}
    config = {"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}}
    done = featflow.run(config | {"codebook": {"levels": 1_000}, "analyses": ONLY_RANKING})
    rows = by_feature(done)
    assert rows["site"]["hash_loss"] > 0
    assert rows["few"]["hash_loss"] is None
    assert rows["x"]["hash_loss"] is None
    truth = corrected(labels(site), y)
    found = rows["site"]["corrected_mi"] + rows["site"]["hash_loss"]
    assert rows["site"]["corrected_mi"] < truth
    assert found == pytest.approx(truth, rel=0.5)
