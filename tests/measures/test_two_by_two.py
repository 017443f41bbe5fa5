"""The exact test against the sum over all tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from featflow.measures.two_by_two import chi_square_of_cell, exact_where_few, information_of_cell


@pytest.mark.parametrize("statistic", [chi_square_of_cell, information_of_cell])
@pytest.mark.parametrize(
    ("n", "a", "b"), [(10, 5, 5), (60, 4, 30), (300, 20, 30), (10**6, 900, 700), (10**6, 5, 400_000), (10**8, 5, 5)]
)
def test_it_equals_the_sum_over_all_tables(statistic, n, a, b):
    k = np.arange(min(a, b) + 1.0)
    rows, left, right = (np.full(len(k), float(x)) for x in (n, a, b))
    probability, value = hypergeom.pmf(k, n, a, b), statistic(k, rows, left, right)
    truth = [probability[value >= one - 1e-6].sum() for one in value]
    ours = exact_where_few(np.full(len(k), 0.5), value, rows, (left, right), statistic)
    likely = probability > 1e-30
    np.testing.assert_allclose(ours[likely], np.minimum(truth, 1.0)[likely], rtol=1e-6)


def test_others_keep_what_they_have():
    p = np.array([0.5, np.nan, 0.5])
    minors = np.array([500.0, 3.0, np.nan]), np.array([500.0, 3.0, 4.0])
    kept = exact_where_few(p, np.ones(3), np.full(3, 1_000.0), minors, chi_square_of_cell)
    np.testing.assert_array_equal(kept, p)
