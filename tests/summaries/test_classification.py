"""Rows that a classifier gets right, against scikit-learn's classifiers on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid
from vectors import VECTOR, batch_of, label_coding, merged

from featflow.summaries import ClassificationSummarizer, Classifier
from featflow.summaries.classification import prefix_lengths

LEVELS, WIDTH = ("a", "b", "c"), 6
CODING = label_coding(LEVELS)


def data(rows=800):
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, rows)
    centres = random.normal(size=(3, WIDTH))
    return (centres[classes] + random.normal(size=(rows, WIDTH))).astype(np.float32), classes


def classifier_of(means, weights, bias, n=(5, 5, 5, 0)):
    width = means.shape[1]
    return Classifier(np.array(n), np.zeros(width), np.ones(width), means, prefix_lengths(width), weights, bias)


def counts(classifier, values, classes, size=97):
    spec = ClassificationSummarizer(VECTOR, values.shape[1], CODING, classifier)
    return merged(spec, batch_of(values, labels=np.array(LEVELS, object)[classes]), size)


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


def test_rows_without_class_or_finite_vector_do_not_count():
    values, classes = data(40)
    labels, absent = np.array(LEVELS, object)[classes], np.zeros(40, bool)
    labels[::4], absent[1::4], values[2::4, 3] = None, True, np.nan
    made = classifier_of(np.zeros((4, WIDTH)), np.zeros((WIDTH, 4)), np.zeros(4))
    spec = ClassificationSummarizer(VECTOR, WIDTH, CODING, made)
    state = merged(spec, batch_of(values, labels=labels, absent=absent), 9)
    assert (state.rows, state.n.sum()) == (40, 10)


@pytest.mark.parametrize(("width", "lengths"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_prefixes_end_with_the_width(width, lengths):
    assert prefix_lengths(width).tolist() == lengths
