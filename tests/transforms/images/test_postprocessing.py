"""What is done to vectors before they are kept, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.transforms.images.postprocessing import Postprocessing

VECTORS = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)


def test_nothing_is_done_unless_it_is_asked_for():
    postprocessing = Postprocessing()
    assert (postprocessing.name, postprocessing.width(12)) == ("", 12)
    np.testing.assert_array_equal(postprocessing.apply(VECTORS), VECTORS)


@pytest.mark.parametrize("prefix", [1, 5, 12])
def test_a_prefix_is_taken_before_lengths_are_made_1(prefix):
    postprocessing = Postprocessing(prefix, normalize=True)
    found = postprocessing.apply(VECTORS)
    assert found.shape == (50, postprocessing.width(12)) == (50, prefix)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found, VECTORS[:, :prefix] / np.linalg.norm(VECTORS[:, :prefix], axis=1)[:, None], 1e-6)


def test_float16_is_a_rounding():
    found = Postprocessing(dtype="float16").apply(VECTORS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VECTORS.astype(np.float16).astype(np.float32))
    assert np.isposinf(Postprocessing(dtype="float16").apply(np.array([[1e6]], np.float32))).all()


def test_vectors_that_have_no_length_stay_as_they_are():
    odd = np.array([[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [3e38, 3e38]], np.float32)
    found = Postprocessing(normalize=True).apply(odd)
    np.testing.assert_array_equal(found[0], [0, 0])
    assert not np.isfinite(found[1:3]).all(axis=1).any()
    np.testing.assert_allclose(found[3], np.sqrt([0.5, 0.5]), rtol=1e-6)


def test_an_id_says_what_was_done():
    assert Postprocessing(64, normalize=True, dtype="float16").name == ";prefix=64;normalized;float16"
