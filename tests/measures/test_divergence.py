"""Divergences against numpy and scipy on raw rows, within the error they state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from featflow.columns.sort_keys import sortable_keys
from featflow.measures import divergence
from featflow.summaries.value_histograms import Histogram

FINE, COARSE = 2**20, 200
"""Cells: every value its own, and few enough that values share them."""


def histogram(values, cells):
    return Histogram.of_keys(np.sort(sortable_keys(values)), values.dtype.name, cells)


def samples(kind, seed=5, n=4_000, m=3_000):
    random = np.random.default_rng(seed)
    left, right = random.normal(10, 3, n), random.normal(10.5, 4, m)
    if kind == "int64":
        return left.round().astype(np.int64), right.round().astype(np.int64)
    return left.astype(kind), right.astype(kind)


@pytest.mark.parametrize("kind", ["float64", "float32", "int64"])
@pytest.mark.parametrize("cells", [FINE, COARSE])
def test_numbers_against_scipy_on_raw_values(kind, cells):
    left, right = samples(kind)
    both = divergence.aligned(histogram(left, cells), histogram(right, cells))
    value, error, p_value = divergence.kolmogorov_smirnov(both)
    exact = stats.ks_2samp(left, right, method="asymp")
    assert value - 1e-12 <= exact.statistic <= value + error + 1e-12
    low, high = min(left.min(), right.min()), max(left.max(), right.max())
    distance, bound = divergence.wasserstein(both, kind, float(low), float(high))
    assert abs(distance - stats.wasserstein_distance(left, right)) <= bound + 1e-9
    if cells == FINE or kind == "int64":
        assert (error, bound) == (0.0, 0.0)
        assert p_value == pytest.approx(exact.pvalue, rel=0.05)
    else:
        assert 0 < error < 0.06
        assert 0 < bound < 0.5


def test_a_coarse_histogram_and_a_fine_one_meet_at_the_coarser_resolution():
    left, right = samples("float64")
    mixed = divergence.aligned(histogram(left, COARSE), histogram(right, FINE))
    assert (mixed.reference.sum(), mixed.current.sum()) == (len(left), len(right))
    value, error, _ = divergence.kolmogorov_smirnov(mixed)
    assert value <= stats.ks_2samp(left, right).statistic <= value + error


@pytest.mark.parametrize("seed", range(5))
def test_counts_against_their_formulas(seed):
    random = np.random.default_rng(seed)
    reference, current = random.poisson(40, 12), random.poisson(random.uniform(5, 80, 12))
    reference[3] = current[7] = 0
    p, q = (reference + 0.5) / (reference + 0.5).sum(), (current + 0.5) / (current + 0.5).sum()
    assert divergence.population_stability(reference, current) == pytest.approx(np.sum((p - q) * np.log(p / q)))
    assert divergence.jensen_shannon(reference, current) == pytest.approx(jensenshannon(reference, current) ** 2)
    shares = np.abs(reference / reference.sum() - current / current.sum())
    assert divergence.l_infinity(reference, current) == pytest.approx(shares.max())


def test_chi_square_is_the_usual_one_where_counts_are_large():
    random = np.random.default_rng(2)
    for _ in range(20):
        table = random.multinomial(20_000, np.full(10, 0.1), size=2)
        exact = stats.chi2_contingency(table, correction=False).pvalue
        assert divergence.same_counts(*table) == pytest.approx(exact, abs=2e-3)


def test_bins_that_both_lack_change_nothing():
    reference, current = np.array([30, 0, 70]), np.array([50, 0, 50])
    for measure in (divergence.population_stability, divergence.jensen_shannon, divergence.same_counts):
        assert measure(reference, current) == pytest.approx(measure(reference[[0, 2]], current[[0, 2]]), rel=1e-12)


@pytest.mark.parametrize("counts", [[5], [1, 0], [3, 4, 0, 9]])
def test_the_same_counts_are_no_distance(counts):
    counts = np.array(counts)
    assert divergence.population_stability(counts, counts) == 0
    assert divergence.jensen_shannon(counts, counts) == 0
    assert divergence.l_infinity(counts, counts) == 0
    assert divergence.same_counts(counts, counts) == 1


def test_no_rows_are_no_number():
    nothing, some = np.zeros(3, np.int64), np.array([1, 2, 3])
    assert np.isnan(divergence.same_counts(nothing, some))
    assert np.isnan(divergence.unseen(some, nothing)).all()
    empty = Histogram("float64", 0, np.empty(0, np.uint64), np.empty(0, np.int64))
    both = divergence.aligned(histogram(np.array([1.0]), FINE), empty)
    assert np.isnan(divergence.kolmogorov_smirnov(both)).all()
    assert np.isnan(divergence.wasserstein(both, "float64", 1.0, 1.0)).all()


def test_rare_categories_that_chance_makes_new_are_no_news():
    """Two samples of one long tail: the expected share is right, and p-values below 0.01 come in about 1 %."""
    random = np.random.default_rng(8)
    weights = 1 / np.arange(1, 3_001)
    found = []
    for _ in range(400):
        seen, counts = random.multinomial(2_000, weights / weights.sum(), size=2)
        found.append(divergence.unseen(seen, counts))
    share, expected, p_values = np.array(found).T
    assert share.mean() == pytest.approx(expected.mean(), rel=0.01)
    assert share.mean() > 0.1
    assert (p_values <= 0.01).mean() <= 0.02
    assert (p_values <= 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_extremes_of_64_bits_are_measured():
    values = np.array([-(2**63), 0, 2**63 - 1])
    both = divergence.aligned(histogram(values, 2), histogram(values[:2], 2))
    value, error, _ = divergence.kolmogorov_smirnov(both)
    assert value - 1e-12 <= 1 / 3 <= value + error + 1e-12
    distance, bound = divergence.wasserstein(both, "int64", float(values[0]), float(values[-1]))
    assert abs(distance - stats.wasserstein_distance(values.astype(float), values[:2].astype(float))) <= bound
