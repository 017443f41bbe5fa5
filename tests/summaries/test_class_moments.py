"""Moments of classes against numpy, class by class."""

from __future__ import annotations

import numpy as np
import pytest
from vectors import VECTOR, batch_of, label_coding, merged

from featflow.summaries import ClassMomentsSummarizer

LEVELS = ("a", "b", "c", "never")
SPEC = ClassMomentsSummarizer(VECTOR, 5, label_coding(LEVELS))


def data(rows=600):
    random = np.random.default_rng(0)
    classes = random.choice([0, 1, 1, 1, 2], rows)
    values = random.normal(size=(rows, 5)) * [1, 10, 1e-3, 1, 1] + 100 * classes[:, None]
    values[:, 3] = 7.0
    return values.astype(np.float32), np.array(LEVELS, object)[classes]


@pytest.mark.parametrize("size", [1, 50, 600])
def test_moments_are_those_of_each_class(size):
    values, labels = data()
    state = merged(SPEC, batch_of(values, labels=labels), size)
    within = np.zeros((5, 5))
    for index, level in enumerate((*LEVELS, "beyond")):  # the last class is of levels that the coding does not know
        some = values[labels == level].astype(np.float64)
        assert state.n[index] == len(some)
        if len(some):
            np.testing.assert_allclose(state.mean[index], some.mean(axis=0), rtol=1e-13)
            np.testing.assert_allclose(state.scatter[index], some.var(axis=0) * len(some), rtol=1e-9, atol=1e-12)
            within += np.cov(some.T, ddof=0) * len(some)
    np.testing.assert_allclose(state.within, within, rtol=1e-9, atol=1e-12 * within.max())
    np.testing.assert_allclose(np.diagonal(state.within), state.scatter.sum(axis=0), rtol=1e-10)
    assert not state.within[3].any()


def test_rows_without_class_or_vector_take_no_part():
    values, labels = data(90)
    values, labels = values.repeat(3, axis=0), labels.repeat(3)
    absent = np.zeros(270, bool)
    labels[1::3] = None
    values[2::6, 0], absent[5::6] = np.nan, True
    state = merged(SPEC, batch_of(values, labels=labels, absent=absent), 40)
    clean = SPEC.summarize(batch_of(values[::3], labels=labels[::3]))
    assert state.rows == 270
    np.testing.assert_array_equal(state.n, clean.n)
    np.testing.assert_allclose(state.within, clean.within, rtol=1e-10, atol=1e-12 * clean.within.max())


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows):
    values, labels = data(rows)
    state = SPEC.summarize(batch_of(values, labels=labels))
    assert state.n.sum() == rows
    assert not state.within.any()
