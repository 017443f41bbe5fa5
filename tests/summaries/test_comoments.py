"""Second moments against sums over each pair's own rows, in extended precision; shapes, pieces of rows, origins."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from threadpoolctl import threadpool_limits

from featflow.columns.binning import number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.columns.sort_keys import sortable_keys
from featflow.summaries import CoMoments, CoMomentsSummarizer, moment_products

ROWS = 3_000
WEIGHT = Column("w", "float64", Kind.NUMBER)


def columns():
    """Three columns without missing values and three with some, of several scales."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6, ROWS))
    x[1] += 0.5 * x[0]
    x[4] -= x[1]
    x *= np.array([1.0, 1e-6, 1e6, 1.0, 3.0, 1.0])[:, None]
    x[3:][random.random((3, ROWS)) < 0.2] = np.nan
    return x


def coding(index):
    column = Column(f"c{index}", "float64", Kind.NUMBER)
    return number_coding(column, sortable_keys(np.zeros(1)), np.array([1]), 0, (64, 16))


def spec_of(left, right, weight=None):
    return CoMomentsSummarizer(tuple(coding(i) for i in left), tuple(coding(i) for i in right), weight)


def batch_of(x, weights=None):
    arrays = {f"c{index}": pa.array(row) for index, row in enumerate(x)}
    return pa.record_batch(arrays | ({} if weights is None else {"w": pa.array(weights)}))


def assert_true(state, x, left, right, *, weights=None, tolerance=1e-12):
    weights = np.ones(x.shape[1]) if weights is None else weights
    state = state.full()
    for row, i in enumerate(left):
        for column, j in enumerate(right):
            rows = np.isfinite(x[i]) & np.isfinite(x[j])
            w, a, b = (array[rows].astype(np.longdouble) for array in (weights, x[i], x[j]))
            mean_a, mean_b = ((w * array).sum() / w.sum() for array in (a, b))
            a, b = a - mean_a, b - mean_b
            at = row, column
            assert state.n[at] == rows.sum()
            assert state.total[at] == pytest.approx(float(w.sum()), rel=1e-13)
            scale_a, scale_b = (float(np.sqrt((w * array**2).sum())) for array in (a, b))
            size_a, size_b = (
                scale / np.sqrt(len(a)) + abs(mean) for scale, mean in ((scale_a, mean_a), (scale_b, mean_b))
            )
            assert state.left_mean[at] == pytest.approx(float(mean_a), abs=tolerance * float(size_a))
            assert state.right_mean[at] == pytest.approx(float(mean_b), abs=tolerance * float(size_b))
            assert state.left_m2[at] == pytest.approx(scale_a**2, rel=tolerance)
            assert state.right_m2[at] == pytest.approx(scale_b**2, rel=tolerance)
            assert state.c[at] == pytest.approx(float((w * a * b).sum()), abs=tolerance * scale_a * scale_b)


BLOCKS = [((0, 1, 2), (0, 1, 2)), (range(6), range(6)), ((0, 1), (2, 4)), ((3, 4), (0, 1)), ((0, 3), (4, 1, 5))]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("left", "right"), BLOCKS)
def test_moments_are_those_of_each_pairs_rows(left, right, weighted, monkeypatch):
    monkeypatch.setattr(moment_products, "PIECE_BYTES", 1)
    monkeypatch.setattr(moment_products, "LONG_PIECE", 700)
    x = columns()
    weights = np.random.default_rng(1).exponential(size=ROWS) if weighted else None
    spec = spec_of(left, right, WEIGHT if weighted else None)
    assert_true(spec.summarize(batch_of(x, weights)), x, left, right, weights=weights)


def test_arrays_are_as_small_as_missing_values_let_them_be():
    batch = batch_of(columns())
    shapes = {
        ((0, 1, 2), (0, 1, 2)): ((1, 1), (3, 1), (1, 3)),
        ((0, 1), (2, 4)): ((1, 2), (2, 2), (1, 2)),
        ((3, 4), (0, 1)): ((2, 1), (2, 1), (2, 2)),
        ((0, 3), (4, 5)): ((2, 2), (2, 2), (2, 2)),
    }
    for (left, right), (n, of_left, of_right) in shapes.items():
        state = spec_of(left, right).summarize(batch)
        assert (state.n.shape, state.left_mean.shape, state.right_m2.shape) == (n, of_left, of_right)
        assert state.c.shape == (len(left), len(right))
        back = CoMoments.from_arrow(state.to_arrow())
        assert [a.shape for _, a in back._arrays()] == [a.shape for _, a in state._arrays()]


@pytest.mark.parametrize("weighted", [False, True])
def test_batches_with_and_without_missing_values_merge(weighted):
    x = columns()
    x[:, :1_000] = np.nan_to_num(x[:, :1_000])
    x[2, 2_500:] = np.nan
    weights = np.random.default_rng(1).exponential(size=ROWS) if weighted else None
    spec = spec_of(range(6), range(6), WEIGHT if weighted else None)
    batch = batch_of(x, weights)
    parts = [spec.summarize(batch.slice(start, 500)) for start in range(0, ROWS, 500)]
    for order in (parts, parts[::-1]):
        state = spec.empty()
        for part in order:
            state = state.merge(part)
        assert_true(state, x, range(6), range(6), weights=weights)


