"""Both kernels of `featflow.summaries.joint_counts` give the same integers; which is faster, which the rule picks.

Every case counts all pairs of one block of columns, with as many rows as a product counts in about two seconds.
Cases whose tables take more than 1.25 GiB are left out. Run it by

    python benchmarks/kernels.py [--small] [--json FILE]

on a machine with nothing else to do: constants of `histogram_plan` and `kernel_choice` in
`featflow.summaries.joint_counts` are fitted to it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch

from featflow.summaries.joint_counts import CodedColumns, CodedRows, choose_kernel, histogram_tables
from featflow.summaries.joint_counts.matrix_products import product_tables

LEVELS, COLUMNS, CLASSES = (2, 4, 8, 12, 17, 33, 64, 121), (20, 100, 400), (1, 3)
SMALL_LEVELS, SMALL_COLUMNS, SMALL_ROWS = (2, 17, 121), (5, 20), 2_000
ROWS, LEAST_ROWS = 131_072, 4_096
PRODUCT_OPERATIONS = 2e12
"""Operations of a whole square's product at most, unless it has the fewest rows."""
TABLE_BYTES = 1.25 * 2**30
REPEATS = 3
WITHIN = 1.3
"""How much slower than the faster kernel the picked one may be to count as right."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """One shape of work and what it took."""

    levels: int
    columns: int
    classes: int
    rows: int
    histogram_seconds: float
    product_seconds: float
    picked: str
    """Kernel that `choose_kernel` names."""

    @property
    def slowdown(self) -> float:
        """Return how much longer the picked kernel took than the faster one."""
        seconds = {"histogram": self.histogram_seconds, "product": self.product_seconds}
        return seconds[self.picked] / min(seconds.values())

    def rate(self, seconds: float) -> float:
        """Return pair-rows a second."""
        return self.columns * (self.columns - 1) / 2 * self.rows / seconds


def random_rows(levels: int, columns: int, classes: int, rows: int) -> CodedRows:
    """Return rows of independent columns, each level as frequent; class 0, missing, does not occur."""
    random = np.random.default_rng((levels, columns, classes))
    codes = random.integers(0, levels, (columns, rows), dtype=np.uint8)
    target = CodedColumns(random.integers(1, classes, (1, rows), dtype=np.uint8), (classes,)) if classes > 1 else None
    return CodedRows(CodedColumns(codes, (levels,) * columns), target=target)


def fastest(call: Callable[[], None], repeats: int) -> float:
    """Return the seconds of the fastest of several calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(levels: int, columns: int, classes: int, rows: int, repeats: int) -> Case:
    """Time both kernels, and check that they agree."""
    work = random_rows(levels, columns, classes, rows)
    by_histogram, by_product = work.zeros(), work.zeros()
    seconds = [
        fastest(lambda: histogram_tables(work, by_histogram), repeats),
        fastest(lambda: product_tables(work, by_product, CPU), repeats),
    ]
    for first, end in pairwise(work.left.starts):  # what lies below is not theirs to write
        if not np.array_equal(by_histogram[:, first:end, first:], by_product[:, first:end, first:]):
            raise SystemExit(f"{work.shape}: kernels disagree")
    if by_histogram[:, :levels, :levels].sum() != repeats * rows:
        raise SystemExit(f"{work.shape}: rows are lost")
    return Case(levels, columns, classes, rows, *seconds, choose_kernel(work, CPU).value)


def main() -> None:
    """Measure every case, print the table, stop unless the kernels agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few cases of few rows, to see that it runs")
    parser.add_argument("--json", type=Path, help="write the cases to this file")
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; pair-rows a second, and how much slower the picked kernel was")
    print(f"{'levels':>6} {'columns':>7} {'classes':>7} {'rows':>8} {'histogram':>10} {'product':>10}  picked")
    cases = []
    shapes = (SMALL_LEVELS, SMALL_COLUMNS) if arguments.small else (LEVELS, COLUMNS)
    for levels, columns, classes in product(*shapes, CLASSES):
        if 8 * classes * (levels * columns) ** 2 > TABLE_BYTES:
            continue
        most = PRODUCT_OPERATIONS / (2 * (levels * columns) ** 2)
        rows = SMALL_ROWS if arguments.small else int(min(max(most, LEAST_ROWS), ROWS))
        case = measure(levels, columns, classes, rows, 1 if arguments.small else REPEATS)
        rates = f"{case.rate(case.histogram_seconds):>10.2e} {case.rate(case.product_seconds):>10.2e}"
        print(
            f"{levels:>6} {columns:>7} {classes:>7} {rows:>8} {rates}  {case.picked:<9} {case.slowdown:.2f}", flush=True
        )
        cases.append(case)
    share = sum(case.slowdown <= WITHIN for case in cases) / len(cases)
    print(f"the picked kernel is within {WITHIN} of the faster one in {share:.0%} of {len(cases)} cases")
    if arguments.json:
        found = [asdict(case) | {"slowdown": case.slowdown} for case in cases]
        arguments.json.write_text(
            json.dumps({"threads": torch.get_num_threads(), "share": share, "cases": found}, indent=2)
        )


if __name__ == "__main__":
    main()
