"""The null of mutual information against enumeration, permutations and limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln, xlogy
from scipy.stats import chi2, fisher_exact, kstest

from featflow.measures.information import expected_mutual_information, mutual_information
from featflow.measures.permutation_null import ClassNull, _row_terms, _row_variance, null_test, stratum_moments


def margins(kind, levels, rows, seed=0):
    share = np.ones(levels) if kind == "uniform" else 1 / np.arange(1, levels + 1)
    return np.random.default_rng(seed).multinomial(rows, share / share.sum())


def permuted(a, b, draws, seed=1):
    """Tables of permuted rows: the null itself, by brute force."""
    random = np.random.default_rng(seed)
    x, y = np.repeat(np.arange(len(a)), a), np.repeat(np.arange(len(b)), b)
    for _ in range(draws):
        yield np.bincount(x * len(b) + random.permutation(y), minlength=len(a) * len(b)).reshape(len(a), len(b))


def independence(table):
    return null_test(mutual_information(table), [table.sum(axis=1)], [ClassNull(table.sum(axis=0))])


def row_variance(v, q):
    """Variance of sum_j h(n_j) beyond its linear part for one multinomial row, by enumeration."""
    cells = np.array([k for k in itertools.product(range(v + 1), repeat=len(q)) if sum(k) == v], float)
    p = np.exp(gammaln(v + 1) - gammaln(cells + 1).sum(axis=1) + xlogy(cells, q).sum(axis=1))
    total = xlogy(cells, cells).sum(axis=1)
    root = np.sqrt(p)[:, None]
    design = np.column_stack([np.ones(len(cells)), cells[:, :-1]]) * root
    fitted = design @ np.linalg.lstsq(design, total[:, None] * root, rcond=None)[0]
    return float(((total[:, None] * root - fitted) ** 2).sum())


@pytest.mark.parametrize("v", [1, 2, 3, 8, 25])
@pytest.mark.parametrize("classes", [(50, 50), (980, 20), (500, 490, 10), (960, 20, 20), (100, 300, 300, 300)])
def test_a_rows_variance_is_that_of_all_its_tables(v, classes):
    b = np.array(classes)
    within, _ = _row_variance(np.array([v]), b[None, :] / b.sum(), np.ones(len(b)))
    assert within[0] == pytest.approx(row_variance(v, b / b.sum()), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("kind", ["uniform", "zipf"])
@pytest.mark.parametrize("levels", [30, 1_000, 8_000])
@pytest.mark.parametrize("b", [(8_192, 8_192), (16_364, 20), tuple(margins("zipf", 20, 16_384))])
def test_moments_are_those_of_permutations(kind, levels, b):
    a, b = margins(kind, levels, 16_384), np.array(b)
    mean, variance = ClassNull(b).moments(a)
    found = np.array([mutual_information(table) for table in permuted(a, b, 300)])
    assert mean == pytest.approx(expected_mutual_information(a, b), abs=1e-12)
    assert abs(found.mean() - mean) < 4.5 * np.sqrt(variance / 300)
    assert found.std() == pytest.approx(np.sqrt(variance), rel=0.2)  # five standard errors of 300 draws


@pytest.mark.parametrize("rare", [1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("v", [2, 9, 20, 50, 300])
def test_a_rows_variance_against_a_rare_class(v, rare):
    """Of a binary target the variance is a sum over one binomial; rounding in high degrees must not outgrow it."""
    with_rare = np.arange(min(v, 12) + 1.0)
    p = np.exp(gammaln(v + 1) - gammaln(with_rare + 1) - gammaln(v - with_rare + 1) + xlogy(with_rare, rare))
    p *= np.exp((v - with_rare) * np.log1p(-rare))
    # Less the line through no draw and one draw of the rare class, where nearly all are: no large number is left.
    h = xlogy(with_rare, with_rare) + xlogy(v - with_rare, (v - with_rare) / v)
    h += with_rare * (v - 1) * np.log(v / (v - 1))
    mean, slope = v * rare, ((with_rare - v * rare) * p * h).sum() / (v * rare * (1 - rare))
    away = h - (p * h).sum() - slope * (with_rare - mean)
    within, _ = _row_variance(np.array([v]), np.array([[1 - rare, rare]]), np.ones(2))
    assert within[0] == pytest.approx((p * away**2).sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1_000, 980] + [1] * 20, [1_000, 1_000]),
        ([1_000, 998, 1, 1], [1_000, 1_000]),
        ([5_000, 5_000, 10], [9_700, 310]),
        ([1, 1, 1, 997], [960, 40]),
        ([500, 500] + [8] * 6, [1_000, 48]),
        ([300, 30, 3], [111, 222]),
        ([700, 200, 5, 3, 2], [400, 300, 210]),
    ],
)
def test_rare_levels_beside_large_ones_are_not_whole_levels(a, b):
    """Fixed columns take what a level has in common with the others: of a rare one nearly nothing."""
    found = np.array([mutual_information(table) for table in permuted(np.array(a), np.array(b), 4_000)])
    _, variance = ClassNull(np.array(b)).moments(np.array(a))
    assert found.std() == pytest.approx(np.sqrt(variance), rel=0.08)  # five standard errors of 4,000 draws and more


def test_dense_limit_is_chi_square():
    a, b = margins("uniform", 12, 10**8), margins("uniform", 5, 10**8, seed=1)
    mean, variance = ClassNull(b).moments(a)
    assert 2e8 * mean == pytest.approx(44, rel=1e-3)
    assert (2e8) ** 2 * variance == pytest.approx(88, rel=1e-3)
    test = independence(np.outer(a, b) // 10**8 + np.eye(12, 5, dtype=np.int64) * 3_000)
    observed = mutual_information(np.outer(a, b) // 10**8 + np.eye(12, 5, dtype=np.int64) * 3_000)
    assert test.p_value == pytest.approx(chi2.sf(2e8 * observed, 44), rel=1e-2)


@pytest.mark.parametrize("classes", [(500, 500), (900, 100), (600, 300, 100), (50,) * 20])
def test_expansion_of_dense_rows_meets_their_sum(classes):
    b = np.array(classes)
    v = np.ceil(50 * b.sum() / b.min()) * np.array([1.0, 1.5, 4.0])
    rows = (np.full(3, 1e9), v, np.tile(b * 1e6, (3, 1)))
    _, expanded, slopes = _row_terms(*rows, np.ones(len(b)))
    summed, _ = _row_variance(v, rows[2] / 1e9, np.ones(len(b)))
    assert not slopes.any()
    np.testing.assert_allclose(expanded, summed, rtol=2e-3)


def test_many_strata_at_once_are_one_after_another():
    random = np.random.default_rng(3)
    tables = [random.multinomial(n, random.dirichlet(np.ones(12))).reshape(4, 3) for n in (0, 1, 7, 300, 9_000)]
    tables[3][:, 1] = 0
    margins = np.concatenate([table.sum(axis=1) for table in tables])
    mean, variance = stratum_moments(margins, 4 * np.arange(5), np.array([table.sum(axis=0) for table in tables]))
    alone = np.array([ClassNull(table.sum(axis=0)).moments(table.sum(axis=1)) for table in tables])
    np.testing.assert_allclose(mean, alone[:, 0], atol=1e-12)
    np.testing.assert_allclose(variance, alone[:, 1], rtol=1e-9, atol=1e-15)


def test_prepared_margins_change_nothing():
    a, b = margins("zipf", 400, 9_000), np.array([6_000, 2_500, 500])
    alone, together = ClassNull(b), ClassNull(b)
    together.prepare(np.arange(1, 700))
    np.testing.assert_array_equal(alone.moments(a), together.moments(a))


@pytest.mark.parametrize(
    ("table", "p_value"),
    [
        (np.eye(7, dtype=np.int64), 1.0),  # both are ids
        (np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]), 1.0),  # an id against two classes
        (np.array([[40, 60]]), 1.0),  # a constant feature
        (np.array([[40], [60]]), 1.0),  # a constant target
        (np.zeros((3, 2), np.int64), 1.0),  # no rows
    ],
)
def test_degenerate_nulls_have_p_one(table, p_value):
    test = independence(table)
    assert (test.p_value, test.method, test.std) == (p_value, "degenerate", 0.0)


@pytest.mark.parametrize("table", [[[8, 2], [1, 5]], [[3, 0], [0, 3]], [[10, 90], [30, 70]], [[2, 16_362], [18, 2]]])
def test_two_by_two_is_fishers_exact_test_ordered_by_information(table):
    table = np.array(table)
    a, b, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    k = np.arange(max(0, a[0] + b[0] - n), min(a[0], b[0]) + 1)
    tables = [np.array([[i, a[0] - i], [b[0] - i, n - a[0] - b[0] + i]]) for i in k]
    p = np.exp([-gammaln(t + 1.0).sum() for t in tables] - np.max([-gammaln(t + 1.0).sum() for t in tables]))
    extreme = [mutual_information(t) >= mutual_information(table) - 1e-12 for t in tables]
    assert independence(table).method == "exact"
    assert independence(table).p_value == pytest.approx(p[extreme].sum() / p.sum(), rel=1e-9)
    if (a[0] == a[1]) or (b[0] == b[1]):  # the orders agree where a margin is balanced
        assert independence(table).p_value == pytest.approx(fisher_exact(table).pvalue, rel=1e-6)


def test_handful_of_atoms_agrees_with_all_permutations():
    x = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    y = np.array([0, 0, 1, 1, 1, 0, 1, 1])
    observed = np.bincount(x * 2 + y, minlength=6).reshape(3, 2)
    scores = [
        mutual_information(np.bincount(x * 2 + np.array(order), minlength=6).reshape(3, 2))
        for order in set(itertools.permutations(y.tolist()))
    ]
    share = np.mean(np.array(scores) >= mutual_information(observed) - 1e-12)
    assert independence(observed).method == "exact"
    assert independence(observed).p_value == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize("transposed", [False, True])
def test_exact_does_not_care_which_side_is_rows(transposed):
    table = np.array([[5, 1, 0], [1, 4, 1], [0, 2, 3], [6, 5, 4]])
    test = independence(table.T if transposed else table)
    assert test.method == "exact"
    drawn = [mutual_information(t) for t in permuted(table.sum(axis=1), table.sum(axis=0), 4_000)]
    share = np.mean(np.array(drawn) >= mutual_information(table) - 1e-12)
    assert test.p_value == pytest.approx(share, abs=4 * np.sqrt(share / 4_000) + 1e-3)


def test_few_rows_of_many_classes_are_enumerated():
    """Three rows of another level among 20 classes: 1,540 tables, found without going through 4^19."""
    table = np.zeros((2, 20), np.int64)
    table[0] = 50
    table[1, :3] = 1
    test = independence(table)
    assert test.method == "exact"
    drawn = [mutual_information(t) for t in permuted(table.sum(axis=1), table.sum(axis=0), 2_000)]
    share = np.mean(np.array(drawn) >= mutual_information(table) - 1e-12)
    assert test.p_value == pytest.approx(share, abs=0.05)


def test_neighbours_do_not_change_a_bit():
    b, random = np.array([900, 80, 20]), np.random.default_rng(8)
    alone = [ClassNull(b).moments(a) for a in (margins("zipf", 9, 1_000), margins("uniform", 40, 1_000))]
    together = ClassNull(b)
    together.prepare(random.permutation(np.arange(1, 1_000)))
    assert [together.moments(a) for a in (margins("zipf", 9, 1_000), margins("uniform", 40, 1_000))] == alone


@pytest.mark.parametrize(("levels", "b"), [(30, (8_192, 8_192)), (1_000, (16_364, 20)), (5_000, (4_000,) * 4)])
def test_p_values_are_uniform_under_the_null(levels, b):
    a, b = margins("zipf", levels, sum(b)), np.array(b)
    null = ClassNull(b)
    p = np.array([null_test(mutual_information(table), [a], [null]).p_value for table in permuted(a, b, 400)])
    assert kstest(p, "uniform").pvalue > 1e-3
    assert 0.02 <= (p <= 0.05).mean() <= 0.085


@pytest.mark.parametrize(
    ("levels", "b"),
    [(1_000, (999_980, 20)), (1_000, (999_970, 10, 20)), (40_000, (999_800, 200)), (20, (999_995, 5))],
)
def test_few_rows_that_seldom_meet_are_drawn(levels, b):
    """The null is a handful of values; drawn tables are those of numpy's own generator, and p is uniform up to ties."""
    a, b = np.full(levels, sum(b) // levels), np.array(b)
    random, null, found, methods = np.random.default_rng(4), ClassNull(b), [], set()
    for _ in range(300 if levels <= 1_000 else 50):
        table = np.stack([random.multivariate_hypergeometric(a, n, method="marginals") for n in b[1:]], axis=1)
        table = np.concatenate([(a - table.sum(axis=1))[:, None], table], axis=1)
        test = null_test(mutual_information(table), [a], [null])
        found.append(test.p_value)
        methods.add(test.method)
    assert methods <= {"monte_carlo", "gamma"}
    assert "monte_carlo" in methods
    assert np.mean(np.array(found) <= 0.05) <= 0.09
    again = null_test(mutual_information(table), [a], [ClassNull(b)])
    assert again == test
