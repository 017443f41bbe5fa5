"""Sums matrix products over pieces of rows, with the library whose bits do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg.blas import dgemm, dsyrk
from threadpoolctl import ThreadpoolController

from featflow.summaries.number_block import aligned

__all__ = ["RunningProduct"]

NARROW = 2**13
"""Entries of a product up to which scipy computes it, on one thread, as its bits depend on threads. Beyond, torch does,
whose bits do not where there is enough to split."""


class RunningProduct:
    """A running sum of x @ y.T over pieces of rows."""

    def __init__(self, *shape: int) -> None:
        self.sum = aligned(*shape)
        """The sum so far; of a symmetric product one triangle. Shape (left, right)."""
        self.sum[:] = 0.0
        self.symmetric = False

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add the product of some rows, shapes (left, rows) and (right, rows); symmetric where both are one array."""
        if not self.sum.size:
            return
        if x is y:
            self.symmetric = True
            dsyrk(1.0, x.T, beta=1.0, c=self.sum.T, trans=1, overwrite_c=1)  # one triangle, in place
            return
        if self.sum.size <= NARROW:
            with _one_thread():
                dgemm(1.0, y.T, x.T, beta=1.0, c=self.sum.T, trans_a=1, overwrite_c=1)  # in place, too
            return
        import torch  # noqa: PLC0415  1.2 s, for wide tables

        torch.from_numpy(self.sum).addmm_(torch.from_numpy(x), torch.from_numpy(y).T)

    def value(self) -> np.ndarray:
        """Return the whole sum."""
        return np.tril(self.sum) + np.tril(self.sum, -1).T if self.symmetric else self.sum


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let scipy's products run on one thread: 10 microseconds; threadpoolctl's own limits take 40."""
    before = [(library, library.num_threads) for library in _blas()]
    try:
        for library, _ in before:
            library.set_num_threads(1)
        yield
    finally:
        for library, threads in before:
            library.set_num_threads(threads)


@cache
def _blas() -> list[Any]:
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
