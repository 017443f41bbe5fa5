"""Projected rows: equal to the fit's numbers in order, to the bit whatever the cut."""

from __future__ import annotations

import numpy as np
import pytest
from vectors import VECTOR, batch_of, merged

from featflow.summaries import Rows, StoredSummarizer
from featflow.transforms.projection.placing import Placing
from featflow.transforms.projection.projection import Projection


def fit_of(kept, centres):
    random = np.random.default_rng(0)
    directions, _ = np.linalg.qr(random.normal(size=(30, 4)))
    return Projection(
        random.normal(size=30), directions.T, kept, 5 * random.normal(size=(centres, 3)), 2 + np.arange(centres)
    )


def spec_of(kept, centres, shard_rows=0):
    return StoredSummarizer(Placing("v", VECTOR, fit_of(kept, centres)), shard_rows)


def rows(count=300):
    return (10 * np.random.default_rng(1).normal(size=(count, 30))).astype(np.float32)


@pytest.mark.parametrize(("kept", "centres"), [(3, 6), (4, 0), (0, 5)])
def test_rows_are_projections_and_clusters(kept, centres):
    values, fit, spec = rows(), fit_of(kept, centres), spec_of(kept, centres)
    absent = np.zeros(300, bool)
    absent[5], values[9, 20] = True, np.nan
    state = merged(spec, batch_of(values, absent=absent), 41)
    for column in state.table.columns:
        assert [row for row, value in enumerate(column.to_pylist()) if value is None] == [5, 9]
    sound = np.delete(np.arange(300), [5, 9])
    found = np.stack([column.to_numpy()[sound] for column in state.table.columns], axis=1)
    centred = values[sound] - fit.centroid
    np.testing.assert_allclose(found[:, :kept], centred @ fit.directions[:kept].T, rtol=0, atol=2e-5)
    if centres:
        distances = np.linalg.norm((centred @ fit.directions[:3].T)[:, None] - fit.centres, axis=2)
        np.testing.assert_array_equal(found[:, kept], 2 + distances.argmin(axis=1))
    assert found.shape[1] == kept + bool(centres) == fit.width


def test_not_a_bit_of_a_row_depends_on_the_rows_beside_it():
    batch, spec = batch_of(rows()), spec_of(4, 6)
    whole = spec.summarize(batch).to_arrow()
    for size in (1, 2, 7, 64, 299):
        assert merged(spec, batch, size).to_arrow().equals(whole)


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(count):
    spec = spec_of(2, 2)
    state = spec.summarize(batch_of(rows(count)))
    back = Rows.from_arrow(state.to_arrow())
    assert back.rows == state.rows == count
    assert back.table.equals(state.table)


def test_the_fit_decides_the_name_of_the_states():
    reprs = {repr(spec_of(kept, centres)) for kept in (1, 2) for centres in (0, 3)}
    assert len(reprs) == 4
    assert repr(spec_of(1, 0, 7)) in reprs
