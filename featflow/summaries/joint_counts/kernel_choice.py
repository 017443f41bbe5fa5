"""Which kernel counts: by what each should cost here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from featflow.columns.loaded_torch import loaded_torch
from featflow.summaries.joint_counts.coded_rows import CodedRows
from featflow.summaries.joint_counts.histograms import histogram_ns, histogram_tables
from featflow.summaries.joint_counts.threads import in_threads

if TYPE_CHECKING:
    import torch

__all__ = ["Kernel", "choose_kernel", "default_device", "pair_tables"]

AMX_RATE, VNNI_RATE, FLOAT_RATE = 1.85e12, 4.2e11, 1e11
"""Operations a second of products on one core: int8, 1,600 wide, with AMX; int8 with VNNI (benchmarks/device.py) and
float32 on an AMD EPYC 9004."""
HALF_RATE = 100
"""One-hot rows of a sub-block at which the product reaches half of that."""
PRODUCT_CELL_NS, PRODUCT_CALL_NS = 6, 5e5
"""Nanoseconds a cell that a product gives, to add it up and to fill level 0; and nanoseconds a sub-block of a class."""
LOADING_NS = 1.2e9
"""Nanoseconds to load torch, which products need: a histogram that takes less is not worth it."""
GROUPING_NS, ONE_HOT_NS = 0.8, 0.04
"""Nanoseconds to bring a code beside those of its class; and of one-hot codes, a row."""


class Kernel(StrEnum):
    """What counts."""

    HISTOGRAM = "histogram"
    """Packed histograms: `featflow.summaries.joint_counts.histograms`."""
    PRODUCT = "product"
    """Integer matrix products: `featflow.summaries.joint_counts.matrix_products`."""


def pair_tables(work: CodedRows, out: np.ndarray | None = None, device: torch.device | None = None) -> np.ndarray:
    """Return the joint counts of every left level with every right level, by class, shape ``work.shape``.

    Parameters
    ----------
    work
        What to count; its counts are int64, its sums of weights float64.
    out
        Tables to add to, of ``work.shape`` and that type; the same array is returned. Where a block is counted against
        itself they must be symmetric, as tables of earlier rows are.
    device
        Where products run; `default_device` if not given.

    Raises
    ------
    ValueError
        ``out`` has another shape or type.

    Notes
    -----
    Integers depend on nothing but the rows. Sums of weights are added in an order that rows, levels and classes fix.

    Examples
    --------
    >>> from featflow.summaries.joint_counts.coded_rows import CodedColumns
    >>> columns = CodedColumns(np.array([[1, 0, 1], [1, 1, 0]], np.uint8), (2, 2))
    >>> pair_tables(CodedRows(columns))[0]
    array([[1, 0, 0, 1],
           [0, 2, 1, 1],
           [0, 1, 1, 0],
           [1, 1, 0, 2]])
    """
    tables = work.zeros() if out is None else out
    if tables.shape != work.shape:
        raise ValueError(f"out has shape {tables.shape}, not {work.shape}")
    kind = np.dtype(np.int64 if work.weights is None else np.float64)
    if tables.dtype != kind:
        raise ValueError(f"out holds {tables.dtype}, not {kind}")
    if choose_kernel(work, device) is Kernel.PRODUCT:
        from featflow.summaries.joint_counts.matrix_products import product_tables  # noqa: PLC0415  torch

        product_tables(work, tables, device or default_device())
    else:
        histogram_tables(work, tables)
    if work.right is None:
        _mirror(work, tables)
    return tables


def default_device() -> torch.device:
    """Return the device that products run on: CUDA where there is one."""
    import torch  # noqa: PLC0415  as above

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_kernel(work: CodedRows, device: torch.device | None = None) -> Kernel:
    """Return the kernel that should be faster; weights are for the histogram, a CUDA device for the product.

    Examples
    --------
    >>> from featflow.summaries.joint_counts.coded_rows import CodedColumns
    >>> columns = CodedColumns(np.zeros((20, 10_000), np.uint8), (121,) * 20)
    >>> choose_kernel(CodedRows(columns)).value
    'histogram'
    """
    if work.weights is not None:
        return Kernel.HISTOGRAM
    if device is None and loaded_torch() is None and histogram_ns(work) < LOADING_NS:
        return Kernel.HISTOGRAM
    device = device or default_device()
    if device.type != "cpu":
        return Kernel.PRODUCT
    return Kernel.HISTOGRAM if histogram_ns(work) < _product_ns(work) else Kernel.PRODUCT


def _product_ns(work: CodedRows) -> float:
    """Return the nanoseconds that `product_tables` should take one thread."""
    from featflow.summaries.joint_counts.matrix_products import product_shape  # noqa: PLC0415  as above

    width, other, squares = product_shape(work)
    columns = len(work.left.levels) + (len(work.right.levels) if work.right else 0)
    narrow = min(width, other)
    operations = 2 * work.rows * squares * width * other
    speed = _rate() * narrow / (narrow + HALF_RATE)
    around = squares * work.classes * (PRODUCT_CELL_NS * width * other + PRODUCT_CALL_NS)
    jackknife = GROUPING_NS * work.rows * columns if work.classes > 1 else 0.0
    return 1e9 * operations / speed + around + jackknife + ONE_HOT_NS * work.rows * squares * (width + other)


def _rate() -> float:
    """Return the operations a second of one core; the names that tell of its instructions are private."""
    import torch  # noqa: PLC0415  as above

    for name, rate in (("_is_amx_tile_supported", AMX_RATE), ("_is_vnni_supported", VNNI_RATE)):
        supported = getattr(torch.cpu, name, None)
        if supported is not None and supported():
            return rate
    return FLOAT_RATE


def _mirror(work: CodedRows, tables: np.ndarray) -> None:
    """Write the tables of every later column with every earlier one."""
    starts = work.left.starts

    def column(index: int) -> None:
        levels = slice(starts[index], starts[index + 1])
        tables[:, levels, : levels.start] = tables[:, : levels.start, levels].transpose(0, 2, 1)

    in_threads(column, range(1, len(work.left.levels)))
