from __future__ import annotations

import numpy as np
import pytest
import torch
from counted import SHAPES, counted_by_loop, first_before_second, rows_of

from featflow.summaries.joint_counts import matrix_products
from featflow.summaries.joint_counts.matrix_products import one_hot_product, product_tables

CPU = torch.device("cpu")


@pytest.mark.parametrize("classes", [None, 1, 5])
@pytest.mark.parametrize("rows", [0, 1, 700])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_counts_are_those_of_a_loop(left, right, rows, classes):
    work = rows_of(left, right, classes, rows)
    tables = work.zeros()
    product_tables(work, tables, CPU)
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))


@pytest.mark.parametrize(("left", "right"), SHAPES[:5])
def test_sub_blocks_pieces_and_rounds_add_up(monkeypatch, left, right):
    """As on a machine with little memory."""
    monkeypatch.setitem(matrix_products.ONE_HOT_BYTES, "cpu", 4_096)
    monkeypatch.setitem(matrix_products.ACCUMULATOR_BYTES, "cpu", 10_000)
    monkeypatch.setitem(matrix_products.WIDTHS, "cpu", (16, 48))
    work = rows_of(left, right, 3)
    tables = work.zeros()
    product_tables(work, tables, CPU)
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))


@pytest.mark.parametrize(("rows", "classes"), [(0, None), (33, None), (700, 5)])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_what_runs_on_a_device_is_right_on_a_cpu(monkeypatch, left, right, rows, classes):
    """Sizes in multiples of 32, one-hot codes by torch alone."""
    sizes = []

    def recorded(a, b):
        sizes.extend([*a.shape, *b.shape])
        return one_hot_product(a, b)

    monkeypatch.setattr(matrix_products, "_on_cpu", lambda _: False)
    monkeypatch.setattr(matrix_products, "one_hot_product", recorded)
    work = rows_of(left, right, classes, rows)
    tables = work.zeros()
    product_tables(work, tables, CPU)
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))
    assert not any(size % 32 for size in sizes)


def test_weights_are_refused():
    work = rows_of((3,), None, None, 10, weighted=True)
    with pytest.raises(ValueError, match="use the histogram"):
        product_tables(work, work.zeros(), CPU)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 7), (5, 1, 7), (5, 7, 1), (33, 17, 1_000)])
def test_product_is_exact(shape, monkeypatch):
    random = np.random.default_rng(2)
    left, right = (random.integers(0, 2, (height, shape[2]), dtype=np.int8) for height in shape[:2])
    truth = left.astype(np.int64) @ right.astype(np.int64).T
    np.testing.assert_array_equal(one_hot_product(torch.from_numpy(left), torch.from_numpy(right)), truth)
    monkeypatch.delattr(torch, "_int_mm")
    np.testing.assert_array_equal(one_hot_product(torch.from_numpy(left), torch.from_numpy(right)), truth)


def test_lack_of_memory_is_not_hidden(monkeypatch):
    def exhausted(left, right):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch, "_int_mm", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        one_hot_product(*torch.ones((2, 3, 4), dtype=torch.int8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("classes", [None, 5])
@pytest.mark.parametrize("rows", [0, 1, 700])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_cuda_counts_are_those_of_a_loop(left, right, rows, classes):
    work = rows_of(left, right, classes, rows)
    tables = work.zeros()
    product_tables(work, tables, torch.device("cuda"))
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_sub_blocks_pieces_and_rounds_add_up(monkeypatch):
    monkeypatch.setitem(matrix_products.ONE_HOT_BYTES, "cuda", 16_384)
    monkeypatch.setitem(matrix_products.ACCUMULATOR_BYTES, "cuda", 10_000)
    monkeypatch.setitem(matrix_products.WIDTHS, "cuda", (16, 48))
    work = rows_of((17,) * 20, None, 3)
    tables = work.zeros()
    product_tables(work, tables, torch.device("cuda"))
    np.testing.assert_array_equal(first_before_second(work, tables), first_before_second(work, counted_by_loop(work)))
