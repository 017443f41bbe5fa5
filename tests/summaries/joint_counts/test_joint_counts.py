"""Whichever kernel counts: the tables of a loop, both triangles, added to what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from counted import SHAPES, counted_by_loop, rows_of

from featflow.summaries.joint_counts import CodedColumns, CodedRows, Kernel, kernel_choice, pair_tables


@pytest.fixture(params=list(Kernel))
def kernel(request, monkeypatch):
    monkeypatch.setattr(kernel_choice, "choose_kernel", lambda *_: request.param)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_counts_are_those_of_a_loop(left, right, classes):
    work = rows_of(left, right, classes)
    np.testing.assert_array_equal(pair_tables(work, device=torch.device("cpu")), counted_by_loop(work))


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("right", [None, (4, 2)])
def test_pieces_are_added_in_place(right):
    work = rows_of((3, 17, 5), right, 3)
    tables = work.zeros()
    for rows in (slice(0, 100), slice(100, 100), slice(100, 500)):
        left, other, target = (
            side and CodedColumns(side.codes[:, rows], side.levels) for side in (work.left, work.right, work.target)
        )
        assert pair_tables(CodedRows(left, other, target), tables, torch.device("cpu")) is tables
    np.testing.assert_array_equal(tables, counted_by_loop(work))


@pytest.mark.parametrize("right", [None, (4, 2)])
def test_weights_are_summed(right):
    work = rows_of((3, 17, 5), right, 3, weighted=True)
    tables = pair_tables(work)
    np.testing.assert_allclose(tables, counted_by_loop(work), rtol=1e-12)
    assert tables.tobytes() == pair_tables(work).tobytes()


def test_codes_that_may_only_be_read_are_counted():
    work = rows_of((3, 17, 5), None, 3, weighted=True)
    for array in (work.left.codes, work.target.codes, work.weights):
        array.flags.writeable = False
    np.testing.assert_allclose(pair_tables(work), counted_by_loop(work), rtol=1e-12)
    work = CodedRows(work.left, target=work.target)
    np.testing.assert_array_equal(pair_tables(work), counted_by_loop(work))


def test_tables_of_another_shape_are_refused():
    work = rows_of((3, 4))
    with pytest.raises(ValueError, match=r"out has shape \(1, 7, 6\), not \(1, 7, 7\)"):
        pair_tables(work, np.zeros((1, 7, 6), np.int64))
    with pytest.raises(ValueError, match="out holds float64, not int64"):
        pair_tables(work, np.zeros((1, 7, 7)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_cuda_and_cpu_agree(left, right):
    work = rows_of(left, right, 3)
    found = [pair_tables(work, device=torch.device(device)) for device in ("cuda", "cpu")]
    np.testing.assert_array_equal(*found)
