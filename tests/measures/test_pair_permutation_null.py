"""The null moments of information, of all pairs at once, against drawn tables, exact means and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import random_table

from featflow.measures.association import moment_tail
from featflow.measures.information import expected_mutual_information, xlogx
from featflow.measures.pair_permutation_null import InformationNull, _expected_difference, information_moments

FIRST = np.array([0])


def zipf(levels, n, power=1.2):
    share = np.arange(1, levels + 1) ** -power
    margins = np.maximum((share / share.sum() * n).astype(int), 1)
    margins[0] += n - margins.sum()
    return margins


SHAPES = {
    "2 x 2": (np.array([150, 150]), np.array([120, 180])),
    "3 x 3, few rows": (np.array([20, 20, 20]), np.array([10, 20, 30])),
    "16 x 16, cells of one row": (np.full(16, 20), np.full(16, 20)),
    "16 x 16, dense": (np.full(16, 200), np.full(16, 200)),
    "120 x 2": (np.full(120, 25), np.array([1_500, 1_500])),
    "skewed 16 x 16": (zipf(16, 3_000, 2.0), zipf(16, 3_000, 2.0)),
    "skewed 100 x 100": (zipf(100, 3_000), zipf(100, 3_000)),
    "rare level x 16": (np.array([5, 2_995]), zipf(16, 3_000, 0.5)),
    "rare levels 3 x 4": (np.array([2_970, 20, 10]), np.array([1_500, 1_000, 493, 7])),
    "pairs of equal ids x 3": (np.full(100, 2), np.array([60, 70, 70])),
}


def moments(v, w, rows=FIRST, columns=FIRST):
    null = InformationNull(int(np.sum(v[: rows[1] if len(rows) > 1 else None])))
    return information_moments(null.left(np.asarray(v), rows), null.right(np.asarray(w), columns), null.total)


def information_variances(v, w, rows=FIRST, columns=FIRST):
    return moments(v, w, rows, columns)[1]


def drawn(v, w, draws):
    tables = random_table(v, w).rvs(draws, random_state=0).reshape(draws, -1)
    n = v.sum()
    return (xlogx(tables).sum(axis=1) - xlogx(v).sum() - xlogx(w).sum() + xlogx(n)) / n


@pytest.mark.parametrize("name", list(SHAPES))
def test_variance_and_calibration_against_drawn_tables(name):
    v, w = SHAPES[name]
    draws = 4_000 if len(v) * len(w) > 500 else 20_000
    mi = drawn(v, w, draws)
    variance = information_variances(v, w)[0, 0]
    assert variance == pytest.approx(mi.var(), rel=0.1)
    p = moment_tail(mi, np.array(expected_mutual_information(v, w)), np.array(variance))
    # Two levels of five rows have a handful of values: of these alone the rate cannot be near its name.
    assert 0.03 <= (p <= 0.05).mean() <= (0.09 if name == "rare level x 16" else 0.07)


def test_many_rows_give_the_variance_of_chi_square():
    v, w = np.array([30_000, 50_000, 20_000]), np.array([10_000, 25_000, 25_000, 40_000])
    variance = information_variances(v, w)[0, 0]
    assert variance * 100_000**2 == pytest.approx(2 * 3 / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("v", "w"),
    [([9], [4, 5]), ([4, 5], [0, 9]), ([1] * 9, [4, 5]), ([1] * 9, [1] * 9), ([1, 1], [1, 1]), ([1], [1])],
)
def test_one_possible_value_has_no_variance(v, w):
    assert information_variances(v, w)[0, 0] == 0.0


def test_the_variance_is_symmetric_and_moments_are_the_same_in_any_block():
    random = np.random.default_rng(0)
    widths = [2, 5, 17, 3, 40]
    margins = [random.multinomial(9_000, random.dirichlet(np.ones(k))) for k in widths]
    starts = np.cumsum([0, *widths])[:-1]
    levels = np.concatenate(margins)
    mean, variance = moments(levels, levels, starts, starts)
    np.testing.assert_allclose(variance, variance.T, rtol=1e-5, atol=1e-18)
    for i, v in enumerate(margins):
        for j, w in enumerate(margins):
            assert [x[0, 0] for x in moments(v, w)] == [mean[i, j], variance[i, j]]


@pytest.mark.parametrize("n", [90, 3_000, 100_000, 10**7])
def test_the_mean_is_the_exact_one(n):
    """Even and uneven margins, of as many cells as rows and of few: within 1e-9 nats."""
    random = np.random.default_rng(1)
    some = [random.multinomial(n, random.dirichlet(np.full(k, shape))) for k in (2, 17, 250) for shape in (0.2, 1, 50)]
    for v in [*some, np.array([n]), np.array([n - 1, 1]), np.array([0, n])]:
        for w in some:
            assert moments(v, w)[0][0, 0] == pytest.approx(expected_mutual_information(v, w), abs=1e-9)


def test_the_variance_is_as_of_the_cells_themselves():
    """The quadratic form of the module's docstring, cell by cell, with matrices for P and Q."""
    random = np.random.default_rng(2)
    v, w = (random.multinomial(20_000, random.dirichlet(np.full(k, 0.7))) for k in (6, 11))
    form, n = 0.0, 20_000.0
    for m in (1, 2, 3):
        falling = [np.prod([side - i for i in range(m)], axis=0) / n**m for side in (v, w)]
        a = np.sqrt(np.outer(*falling) * n**m / math.factorial(m)) * (n / (n - 1)) ** (m / 2)
        a *= _expected_difference(m, n, v[:, None].astype(float), w[None, :].astype(float))
        p, q = ((np.eye(len(side)) - np.sqrt(np.outer(side, side)) / n) ** m for side in (v, w))
        form += np.einsum("ij,ik,jl,kl", a, p, q, a)
    assert information_variances(v, w)[0, 0] * n**2 == pytest.approx(form, rel=1e-4)
