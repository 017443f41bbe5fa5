"""Information against scikit-learn, brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.metrics.cluster import expected_mutual_information as sklearn_expected

from featflow.measures.information import (
    SERIES_FROM,
    entropy,
    expected_excess_terms,
    expected_information_terms,
    expected_mutual_information,
    expected_xlogx,
    mutual_information,
    mutual_informations,
    xlogx,
)


@pytest.mark.parametrize("seed", range(12))
def test_mutual_information_equals_sklearn(seed):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 2 + seed, 500), random.integers(0, 3, 500)
    table = contingency_matrix(a, b)
    assert mutual_information(table) == pytest.approx(mutual_info_score(a, b), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_expected_equals_sklearn(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(50, 5_000))
    a, b = random.zipf(1.4, n) % (3 + 40 * seed), random.integers(0, 2 + seed % 7, n)
    table = contingency_matrix(a, b)
    ours = expected_mutual_information(table.sum(axis=1), table.sum(axis=0))
    assert ours == pytest.approx(sklearn_expected(table, n), abs=1e-9)


def test_expected_equals_sklearn_where_the_series_is_used():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 12, 60_000), random.integers(0, 5, 60_000)
    table = contingency_matrix(a, b)
    assert (np.outer(table.sum(axis=1), table.sum(axis=0)) / 60_000).min() > SERIES_FROM
    ours = expected_mutual_information(table.sum(axis=1), table.sum(axis=0))
    assert ours == pytest.approx(sklearn_expected(table, 60_000), abs=1e-9)


def test_expected_equals_the_mean_over_permutations():
    random = np.random.default_rng(1)
    a, b = random.integers(0, 30, 300), random.integers(0, 3, 300)
    table = contingency_matrix(a, b)
    drawn = [mutual_information(contingency_matrix(a, random.permutation(b))) for _ in range(2_000)]
    ours = expected_mutual_information(table.sum(axis=1), table.sum(axis=0))
    assert abs(ours - np.mean(drawn)) < 4 * np.std(drawn) / np.sqrt(len(drawn))


@pytest.mark.parametrize(
    ("total", "v", "w"),
    [(10, 3, 4), (10, 10, 4), (1_000, 999, 500), (10**6, 400, 300_000), (10**6, 999_990, 130), (10**5, 5_000, 60_000)],
)
def test_expected_xlogx_equals_the_sum_over_the_distribution(total, v, w):
    k = np.arange(max(0, v + w - total), min(v, w) + 1)
    truth = (hypergeom.pmf(k, total, w, v) * xlogx(k)).sum()
    assert expected_xlogx(total, np.array(v), np.array(w)) == pytest.approx(truth, abs=1e-8, rel=1e-10)


@pytest.mark.parametrize("total", [40, 3_000, 200_000])
def test_sums_reach_as_far_as_the_distribution_at_every_mean(total):
    random = np.random.default_rng(total)
    means = np.concatenate([[0.01, 0.3, 1, 4, 8, 9, 25, 27, 54, 56, 93, 95, 119], random.uniform(0, 120, 40)])
    w = np.ceil(total * random.choice([0.001, 0.02, 0.3, 0.6, 0.98, 1.0], len(means)))
    v = np.clip(np.round(means * total / w), 1, total)
    some = v * w / total < SERIES_FROM
    v, w = v[some], w[some]
    found = expected_xlogx(total, v, w)
    for one, (draws, marked) in enumerate(zip(v, w, strict=True)):
        k = np.arange(max(0, draws + marked - total), min(draws, marked) + 1)
        truth = (hypergeom.pmf(k, total, marked, draws) * xlogx(k)).sum()
        assert found[one] == pytest.approx(truth, abs=1e-8, rel=1e-9), (draws, marked)
        assert found[one] == expected_xlogx(total, v[one : one + 1], w[one : one + 1])[0]  # whatever stands beside it


def test_series_and_sum_agree_where_they_meet():
    total, w = 10**6, np.full(400, 250_000)
    v = np.linspace(4 * SERIES_FROM, 4 * SERIES_FROM + 400, 400).round()
    from featflow.measures.information import _by_series, _by_sum

    totals = np.full(len(v), float(total))
    difference = np.abs(_by_series(totals, v, w) - _by_sum(totals, v, w))
    assert difference.max() < 5e-9


def test_a_unique_key_is_expected_to_score_everything():
    classes = np.array([700, 250, 50])
    keys = np.ones(1_000, int)
    assert expected_mutual_information(keys, classes) == pytest.approx(entropy(classes), abs=1e-12)


def test_shared_terms_equal_the_whole():
    random = np.random.default_rng(2)
    classes = np.array([600, 300, 100])
    margins = np.bincount(random.integers(0, 50, 1_000))
    n = 1_000
    terms = expected_information_terms(margins, classes)
    whole = (terms.sum() - xlogx(margins).sum() - xlogx(classes).sum() + xlogx(n)) / n
    assert whole == pytest.approx(expected_mutual_information(margins, classes), abs=1e-13)
    assert expected_excess_terms(margins, classes).sum() / n == pytest.approx(whole, abs=1e-13)


def test_logarithms_of_counts_are_those_of_floats_wherever_they_lie():
    random = np.random.default_rng(4)
    small, large = random.integers(0, 2**16, 1_003), random.integers(2**16, 10**10, 1_003)
    assert (xlogx(small) == xlogx(small.astype(float))).all()
    np.testing.assert_allclose(xlogx(large), xlogx(large.astype(float)), rtol=4e-16)
    mixed = np.stack([small, large], axis=1)
    assert (xlogx(mixed) == np.stack([xlogx(small), xlogx(large)], axis=1)).all()
    assert (xlogx(mixed.T) == xlogx(mixed).T).all()
    assert all(xlogx(large[at : at + 1])[0] == xlogx(large)[at] for at in range(0, 1_003, 100))
    assert xlogx(np.empty(0, np.int64)).shape == (0,)
    assert float(xlogx(np.int64(0))) == 0.0
    assert float(xlogx(np.int64(10**6))) == pytest.approx(10**6 * np.log(10**6))


def test_many_tables_at_once_are_each_alone():
    tables = np.random.default_rng(5).integers(0, 50, (20, 4, 3))
    alone = [mutual_information(table) for table in tables]
    np.testing.assert_allclose(mutual_informations(tables), alone, atol=1e-14)
    assert (mutual_informations(tables)[3:4] == mutual_informations(tables[3:4])).all()


@pytest.mark.parametrize("table", [np.zeros((2, 2), int), np.array([[5, 0]]), np.array([[5], [3]]), np.array([[1]])])
def test_nothing_to_say_is_zero(table):
    assert mutual_information(table) == 0.0
    assert expected_mutual_information(table.sum(axis=1), table.sum(axis=0)) == pytest.approx(0.0, abs=1e-15)


def test_many_levels_are_quick_because_margins_are_grouped():
    random = np.random.default_rng(3)
    rows = np.bincount(random.integers(0, 8_000, 10**6))
    columns = np.bincount(random.integers(0, 7_000, 10**6))
    distinct = len(np.unique(rows)) * len(np.unique(columns))
    assert distinct < 40_000 < 8_000 * 7_000
    assert 0 < expected_mutual_information(rows, columns) < entropy(columns)
