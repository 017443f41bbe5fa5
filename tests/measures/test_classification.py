"""Rows that a classifier gets right, against scikit-learn's classifiers on the same rows."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from featflow.measures.classification import Classifier, classified, prefix_lengths

WIDTH = 6


def data(rows=800):
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, rows)
    centres = random.normal(size=(3, WIDTH))
    return (centres[classes] + random.normal(size=(rows, WIDTH))).astype(np.float32), classes


def classifier_of(means, weights, bias, n=(5, 5, 5, 0)):
    width = means.shape[1]
    return Classifier(np.array(n), np.zeros(width), np.ones(width), means, prefix_lengths(width), weights, bias)


def counts(classifier, values, classes, size=97):
    ones = np.ones(len(classes), np.int64)
    pieces = [slice(start, start + size) for start in range(0, len(classes), size)]
    found = [classified(classifier, values[each].astype(float), classes[each], ones[each]) for each in pieces]
    return reduce(lambda left, right: left.merge(right), found)


@pytest.mark.parametrize("size", [1, 97, 800])
def test_counts_are_those_of_other_peoples_classifiers(size):
    values, classes = data()
    means = np.array([values[classes == index].mean(axis=0, dtype=float) for index in range(3)])
    random = np.random.default_rng(1)
    weights, bias = random.normal(size=(WIDTH, 4)), random.normal(size=4)
    state = counts(classifier_of(np.vstack([means, np.zeros(WIDTH)]), weights, bias), values, classes, size)
    np.testing.assert_array_equal(state.n, np.bincount(classes, minlength=4))
    for row, prefix in zip(state.nearest, (1, 2, 4, 6), strict=True):
        theirs = NearestCentroid().fit(values[:, :prefix].astype(float), classes).predict(values[:, :prefix])
        np.testing.assert_array_equal(row, np.bincount(classes[theirs == classes], minlength=4))
    by_probe = (values @ weights[:, :3] + bias[:3]).argmax(axis=1)
    np.testing.assert_array_equal(state.probe, np.bincount(classes[by_probe == classes], minlength=4))


def test_a_dimension_of_factor_zero_is_left_out():
    values, _ = data()
    made = classifier_of(np.eye(4, WIDTH), np.eye(WIDTH, 4), np.zeros(4))
    fields = {name: getattr(made, name) for name in ("n", "origin", "means", "prefixes", "weights", "bias")}
    without = Classifier(**fields, factor=np.array([1.0, 1.0, 1.0, 1.0, 0.0, 1.0]))
    spoilt = values.copy()
    spoilt[:, 4] = 1e30
    for one, other in zip(without.answers(values), without.answers(spoilt), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_class_that_was_never_seen_is_never_right():
    values, classes = data()
    means, weights = np.zeros((4, WIDTH)), np.zeros((WIDTH, 4))  # every known class is as good as the next
    state = counts(classifier_of(means, weights, np.zeros(4), (0, 3, 3, 0)), values, classes)
    right = np.array([0, (classes == 1).sum(), 0, 0])
    np.testing.assert_array_equal(state.probe, right)
    np.testing.assert_array_equal(state.nearest, np.tile(right, (4, 1)))
    none = counts(classifier_of(means, weights, np.zeros(4), (0, 0, 0, 0)), values, classes)
    assert not none.probe.any()
    assert not none.nearest.any()
    assert none.n.sum() == 800


def test_an_entry_counts_for_its_rows():
    values, classes = data()
    made = classifier_of(np.eye(4, WIDTH), np.eye(WIDTH, 4), np.zeros(4))
    several = np.random.default_rng(2).integers(1, 5, len(values))
    repeated = counts(made, values.repeat(several, axis=0), classes.repeat(several))
    once = classified(made, values.astype(float), classes, several)
    for name in ("n", "nearest", "probe"):
        np.testing.assert_array_equal(getattr(once, name), getattr(repeated, name))


@pytest.mark.parametrize(("width", "lengths"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_prefixes_end_with_the_width(width, lengths):
    assert prefix_lengths(width).tolist() == lengths
