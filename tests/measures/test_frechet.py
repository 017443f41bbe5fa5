"""Frechet distances against scipy's matrix root, and their p-values on samples of one distribution."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.linalg import sqrtm

from featflow.columns.column import Column, Kind
from featflow.measures.frechet import frechet
from featflow.summaries import VectorMomentsSummarizer


def moments(x):
    spec = VectorMomentsSummarizer(Column("v", "vector", Kind.VECTOR), x.shape[1])
    flat = pa.array(x.astype(np.float32).ravel())
    return spec.summarize(pa.record_batch({"v": pa.FixedSizeListArray.from_arrays(flat, x.shape[1])}))


def drawn(random, n, shift=0.0, d=8):
    return random.normal(size=(n, d)) * np.geomspace(3, 0.1, d) + shift


def test_against_the_formula():
    random = np.random.default_rng(1)
    left, right = drawn(random, 300), drawn(random, 500, 0.4) @ np.linalg.qr(random.normal(size=(8, 8)))[0]
    left, right = left.astype(np.float32).astype(float), right.astype(np.float32).astype(float)
    before, now = np.cov(left.T), np.cov(right.T)
    gap = left.mean(axis=0) - right.mean(axis=0)
    exact = gap @ gap + np.trace(before + now - 2 * sqrtm(before @ now).real)
    value, p_value = frechet(moments(left), moments(right))
    assert value == pytest.approx(exact / np.trace(before), rel=1e-9)
    assert p_value < 1e-9


def test_samples_of_one_distribution_have_honest_p_values():
    random = np.random.default_rng(4)
    p_values = np.array([frechet(moments(drawn(random, 400)), moments(drawn(random, 600)))[1] for _ in range(300)])
    assert p_values.mean() == pytest.approx(0.5, abs=0.06)
    assert (p_values <= 0.05).mean() == pytest.approx(0.05, abs=0.035)


def test_the_same_vectors_are_no_distance_though_there_are_fewer_than_dimensions():
    few = moments(np.random.default_rng(2).normal(size=(5, 20)))
    value, p_value = frechet(few, few)
    assert value == pytest.approx(0, abs=1e-6)
    assert p_value > 0.99


def test_what_has_no_variance_has_no_distance():
    one, same = moments(np.ones((1, 3))), moments(np.ones((4, 3)))
    assert np.isnan(frechet(one, same)).all()
    assert np.isnan(frechet(same, same)).all()
