"""What all-pairs counting reaches on the device there is, and how that compares with its own matrix product.

Columns have 16 levels and "missing". Every kernel that the device has is timed, beside the fastest int8 product of
one-hot codes that the device makes in the same run (and bfloat16 on CUDA). A pair-row takes 2 x 16 x 16 operations of a
product, whichever kernel counts: a histogram may go beyond the peak. Tables of some pairs must equal numpy's; those of
a CUDA device the CPU's. Run it by

    python benchmarks/device.py [--device cpu|cuda] [--small] [--json FILE]

"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from featflow.summaries.joint_counts import (
    CodedColumns,
    CodedRows,
    choose_kernel,
    default_device,
    histogram_tables,
)
from featflow.summaries.joint_counts.matrix_products import one_hot_product, product_tables

LEVELS = 16
SIZES = {"cpu": ((100, 2**20), (400, 2**18), (1_000, 2**16)), "cuda": ((100, 2**22), (400, 2**22), (1_000, 2**21))}
"""Columns and rows."""
SMALL_SIZES = ((20, 4_096), (40, 4_096))
PEAK_WIDTH = {"cpu": 2_048, "cuda": 8_192}
PRODUCT_SECONDS = 30.0
"""A product that would take a CPU longer is left out."""
REPEATS = 3
CHECKED_PAIRS = 50
CHECKED_COLUMNS = 8


@dataclass(frozen=True)
class Timed:
    """One kernel on one size."""

    columns: int
    rows: int
    kernel: str
    seconds: float
    pair_rows: float
    """A second."""
    operations: float
    """Of a product that knew no better, a second."""
    of_peak: float
    """As a share of the int8 product's peak."""
    picked: bool
    """Whether the rule picks this kernel."""


def fastest(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the seconds of the fastest of several calls, each waited for."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peaks(device: torch.device, width: int) -> dict[str, float]:
    """Return the operations a second of square products, by type."""
    ones = torch.randint(0, 2, (width, width), dtype=torch.int8, device=device)
    found = {"int8": fastest(lambda: one_hot_product(ones, ones), device, 5)}
    if device.type == "cuda":
        halves = ones.to(torch.bfloat16)
        found["bfloat16"] = fastest(lambda: halves @ halves.T, device, 5)
    return {name: 2 * width**3 / seconds for name, seconds in found.items()}


def random_rows(columns: int, rows: int) -> CodedRows:
    """Return rows of independent columns, each level as frequent and none missing."""
    codes = np.random.default_rng(columns).integers(1, LEVELS + 1, (columns, rows), dtype=np.uint8)
    return CodedRows(CodedColumns(codes, (LEVELS + 1,) * columns))


def check(work: CodedRows, tables: np.ndarray, calls: int) -> None:
    """Stop unless tables of some pairs are those that numpy counts."""
    random = np.random.default_rng(1)
    codes, width = work.left.codes, LEVELS + 1
    for _ in range(CHECKED_PAIRS):
        a, b = np.sort(random.integers(0, len(codes), 2))
        truth = np.bincount(codes[a].astype(np.int64) * width + codes[b], minlength=width**2).reshape(width, width)
        counted = tables[0, a * width : (a + 1) * width, b * width : (b + 1) * width]
        if not np.array_equal(counted, calls * truth):
            raise SystemExit(f"columns {a} and {b} of {len(codes)}: not numpy's counts")


def check_against_cpu(work: CodedRows, device: torch.device) -> None:
    """Stop unless the device's tables of a few columns, in three classes, are the CPU's, level by level."""
    columns = CodedColumns(work.left.codes[:CHECKED_COLUMNS], work.left.levels[:CHECKED_COLUMNS])
    part = CodedRows(columns, columns, CodedColumns(work.left.codes[-1:] % 3, (3,)))
    here, there = part.zeros(), part.zeros()
    histogram_tables(part, here)
    product_tables(part, there, device)
    if not np.array_equal(here, there):
        raise SystemExit(f"{device}: not the CPU's counts")


def measure(columns: int, rows: int, device: torch.device, peak: float, repeats: int) -> list[Timed]:
    """Time every kernel on one size and check what it counts."""
    work = random_rows(columns, rows)
    pair_rows = columns * (columns - 1) / 2 * rows
    kernels = {"product": partial(product_tables, device=device)}
    if device.type == "cpu":
        kernels["histogram"] = histogram_tables
        if 2 * (LEVELS * columns) ** 2 * rows / peak > PRODUCT_SECONDS:
            del kernels["product"]
    found = []
    for name, kernel in kernels.items():
        tables = work.zeros()
        kernel(work, tables)  # memory, plans and the device's own choices are made once
        seconds = fastest(partial(kernel, work, tables), device, repeats)
        check(work, tables, repeats + 1)
        rate = pair_rows / seconds
        operations = 2 * LEVELS**2 * rate
        picked = choose_kernel(work, device).value == name
        found.append(Timed(columns, rows, name, seconds, rate, operations, operations / peak, picked))
    if device.type == "cuda":
        check_against_cpu(work, device)
    return found


def main() -> None:
    """Measure peaks and kernels, print the table, check the answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=default_device(), help="cpu or cuda")
    parser.add_argument("--small", action="store_true", help="few columns and rows, to see that it runs")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    device = arguments.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    peak = peaks(device, 256 if arguments.small else PEAK_WIDTH[device.type])
    print(f"{name}; products: " + ", ".join(f"{kind} {rate:.2e} op/s" for kind, rate in peak.items()))
    print(f"{'columns':>7} {'rows':>8} {'kernel':<9} {'pair-rows/s':>11} {'op/s':>9} {'of peak':>8}  picked")
    found = []
    for columns, rows in SMALL_SIZES if arguments.small else SIZES[device.type]:
        for timed in measure(columns, rows, device, peak["int8"], 1 if arguments.small else REPEATS):
            rates = f"{timed.pair_rows:>11.2e} {timed.operations:>9.2e} {timed.of_peak:>8.2f}"
            print(f"{columns:>7} {rows:>8} {timed.kernel:<9} {rates}  {'yes' if timed.picked else ''}", flush=True)
            found.append(timed)
    if arguments.json:
        figures = {"device": name, "peaks": peak, "timed": [asdict(timed) for timed in found]}
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
