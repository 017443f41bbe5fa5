"""q-values over all blocks of a table: exact, and of very many p-values never too small."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from featflow.measures import p_values
from featflow.measures.multiple_testing import false_discovery_rates
from featflow.measures.p_values import PValues

PROCEDURES = {"benjamini_hochberg": "bh", "benjamini_yekutieli": "by"}


def merged(p, cuts):
    parts = [PValues.of(part) for part in np.split(p, cuts)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    return whole


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_cutting_into_blocks_changes_nothing(procedure):
    random = np.random.default_rng(0)
    p = np.concatenate([random.random(300) ** 3, [0.25, 0.25, 0.0, 0.0, 1.0]])
    truth = stats.false_discovery_control(p, method=PROCEDURES[procedure])
    for cuts in ([], [1], [0, 7, 7, 200]):
        np.testing.assert_allclose(merged(p, cuts).rates(procedure).of(p), truth, rtol=1e-13)
    with_gaps = np.insert(p, [3, 80], np.nan)
    q = merged(with_gaps, [50]).rates(procedure).of(with_gaps)
    np.testing.assert_array_equal(np.isnan(q), np.isnan(with_gaps))
    np.testing.assert_allclose(q, false_discovery_rates(with_gaps, procedure), rtol=1e-13)


def test_nothing_was_tested():
    assert np.isnan(PValues.of(np.array([np.nan])).rates("benjamini_hochberg").of(np.array([np.nan]))).all()
    assert PValues.of(np.empty(0)).merge(PValues.of(np.array([0.5]))).rates("benjamini_hochberg").of(
        np.array([0.5])
    ).tolist() == [0.5]


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_very_many_are_rounded_up_by_less_than_a_thousandth(procedure, monkeypatch):
    monkeypatch.setattr(p_values, "EXACT", 100)
    random = np.random.default_rng(1)
    p = np.concatenate([random.random(5_000), random.random(500) ** 40, [0.0, 1.0, 5e-324]])
    truth = stats.false_discovery_control(p, method=PROCEDURES[procedure])
    q = merged(p, [50, 3_000]).rates(procedure).of(p)
    assert (q >= truth * (1 - 1e-13)).all()
    normal = p > 1e-300
    assert (q[normal] <= truth[normal] * (1 + 2**-10)).all()
    np.testing.assert_array_equal(q, merged(p, [5_000]).rates(procedure).of(p))  # whatever the blocks


def test_noise_is_rarely_reported_over_all_pairs():
    random = np.random.default_rng(1)
    reported = 0
    for _ in range(200):
        x = random.normal(size=(20, 100))
        r = np.corrcoef(x)[np.triu_indices(20, k=1)]
        p = 2 * ndtr(-np.abs(np.arctanh(r)) * np.sqrt(97))
        reported += merged(p, [100]).rates("benjamini_hochberg").of(p).min() <= 0.05
    assert reported / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
