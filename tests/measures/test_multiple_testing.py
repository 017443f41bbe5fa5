"""P- and q-values against scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, false_discovery_control

from featflow.measures.multiple_testing import false_discovery_rates, gamma_tail


@pytest.mark.parametrize(("procedure", "method"), [("benjamini_hochberg", "bh"), ("benjamini_yekutieli", "by")])
def test_q_values_are_scipys(procedure, method):
    p = np.random.default_rng(1).random(200) ** 3
    p[7] = p[9]
    np.testing.assert_allclose(false_discovery_rates(p, procedure), false_discovery_control(p, method=method))


@pytest.mark.parametrize("procedure", ["benjamini_hochberg", "benjamini_yekutieli"])
def test_hypotheses_not_kept_count_as_one(procedure):
    p = np.random.default_rng(2).random(40) ** 4
    whole = false_discovery_rates(np.concatenate([p, np.ones(160)]), procedure)
    np.testing.assert_allclose(false_discovery_rates(p, procedure, looked_at=200), whole[:40])


def test_nothing_tested_gives_nothing():
    assert np.isnan(false_discovery_rates(np.array([np.nan, np.nan]), "benjamini_hochberg")).all()
    assert len(false_discovery_rates(np.empty(0), "benjamini_hochberg")) == 0


@pytest.mark.parametrize("degrees", [1, 4, 60])
def test_gamma_of_chi_squares_moments_is_chi_square(degrees):
    x = np.linspace(0.1, 3 * degrees, 9)
    ours = gamma_tail(x, np.array(float(degrees)), np.array(2.0 * degrees))
    np.testing.assert_allclose(ours, chi2.sf(x, degrees), rtol=1e-10)