@pytest.mark.parametrize("offset", [1e4, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_far_from_the_centre_keep_their_digits(offset, weighted):
    """The centre is 0; the offset is a whole number, so values hold it exactly but for their own last digit."""
    x = columns()
    x[[1, 2]] *= np.array([[1e6], [1e-6]])
    x += offset
    weights = np.random.default_rng(1).exponential(size=ROWS) if weighted else None
    spec = spec_of(range(6), range(6), WEIGHT if weighted else None)
    assert_true(spec.summarize(batch_of(x, weights)), x, range(6), range(6), weights=weights)


def test_a_column_that_moves_within_a_batch_keeps_its_digits(monkeypatch):
    """The first rows say nothing of the others: all missing, at the centre, or of another scale."""
    monkeypatch.setattr(moment_products, "FIRST_ROWS", 10)
    x = columns()
    x[[1, 2]] *= np.array([[1e6], [1e-6]])
    x[0, 10:] += 1e8
    x[1] = np.arange(ROWS) * 1e3 + x[1]
    x[3, 10:] += 1e8
    x[4, :10], x[4, 10:] = np.nan, x[4, 10:] + 1e8
    spec = spec_of(range(6), range(6))
    assert_true(spec.summarize(batch_of(x)), x, range(6), range(6), tolerance=1e-11)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_pair_whose_rows_lie_elsewhere_is_computed_about_their_mean(scale):
    """Where the partner is there a column is small, elsewhere 1e10: its mean says nothing of the pair."""
    random = np.random.default_rng(2)
    missing = random.random(ROWS) < 0.6
    x = np.stack([np.where(missing, 1e10, scale * random.normal(size=ROWS) + 3.0 * scale), random.normal(size=ROWS)])
    x[1][missing] = np.nan
    x[1] += np.where(missing, 0.0, x[0] / scale)
    for left, right in (((0, 1), (0, 1)), ((0,), (1,)), ((1,), (0,))):
        state = spec_of(left, right).summarize(batch_of(x))
        full, truth = state.full(), np.corrcoef(x[:, ~missing])[0, 1]
        ours = full.c / np.sqrt(full.left_m2 * full.right_m2)
        mixed = np.not_equal.outer(left, right)
        np.testing.assert_allclose(ours[mixed], truth, rtol=0, atol=1e-12)


def test_bits_do_not_depend_on_threads():
    random = np.random.default_rng(3)
    x = random.normal(size=(60, 4_000))
    x[50:][random.random((10, 4_000)) < 0.1] = np.nan
    batch, threads = batch_of(x), torch.get_num_threads()
    for left, right in ((range(60), range(60)), (range(30), range(30, 60)), (range(4), range(40, 60))):
        spec, found = spec_of(left, right), []
        for count in (1, 2):
            torch.set_num_threads(count)
            with threadpool_limits(count):
                found.append(spec.summarize(batch).to_arrow())
        torch.set_num_threads(threads)
        assert found[0].equals(found[1], check_metadata=True)


def test_integers_beyond_two_to_the_53_are_exact():
    random = np.random.default_rng(4)
    small = random.integers(-1_000, 1_000, (2, ROWS))
    big = small + 2**60
    codings = tuple(
        number_coding(Column(f"c{i}", "int64", Kind.NUMBER), sortable_keys(big[i, :1]), np.array([1]), 0, (64, 16))
        for i in range(2)
    )
    state = CoMomentsSummarizer(codings, codings).summarize(batch_of(big))
    truth = np.cov(small) * (ROWS - 1)
    np.testing.assert_allclose(state.c, truth, rtol=1e-12, atol=1e-9 * truth.max())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("left", "right"), BLOCKS)
@pytest.mark.parametrize("order", ["mixed", "sorted"])
def test_moments_by_group_are_those_of_each_groups_rows(left, right, weighted, order):
    x, groups = columns(), np.arange(ROWS) % 5
    groups = np.sort(groups) if order == "sorted" else groups
    weights = np.random.default_rng(1).exponential(size=ROWS) if weighted else None
    key = Column("g", "int64", Kind.NUMBER)
    plain = spec_of(left, right, WEIGHT if weighted else None)
    spec = replace(plain, jackknife=JackknifeGroups("unit", (key,), 7))
    batch = batch_of(x, weights).append_column("g", pa.array(groups))
    state = spec.summarize(batch.slice(0, 800)).merge(spec.summarize(batch.slice(800)))
    assert_true(state.over_groups(), x, left, right, weights=weights, tolerance=1e-10)
    i, j = np.indices(state.full().c.shape[1:]).reshape(2, -1)
    of_pairs = state.of_pairs(i, j)
    for group in range(5):
        some = groups == group
        alone = {field.name: getattr(of_pairs, field.name) for field in fields(of_pairs)}
        shape = len(left), len(right)
        arrays = {name: array[group].reshape(shape) for name, array in alone.items() if isinstance(array, np.ndarray)}
        of_group = replace(of_pairs, **arrays)
        assert_true(of_group, x[:, some], left, right, weights=weights[some] if weighted else None, tolerance=1e-10)
    assert not of_pairs.n[5:].any()
