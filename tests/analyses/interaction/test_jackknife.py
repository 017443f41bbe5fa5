"""Kept pairs: error bars and nulls of interactions and correlations, against planted truths and closed forms."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from featflow.analyses.correlation.jackknife import bergsma, cramers_v_errors, information_errors, moment_errors
from featflow.analyses.interaction.jackknife import interaction_errors, with_interaction_errors
from featflow.analyses.interaction.screening import scores
from featflow.analyses.interaction.tables import INTERACTION
from featflow.columns.binning import number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.columns.sort_keys import sortable_keys
from featflow.measures.information import corrected_mutual_information
from featflow.measures.options import UncertaintyOptions
from featflow.summaries import PairMomentsByGroupSummarizer

GROUPS = 32


def counted(*codes):
    """Counts by group and by every combination of codes."""
    shape = tuple(int(code.max()) + 1 for code in codes)
    return np.bincount(np.ravel_multi_index(codes, shape), minlength=int(np.prod(shape))).reshape(shape)


def groups(random, n):
    return random.permutation(np.arange(n) % GROUPS)


def synergy(*codes):
    a, b, y = codes
    joint, left, right = a * (b.max() + 1) + b, a, b
    return sum(
        sign * np.subtract(*corrected_mutual_information(counted(x, y)))
        for x, sign in ((joint, 1), (left, -1), (right, -1))
    )


def test_xor_is_log_two_within_its_interval():
    random = np.random.default_rng(0)
    a, b, g = random.integers(0, 2, 4_000), random.integers(0, 2, 4_000), groups(random, 4_000)
    errors = interaction_errors([counted(g, a, b, a ^ b)], 1.0, 0.95, units=False)
    assert errors["ci_low"][0] <= np.log(2) <= errors["ci_high"][0]
    assert errors["standard_error"][0] < 1e-3
    assert errors["p_value"][0] < 1e-300
    assert errors["rows_a_value"][0] == 500


def test_errors_are_a_leave_one_group_out_by_hand():
    random = np.random.default_rng(1)
    n = 3_000
    a, b, g = random.integers(0, 3, n), random.integers(0, 4, n), random.integers(0, 12, n)
    y = (random.random(n) < 1 / (1 + np.exp(-(a - 1) * (b - 1.5)))).astype(int)
    errors = interaction_errors([counted(g, a, b, y)] * 2, 1.0, 0.95)
    whole = synergy(a, b, y)
    held = np.bincount(g)
    times = n / held
    without = np.array([synergy(*(x[g != group] for x in (a, b, y))) for group in range(12)])
    mean = 12 * whole - ((1 - 1 / times) * without).sum()
    by_hand = np.sqrt(((times * whole - (times - 1) * without - mean) ** 2 / (times - 1)).mean())
    np.testing.assert_allclose(errors["standard_error"], [by_hand] * 2, rtol=1e-9)
    np.testing.assert_allclose(errors["synergy"], mean, rtol=1e-9)
    np.testing.assert_allclose(errors["z"], mean / by_hand, rtol=1e-9)
    np.testing.assert_allclose(errors["synergy_p_value"], 2 * stats.t.sf(mean / by_hand, 11), rtol=1e-6)
    ends = errors["ci_low"][0], errors["ci_high"][0]
    np.testing.assert_allclose(ends, mean + stats.t.ppf([0.025, 0.975], 11) * by_hand, rtol=1e-9)


def test_noise_beside_a_strong_feature_is_no_joint():
    """The joint of a strong feature and noise says much; the within-level null knows that only one of them does."""
    random = np.random.default_rng(2)
    n, found = 3_000, []
    for _ in range(200):
        a, b, g = random.integers(0, 6, n), random.integers(0, 4, n), groups(random, n)
        y = (random.random(n) < 1 / (1 + np.exp(-(b - 1.5)))).astype(int)
        found.append(interaction_errors([counted(g, a, b, y)], 1.0, 0.95)["p_value"][0])
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.1


def test_additive_effects_leave_no_synergy_beyond_what_is_true():
    random = np.random.default_rng(3)
    n, covered = 5_000, 0
    effect = 0.2 * np.subtract.outer(np.arange(4) - 1.5, -(np.arange(4) - 1.5))
    p = 1 / (1 + np.exp(-effect))
    for _ in range(150):
        a, b, g = random.integers(0, 4, n), random.integers(0, 4, n), groups(random, n)
        y = (random.random(n) < p[a, b]).astype(int)
        errors = interaction_errors([counted(g, a, b, y)], 1.0, 0.95)
        covered += errors["ci_low"][0] <= 0 <= errors["ci_high"][0]
    assert covered >= 0.9 * 150


def test_strategy_needs_synergy_significance_and_rows():
    table = INTERACTION.build(
        {"target": ["y"] * 4, "feature_a": list("abcd"), "feature_b": list("efgh"), "synergy": [0.3, 0.3, 0.0, 0.1]},
    )
    errors = {
        "synergy": np.array([0.3, 0.3, 0.0, 0.1]),
        "ci_low": np.array([0.2, 0.2, -0.1, np.nan]),
        "p_value": np.array([1e-9, 1e-9, 0.5, 1e-9]),
        "rows_a_value": np.array([100.0, 2.0, 100.0, 100.0]),
    }
    done = with_interaction_errors(table, errors, UncertaintyOptions(), {"y": 1_000})
    by_name = dict(zip(done.column("feature_a").to_pylist(), done.column("strategy").to_pylist(), strict=True))
    assert by_name == {"a": "memorise", "b": None, "c": "naive", "d": None}
    assert done.column("rank").to_pylist() == [1, 2, 3, 4]
    assert done.column("synergy").to_pylist() == [0.3, 0.3, 0.1, 0.0]
    assert done.column("q_value")[0].as_py() == pytest.approx(1e-9 * 1_000 / 3)


# --- correlations ---------------------------------------------------------------------------------------------------

X, Y, G = (Column(name, "float64", Kind.NUMBER) for name in "xyg")


def pearson_errors(x, y, group):
    codings = tuple(
        number_coding(column, sortable_keys(np.array([np.nanmedian(values)])), np.array([1]), 0, (64, 16))
        for column, values in ((X, x), (Y, y))
    )
    spec = PairMomentsByGroupSummarizer(
        (codings,), JackknifeGroups("unit", (G,), 37)
    )  # a prime: no groups fall together
    return moment_errors(spec.summarize(pa.record_batch({"x": x, "y": y, "g": group.astype(float)})), 0.95)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_pearson_errors_are_a_leave_one_group_out_by_hand(offset):
    random = np.random.default_rng(4)
    x = random.normal(size=2_000)
    y, g = 0.5 * x + random.normal(size=2_000), groups(random, 2_000)
    y[random.random(2_000) < 0.2] = np.nan
    bars = pearson_errors(x + offset, y + offset, g)
    kept = ~np.isnan(y)

    def z(rows):
        return np.arctanh(np.corrcoef(x[rows & kept], y[rows & kept])[0, 1])

    whole, held = z(kept), np.bincount(g[kept])
    times = held.sum() / held
    without = np.array([z(g != group) for group in range(GROUPS)])
    mean = GROUPS * whole - ((1 - 1 / times) * without).sum()
    error = np.sqrt(((times * whole - (times - 1) * without - mean) ** 2 / (times - 1)).mean())
    reach, centre = stats.t.ppf(0.975, GROUPS - 1) * error, whole
    tolerance = 1e-9 if offset == 0 else 1e-6
    np.testing.assert_allclose(bars.standard_error, (1 - np.tanh(whole) ** 2) * error, rtol=tolerance)
    np.testing.assert_allclose([bars.low[0], bars.high[0]], np.tanh([centre - reach, centre + reach]), rtol=tolerance)


def test_pearson_intervals_cover_and_clusters_need_their_groups():
    """Heavy tails, where Fisher's z is too narrow; then rows that repeat an entity's value."""
    random = np.random.default_rng(5)
    heavy = by_entity = by_row = 0
    for _ in range(200):
        shared = random.standard_t(5, size=3_000)
        x, y = shared + random.standard_t(5, size=3_000), shared + random.standard_t(5, size=3_000)
        bars = pearson_errors(x, y, groups(random, 3_000))
        heavy += bars.low[0] <= 0.5 <= bars.high[0]
        of_entity = random.normal(size=(2, 300))
        entity = np.repeat(np.arange(300), 10)
        x, y = of_entity[0][entity], of_entity[1][entity] + random.normal(size=3_000)
        for jackknife, code in (("entity", entity % GROUPS), ("row", groups(random, 3_000))):
            bars = pearson_errors(x, y, code)
            inside = bars.low[0] <= 0 <= bars.high[0]
            by_entity += inside and jackknife == "entity"
            by_row += inside and jackknife == "row"
    assert 0.9 <= heavy / 200 <= 0.99
    assert 0.9 <= by_entity / 200 <= 0.99
    assert by_row / 200 < 0.75


def test_equal_columns_have_no_error():
    random = np.random.default_rng(6)
    x = random.normal(size=500)
    bars = pearson_errors(x, x, groups(random, 500))
    assert bars.standard_error[0] == pytest.approx(0.0, abs=1e-9)
    assert bars.low[0] <= 1.0 <= bars.high[0] + 1e-9


@pytest.mark.parametrize("alike", [1, 20])
def test_count_errors_cover(alike):
    """Rows that come twenty alike have twenty times the bias of independent ones."""
    random = np.random.default_rng(7)
    joint = np.array([[0.25, 0.1, 0.05], [0.1, 0.15, 0.05], [0.05, 0.05, 0.2]])
    truth = float((joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum())
    square = float(np.sqrt(((joint**2 / np.outer(joint.sum(1), joint.sum(0))).sum() - 1) / 2))
    information = association = 0
    for _ in range(200):
        cells = alike * random.multinomial(125, joint.ravel(), size=GROUPS).reshape(GROUPS, 3, 3)
        bars = information_errors(cells, 1.0, 0.95)
        information += bars.low <= truth <= bars.high
        assert bars.low <= bars.estimate <= bars.high
        padded = np.pad(cells, ((0, 0), (1, 0), (1, 0)), constant_values=7)  # missing rows take no part
        bars = cramers_v_errors(padded, 1.0, 0.95)
        association += bars.low <= square <= bars.high
        assert bars.low <= bars.estimate <= bars.high
    assert 0.9 <= information / 200 <= 0.99
    assert 0.9 <= association / 200 <= 0.99


def test_bergsma_of_independence_and_of_one_level():
    assert -0.05 < bergsma(np.outer([30.0, 70.0], [20.0, 50.0, 30.0])) < 0
    assert np.isnan(bergsma(np.array([[5.0, 7.0]])))


def test_a_constant_adds_nothing_exactly():
    """Sums of logarithms in another order leave 1e-15; a pair with a constant, in all rows or some, has none of it."""
    random = np.random.default_rng(8)
    a, y, g = random.integers(0, 7, 5_000), random.integers(0, 3, 5_000), groups(random, 5_000)
    pair = counted(g, a, np.zeros(5_000, int), y)
    for table in (pair, pair.swapaxes(1, 2)):
        errors = interaction_errors([table], 1.0, 0.95)
        assert [float(errors[name][0]) for name in ("synergy", "standard_error", "ci_low", "ci_high")] == [0.0] * 4
        assert errors["p_value"][0] == 1.0
        found = scores(table.sum(axis=0)[None], 1.0)
        assert found.synergy[0] == 0.0
    information = information_errors(counted(g, a, np.zeros(5_000, int)), 1.0, 0.95)
    assert [float(x) for x in (information.estimate, information.low, information.high)] == [0.0] * 3


@pytest.mark.parametrize("levels", [2, 4])
def test_estimates_lie_in_their_intervals_where_rows_of_a_unit_are_alike(levels):
    """A, B and Y of a unit are alike and independent of one another: permuted rows would call their chance a joint."""
    random = np.random.default_rng(9)
    units, inside, covered, draws = 640, 0, 0, 100
    for _ in range(draws):
        a, b, y = (np.repeat(random.integers(0, levels, units), 20) for _ in range(3))
        errors = interaction_errors([counted(np.repeat(np.arange(units) % GROUPS, 20), a, b, y % 2)], 1.0, 0.95)
        inside += errors["ci_low"][0] <= errors["synergy"][0] <= errors["ci_high"][0]
        covered += errors["ci_low"][0] <= 0 <= errors["ci_high"][0]
    assert inside == draws
    assert covered >= 0.9 * draws


def test_significance_of_synergy_and_its_interval_agree():
    random = np.random.default_rng(10)
    tables = []
    for effect in np.linspace(-1, 1, 60):
        a, b = random.integers(0, 2, (2, 2_000))
        y = (random.random(2_000) < 0.5 + 0.2 * effect * (a - 0.5) * (b - 0.5) + 0.1 * (a == b)).astype(int)
        tables.append(counted(groups(random, 2_000), a, b, y))
    errors = interaction_errors(tables, 1.0, 0.95)
    excludes = (errors["ci_low"] > 0) | (errors["ci_high"] < 0)
    np.testing.assert_array_equal(errors["synergy_p_value"] < 0.05, excludes)
    assert 5 < excludes.sum() < 60
    assert (np.abs(errors["ci_low"]) <= np.log(2)).all()
