"""What a fit makes of vectors, against matrix products; its name."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.columns.hashing import array_digest
from featflow.transforms.projection.projection import Projection, nearest


def fit_of(seed=0, kept=2, centres=3):
    random = np.random.default_rng(seed)
    return Projection(
        random.normal(size=8), random.normal(size=(4, 8)), kept, random.normal(size=(centres, 3)), np.arange(centres)
    )


def test_projections_are_matrix_products():
    fit, vectors = fit_of(), np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    truth = (vectors - fit.centroid) @ fit.directions.T
    np.testing.assert_allclose(fit.project(vectors), truth, rtol=0, atol=1e-13)
    columns = fit.columns(vectors)
    assert columns.dtype == np.float32
    np.testing.assert_allclose(columns[:, :2], truth[:, :2], rtol=0, atol=1e-5)
    distances = ((truth[:, None, :3] - fit.centres) ** 2).sum(axis=2)
    np.testing.assert_array_equal(columns[:, 2], distances.argmin(axis=1))


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize(("kept", "centres", "width"), [(2, 3, 3), (0, 3, 1), (4, 0, 4), (0, 0, 0)])
def test_few_rows_and_few_columns(rows, kept, centres, width):
    fit = fit_of(0, kept, centres)
    assert fit.columns(np.zeros((rows, 8), np.float32)).shape == (rows, width)
    assert fit.width == width


def test_of_centres_as_near_the_first_is_taken():
    assert nearest(np.zeros((2, 1)), np.array([[1.0], [-1.0], [1.0]])).tolist() == [0, 0]


def test_a_name_says_all_that_decides():
    names = {repr(fit_of(seed, kept, centres)) for seed in (0, 1) for kept in (1, 2) for centres in (0, 3)}
    assert len(names) == 8
    assert repr(fit_of()) == repr(fit_of())
    assert len(repr(fit_of())) < 40
    some = np.arange(6.0)
    assert len({array_digest(each) for each in (some, some.reshape(2, 3), some.astype(int), some.reshape(3, 2))}) == 4
    assert array_digest(some, some) != array_digest(np.concatenate([some, some]))
