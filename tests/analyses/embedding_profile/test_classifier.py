"""Classifiers from moments against scikit-learn's from rows; units, dead dimensions, few rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid
from vectors import VECTOR, batch_of, label_coding, merged

from featflow.analyses.embedding_profile.classifier import classifier, shrinkage, within_scale
from featflow.summaries import ClassMomentsSummarizer

LEVELS, WIDTH = ("a", "b", "c", "d"), 8
ROWS = 600


def data(rows=ROWS, seed=0):
    random = np.random.default_rng(seed)
    mixing, centres = (np.random.default_rng(9).normal(size=(size, WIDTH)) for size in (WIDTH, 4))
    classes = random.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])
    return (0.7 * centres[classes] + random.normal(size=(rows, WIDTH)) @ mixing).astype(np.float32), classes


def made_of(values, classes):
    spec = ClassMomentsSummarizer(VECTOR, values.shape[1], label_coding(LEVELS))
    moments = merged(spec, batch_of(values, labels=np.array(LEVELS, object)[classes]), 130)
    return moments, classifier(moments)


def standardised(values, classes):
    values = values.astype(float)
    within = sum(values[classes == k].var(axis=0) * (classes == k).sum() for k in np.unique(classes))
    return values / np.sqrt(within / len(values))


def test_answers_are_those_of_scikit_learn():
    values, classes = data()
    moments, made = made_of(values, classes)
    unit = standardised(values, classes)
    pooled = moments.within / ROWS / np.outer(within_scale(moments), within_scale(moments))
    share = shrinkage(pooled, ROWS - 4)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share).fit(unit, classes)
    new, truth = data(3_000, 1)
    by_prefix, by_probe = made.answers(new)
    new_unit = new / (values / unit)[0]
    np.testing.assert_array_equal(by_probe, theirs.predict(new_unit))
    for prefix, answers in zip(made.prefixes, by_prefix, strict=True):
        centroids = NearestCentroid().fit(unit[:, :prefix], classes)
        np.testing.assert_array_equal(answers, centroids.predict(new_unit[:, :prefix]))
    assert (by_probe == truth).mean() > (truth == 0).mean() + 0.05


def test_shrinkage_is_about_the_best_there_is():
    """Of normal data, the share that brings correlations nearest to the true ones, found by trying."""
    random = np.random.default_rng(2)
    factor = random.normal(size=(30, 2))
    covariance = factor @ factor.T + np.eye(30)
    truth = covariance / np.sqrt(np.outer(np.diagonal(covariance), np.diagonal(covariance)))
    for rows in (20, 100, 1_000):
        tried, ours = np.linspace(0, 1, 101), []
        losses = np.zeros(101)
        for _ in range(20):
            sample = random.multivariate_normal(np.zeros(30), truth, rows, method="cholesky")
            found = np.corrcoef(sample.T)
            off = ~np.eye(30, dtype=bool)
            losses += [(((1 - share) * found - truth)[off] ** 2).sum() for share in tried]
            ours.append(shrinkage(found, rows - 1))
        at_ours = np.interp(np.mean(ours), tried, losses)
        assert at_ours < 1.05 * losses.min()
    assert shrinkage(np.eye(30), 50) == shrinkage(np.ones((1, 1)), 50) == 1.0


def test_units_and_functions_of_dimensions_do_not_matter():
    values, classes = data()
    units = np.array([1e6, 1e-6, 1, 3, 1e3, 7, 1e-3, 1], np.float32)
    new, _ = data(500, 1)
    plain, scaled = made_of(values, classes)[1].answers(new), made_of(values * units, classes)[1].answers(new * units)
    for one, other in zip(plain, scaled, strict=True):
        assert (one == other).mean() > 0.995  # float32 rounds products
    twice = np.hstack([values, 3 * values[:, :2]])
    _, probe = made_of(twice, classes)[1].answers(np.hstack([new, 3 * new[:, :2]]))
    assert (probe == plain[1]).mean() > 0.95


def test_dead_dimensions_are_left_out_and_one_that_tells_all_is_not():
    values, classes = data()
    values[:, 2] = 0.1
    _, made = made_of(values, classes)
    assert made.factor[2] == 0
    new, truth = data(300, 1)
    spoilt = new.copy()
    spoilt[:, 2] = 1e20
    for one, other in zip(made.answers(new), made.answers(spoilt), strict=True):
        np.testing.assert_array_equal(one, other)
    values[:, 2], new[:, 2] = classes, truth  # constant within classes
    by_prefix, by_probe = made_of(values, classes)[1].answers(new)
    np.testing.assert_array_equal(by_prefix[-1], truth)
    np.testing.assert_array_equal(by_probe, truth)


@pytest.mark.parametrize("present", [(), (1,), (0, 3)])
def test_a_class_without_rows_is_never_the_answer(present):
    values, classes = data()
    some = np.isin(classes, present)
    _, made = made_of(values[some], classes[some])
    for answers in made.answers(values):
        assert set(np.unique(answers)) <= set(present or (-1,))


def test_one_row_a_class_is_enough_to_answer():
    values, _ = data(4)
    _, made = made_of(values, np.arange(4))
    by_prefix, by_probe = made.answers(values)
    np.testing.assert_array_equal(by_prefix[-1], np.arange(4))
    np.testing.assert_array_equal(by_probe, np.arange(4))


def test_a_name_says_all_that_decides():
    values, classes = data()
    assert repr(made_of(values, classes)[1]) == repr(made_of(values, classes)[1])
    assert repr(made_of(values, classes)[1]) != repr(made_of(values[1:], classes[1:])[1])
