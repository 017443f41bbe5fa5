from __future__ import annotations

import numpy as np
import pytest
import torch
from counted import SHAPES, counted_by_loop, first_before_second, rows_of

from featflow.summaries.joint_counts import histogram_tables, histograms
from featflow.summaries.joint_counts.histograms import histogram_ns


@pytest.mark.usefixtures("with_and_without_torch")
@pytest.mark.parametrize("classes", [None, 1, 5])
@pytest.mark.parametrize("rows", [0, 1, 700])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_counts_are_those_of_a_loop(left, right, rows, classes):
    work = rows_of(left, right, classes, rows)
    tables = work.zeros()
    histogram_tables(work, tables)
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_sums_of_weights_are_those_of_a_loop(left, right):
    work = rows_of(left, right, 3, weighted=True)
    tables = work.zeros()
    histogram_tables(work, tables)
    np.testing.assert_allclose(
        first_before_second(work, tables), first_before_second(work, counted_by_loop(work)), rtol=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_pieces_add_up(monkeypatch, weighted):
    work = rows_of((17,) * 9, (3, 5), 3, 1_001, weighted)
    monkeypatch.setattr(histograms, "PIECE_BYTES", 11 * 2 * 100)
    tables = work.zeros()
    histogram_tables(work, tables)
    np.testing.assert_allclose(tables, counted_by_loop(work), rtol=0 if not weighted else 1e-12)


def test_sums_of_weights_do_not_depend_on_threads_by_a_bit():
    work = rows_of((17,) * 30, None, 3, 3_000, weighted=True)
    found, before = [], torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(work.zeros())
        histogram_tables(work, found[-1])
    torch.set_num_threads(before)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_one_class_of_many_takes_no_room_for_the_others():
    """Rows that are all of class 200 are counted like rows without a class."""
    work = rows_of((17,) * 6, None, 201)
    work.target.codes[:] = 200
    tables = work.zeros()
    histogram_tables(work, tables)
    assert not tables[:200].any()
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))


def test_more_rows_cost_more():
    costs = [histogram_ns(rows_of((17,) * 9, None, None, rows)) for rows in (0, 10, 1_000, 5_000)]
    assert costs == sorted(costs)
    assert costs[0] == 0
