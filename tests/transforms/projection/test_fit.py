"""Directions against scikit-learn's, planted clusters, and what neither may depend on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from vectors import CONTENT, VECTOR, batch_of, merged

from featflow.summaries import VectorMomentsSummarizer, VectorSampleSummarizer
from featflow.transforms.projection.fit import fit, principal_directions

ROWS, WIDTH = 1_500, 12


def states(values, *, size=400, order=None, sample=2048, names=None):
    order = np.arange(len(values)) if order is None else order
    names = np.arange(len(values)) if names is None else names
    batch, width = batch_of(values[order], names=names[order]), values.shape[1]
    moments = merged(VectorMomentsSummarizer(VECTOR, width), batch, size)
    return moments, merged(VectorSampleSummarizer(VECTOR, CONTENT, width, size=sample), batch, size)


def correlated(offset=0.0):
    random = np.random.default_rng(0)
    scales = 2.0 ** -np.arange(WIDTH)
    rotation, _ = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))
    return ((random.normal(size=(ROWS, WIDTH)) * scales) @ rotation + offset).astype(np.float32)


def planted(clusters=6):
    random = np.random.default_rng(1)
    truth = random.choice(clusters, ROWS, p=np.arange(1, clusters + 1) / (clusters * (clusters + 1) / 2))
    return (8 * random.normal(size=(clusters, WIDTH))[truth] + random.normal(size=(ROWS, WIDTH))).astype(
        np.float32
    ), truth


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_projections_are_those_of_scikit_learn_up_to_sign(offset):
    values = correlated(offset)
    theirs = PCA(5, svd_solver="full").fit(values.astype(float))
    made = fit(*states(values), 5, 0)
    assert made.directions.shape == (5, WIDTH)
    for ours, truth in zip(made.directions, theirs.components_, strict=True):
        sign = np.sign(truth[np.abs(truth).argmax()])
        np.testing.assert_allclose(ours, sign * truth, rtol=0, atol=2e-6)
        assert ours[np.abs(ours).argmax()] > 0
    signs = np.sign((made.directions * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(made.columns(values), theirs.transform(values) * signs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(principal_directions(states(values)[0])[1][:5], theirs.explained_variance_, rtol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 4.0])
def test_directions_are_as_many_as_the_rank(offset):
    random = np.random.default_rng(2)
    factors, loadings = random.integers(-8, 9, (ROWS, 3)), random.integers(-8, 9, (3, WIDTH))
    values = (factors @ loadings + offset).astype(np.float32)  # whole numbers: rank 3 exactly
    made = fit(*states(values), 10, 0)
    assert made.kept == len(made.directions) == 3
    centred = values - values.mean(axis=0, dtype=float)
    np.testing.assert_allclose(made.project(values) @ made.directions, centred, rtol=0, atol=1e-3)


def test_planted_clusters_are_found_and_go_by_the_leading_direction():
    values, truth = planted()
    made = fit(*states(values), 2, 6)
    found = made.columns(values)[:, 2].astype(int)
    assert adjusted_rand_score(truth, found) > 0.99
    assert (np.diff(made.centres[:, 0]) > 0).all()
    assert (made.labels.tolist(), made.numbers) == ([0, 1, 2, 3, 4, 5], 6)
    assert made.width == 3


def test_clusters_are_as_tight_as_those_of_scikit_learn():
    values = correlated()
    made = fit(*states(values), 2, 8)
    used = made.centres.shape[1]
    assert used == 3  # m of them hold about 1 - 4^-m of the variance
    points = made.project(values)[:, :used]
    theirs = KMeans(8, n_init=10, random_state=0).fit(points)
    ours = ((points[:, None] - made.centres) ** 2).sum(axis=2).min(axis=1).sum()
    assert ours < 1.03 * theirs.inertia_


def test_not_a_bit_depends_on_order_or_cut():
    values, _ = planted()
    made = fit(*states(values, sample=500), 4, 5)
    for seed, size in ((3, 1_500), (4, 111), (5, 7)):
        order = np.random.default_rng(seed).permutation(ROWS)
        assert repr(fit(*states(values, order=order, size=size, sample=500), 4, 5)) == repr(made)


def test_fewer_pictures_than_clusters_give_a_cluster_each():
    values = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 1.0]], np.float32), [30, 20, 10], axis=0)
    made = fit(*states(values, names=np.repeat([1, 2, 3], [30, 20, 10])), 2, 10)
    assert len(made.centres) == 3
    assert len(set(made.columns(values)[:, 2].tolist())) == 3


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_vectors_that_do_not_vary_have_neither(rows):
    made = fit(*states(np.full((rows, 3), 0.1, np.float32)), 4, 4)
    assert made.width == made.kept == 0
    assert made.directions.shape == (0, 3)


def test_clusters_may_use_more_directions_than_are_kept():
    values, truth = planted()
    made = fit(*states(values), 1, 6)
    assert made.kept == 1
    assert len(made.directions) == made.centres.shape[1] > 1
    assert adjusted_rand_score(truth, made.columns(values)[:, 1]) > 0.99


def test_clusters_that_are_found_again_keep_their_numbers():
    """Whichever is the largest, and wherever the directions point: three stay, one goes, two come."""
    random = np.random.default_rng(3)
    places = 20 * random.normal(size=(6, WIDTH))

    def around(shares):
        truth = random.choice(6, ROWS, p=shares)
        return (places[truth] + random.normal(size=(ROWS, WIDTH))).astype(np.float32), truth

    values, truth = around([0.4, 0.3, 0.2, 0.1, 0, 0])
    before = fit(*states(values), 2, 4)
    number = {each: int(before.columns(values[truth == each])[0, 2]) for each in range(4)}
    values, truth = around([0.05, 0.15, 0, 0.2, 0.3, 0.3])
    after = fit(*states(values), 3, 5, before)
    found = after.columns(values)[:, 3].astype(int)
    for each in (0, 1, 3):
        assert set(found[truth == each]) == {number[each]}
    assert {*found[truth == 4], *found[truth == 5]} == {4, 5}, "2 is not given to another"
    assert (sorted(after.labels), after.numbers) == (sorted([number[0], number[1], number[3], 4, 5]), 6)
    again = fit(*states(values), 3, 5, after)
    assert np.array_equal(again.labels, after.labels)
    assert again.numbers == 6
