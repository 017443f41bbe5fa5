"""Moments of vectors against numpy in extended precision, far from 0 too; counts of what has no moments."""

from __future__ import annotations

import numpy as np
import pytest
from vectors import VECTOR, batch_of, merged, same

from featflow.summaries import VectorMoments, VectorMomentsSummarizer
from featflow.summaries.vector_moments import NORM_EDGES

SPEC = VectorMomentsSummarizer(VECTOR, 4)


def values_of(rows=700, offset=0.0, scale=1.0):
    random = np.random.default_rng(0)
    values = scale * random.normal(size=(rows, 4)) @ random.normal(size=(4, 4)) + offset
    values[:, 2] = 0.1
    return values.astype(np.float32)


@pytest.mark.parametrize("size", [1, 33, 700])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e4, 1.0), (0.0, 1e-30), (1e30, 1e28)])
def test_moments_are_those_of_numpy(size, offset, scale):
    values = values_of(700, offset, scale)
    state = merged(SPEC, batch_of(values), size)
    exact = values.astype(np.longdouble)
    truth = np.cov(exact.T, ddof=0) * len(values)
    assert state.rows == state.n == len(values)
    np.testing.assert_allclose(state.mean, exact.mean(axis=0).astype(float), rtol=1e-14, atol=1e-14 * scale)
    np.testing.assert_allclose(state.comoments, truth.astype(float), rtol=1e-10, atol=1e-11 * float(truth.max()))
    np.testing.assert_array_equal(state.low, values.min(axis=0))
    np.testing.assert_array_equal(state.high, values.max(axis=0))
    assert (state.comoments == state.comoments.T).all()


@pytest.mark.parametrize("size", [1, 33, 700])
def test_a_dead_dimension_has_no_spread_by_a_bit(size):
    state = merged(SPEC, batch_of(values_of()), size)
    assert (state.low == state.high).tolist() == [False, False, True, False]
    assert not state.comoments[2].any()
    assert state.mean[2] == np.float32(0.1)


def test_lengths_fall_between_their_edges():
    random = np.random.default_rng(1)
    values = (random.normal(size=(500, 4)) * np.exp2(random.integers(-40, 126, 500))[:, None]).astype(np.float32)
    values[0], values[1], values[2] = 0.0, np.finfo(np.float32).max, [3.0, 4.0, 0.0, 0.0]
    state = merged(SPEC, batch_of(values), 70)
    lengths = np.linalg.norm(values.astype(np.float64), axis=1)
    truth, _ = np.histogram(lengths, NORM_EDGES)
    np.testing.assert_array_equal(state.norms, truth)
    assert state.norms.sum() == 500
    assert (np.diff(NORM_EDGES) > 0).all()


def test_what_is_absent_or_not_finite_is_counted_and_changes_nothing_else():
    values = values_of(60)
    spoilt, absent = values.repeat(2, axis=0), np.zeros(120, bool)
    spoilt[1::4, 1] = np.nan
    absent[3::4] = True
    spoilt[5, 0], spoilt[9, 3] = np.inf, -np.inf
    for size in (1, 7, 120):
        state, clean = merged(SPEC, batch_of(spoilt, absent=absent), size), merged(SPEC, batch_of(values), 60)
        assert (state.rows, state.absent, state.nonfinite, state.n) == (120, 30, 30, 60)
        np.testing.assert_allclose(state.comoments, clean.comoments, rtol=1e-12, atol=1e-12 * clean.comoments.max())
        np.testing.assert_array_equal(state.norms, clean.norms)


@pytest.mark.parametrize("values", [np.zeros((0, 4)), np.full((1, 4), 3.0), np.full((3, 4), np.nan)])
def test_few_rows(values):
    state = SPEC.summarize(batch_of(values))
    assert (state.rows, state.n) == (len(values), int(np.isfinite(values[:, 0]).sum()))
    assert not state.comoments.any()
    assert same(VectorMoments.from_arrow(state.to_arrow()), state)
    assert same(SPEC.empty().merge(state), state)
