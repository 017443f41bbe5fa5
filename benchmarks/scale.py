"""Many columns and many rows: what they cost, and whether answers hold.

Every line draws numbers with one correlated pair and one informative feature, runs the job in a process of its own,
and asserts that it finds both. Run it by

    python benchmarks/scale.py [--only wide,widest,rows,columns] [--small] [--engine ray|serial] [--json FILE]

| line    | data                                               | asserted                                          |
|---------|----------------------------------------------------|---------------------------------------------------|
| wide    | 200,000 rows x 2,000 numbers                       | peak memory at most 4 GiB                         |
| widest  | 20,000 rows x 10,000 numbers, budget.memory 6GiB   | peak memory at most 6 GiB                         |
| rows    | 2,000,000 and 20,000,000 rows of eleven columns    | seconds at most 1.1 times linear                  |
| columns | 100, 300, 1,000, 2,000 numbers in 100,000 rows     | seconds grow by at most columns ** 2.1            |

Of wide tables Pearson's and Spearman's correlation and the mutual information of all pairs, the ranking and the
profile are wanted; interactions are not. Of long ones everything is. The rows line begins at 2 million, where the
job's start is a small part of its seconds; nothing is subtracted, and as a start makes the shorter run look slow, the
limit is on one side. The fixed cost that the columns line prints is that of ten columns. Data take up to 1.6 GB of
``TMPDIR``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measured import Check, Job, conclude, machine, options_of, print_table, run_job, write_dataset

SEED = 20260203
RHO = 0.6
GIB = 2**30
GROUP_BYTES = 64 * 2**20
"""Of a row group, decoded."""
MOST_GROUP_ROWS = 2**17
WIDE_ANALYSES = {"correlation": {"methods": ["pearson", "spearman", "mutual_information"]}, "interaction": False}
WIDE, WIDEST, SMALL_WIDE, SMALL_WIDEST = (200_000, 2_000), (20_000, 10_000), (4_000, 50), (2_000, 100)
"""Rows and columns."""
LENGTHS, SMALL_LENGTHS = (2_000_000, 20_000_000), (10_000, 20_000)
WIDTHS, SMALL_WIDTHS = (100, 300, 1_000, 2_000), (15, 20)
WIDTHS_ROWS, SMALL_WIDTHS_ROWS = 100_000, 4_000
FEWEST = 10
"""Columns of the run that stands for the fixed cost."""
MOST_OF_LINEAR, MOST_EXPONENT = 1.1, 2.1


@dataclass(frozen=True)
class Size:
    """One dataset and how the job runs on it."""

    line: str
    rows: int
    columns: int
    make: Callable[[int, int], pa.Table]
    """Returns a row group."""
    settings: dict[str, Any]
    """Of the configuration: analyses and budget."""


def wide_group(index: int, n: int, *, columns: int) -> pa.Table:
    """Return float32 columns and a binary target: the second column follows the first, the target the third."""
    random = np.random.default_rng((SEED, index))
    numbers = random.standard_normal((columns, n), dtype=np.float32)
    numbers[1] = RHO * numbers[0] + math.sqrt(1 - RHO**2) * numbers[1]
    target = (numbers[2] + random.standard_normal(n) > 0).astype(np.int8)
    return pa.table({f"x{place:05d}": column for place, column in enumerate(numbers)} | {"y": target})


def long_group(index: int, n: int) -> pa.Table:
    """Return six numbers as `wide_group` has them, counts and levels beside them, and the target."""
    random = np.random.default_rng((SEED, index, 1))
    table = wide_group(index, n, columns=6)
    columns = {name: random.integers(0, top, n) for name, top in (("count_0", 10), ("count_1", 10**6))}
    for place, levels in enumerate((100, 10_000)):
        code = pa.array(random.integers(0, levels, n)).cast(pa.string())
        columns[f"level_{place}"] = pc.binary_join_element_wise("v", code, "-")
    return pa.table(dict(zip(table.column_names, table.columns, strict=True)) | columns)


def measure(size: Size, engine: str) -> tuple[dict[str, Any], list[Check]]:
    """Write the dataset, run the job, compare what it found with what was planted."""
    group_rows = max(1, min(MOST_GROUP_ROWS, GROUP_BYTES // (4 * size.columns)))
    with tempfile.TemporaryDirectory(prefix="featflow-scale-") as name:
        folder = Path(name)
        write_dataset(folder / "data", size.rows, group_rows, size.make)
        dataset = {"source": str(folder / "data"), "targets": ["y"]}
        job = run_job(folder, {"dataset": dataset, "engine": {"kind": engine}} | size.settings)
        checks = _answers(size, job)
    figures = {"line": size.line, "columns": size.columns, "engine": engine} | job.figures()
    stages = "  ".join(f"{stage} {seconds:.1f}" for stage, seconds in job.stages.items())
    peak = job.peak_bytes / GIB
    print(f"{size.rows:,} x {size.columns:,}: {job.seconds:.1f} s, {peak:.2f} GiB; of it {stages}", flush=True)
    return figures, checks


def _answers(size: Size, job: Job) -> list[Check]:
    where = f"{size.rows:,} x {size.columns:,}"
    found = {
        method: job.row("correlation", method=method, feature_a="x00000", feature_b="x00001")
        for method in ("pearson", "spearman", "mutual_information")
    }
    spearman = 6 / math.pi * math.asin(RHO / 2)
    first = job.row("ranking", rank=1)["feature"]
    features = (
        (pc.field("method") == "mutual_information") & (pc.field("feature_a") != "y") & (pc.field("feature_b") != "y")
    )
    strongest = job.run.arrow("correlation").filter(features)
    information = pc.max(pc.subtract(strongest["value"], strongest["expected"])).as_py()
    planted = found["mutual_information"]["value"] - found["mutual_information"]["expected"]
    error = 5 / math.sqrt(size.rows)
    return [
        Check(size.line, f"{where}: rows read", job.rows, size.rows, size.rows),
        Check(size.line, f"{where}: Pearson planted", found["pearson"]["value"], RHO - error, RHO + error),
        Check(size.line, f"{where}: Spearman planted", found["spearman"]["value"], spearman - error, spearman + error),
        Check(size.line, f"{where}: most information less that of the planted pair", information - planted, 0, 0),
        Check(size.line, f"{where}: the informative feature leads", float(first == "x00002"), 1, 1),
    ]


# --- lines ----------------------------------------------------------------------------------------------------------


def _wide(line: str, shape: tuple[int, int], budget: str = "4GiB") -> Size:
    rows, columns = shape
    settings = {"analyses": WIDE_ANALYSES, "budget": {"memory": budget}}
    return Size(line, rows, columns, partial(wide_group, columns=columns), settings)


def run_wide(engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Return what many columns cost."""
    figures, checks = measure(_wide("wide", SMALL_WIDE if small else WIDE), engine)
    return [figures], [*checks, Check("wide", "peak bytes", figures["peak_bytes"], 0, 4 * GIB)]


def run_widest(engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Return what very many columns cost."""
    figures, checks = measure(_wide("widest", SMALL_WIDEST if small else WIDEST, "6GiB"), engine)
    return [figures], [*checks, Check("widest", "peak bytes", figures["peak_bytes"], 0, 6 * GIB)]


def run_rows(engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Compare two lengths of one table."""
    lengths = SMALL_LENGTHS if small else LENGTHS
    measured = [measure(Size("rows", rows, 11, long_group, {}), engine) for rows in lengths]
    figures, checks = [found for found, _ in measured], [check for _, found in measured for check in found]
    seconds = [found["seconds"] for found in figures]
    of_linear = seconds[1] / seconds[0] / (lengths[1] / lengths[0])
    print(f"{seconds[1]:.1f} s for {lengths[1]:,} rows is {of_linear:.2f} times linear from {lengths[0]:,} rows\n")
    if not small:
        checks.append(Check("rows", "seconds, as times linear", of_linear, 0, MOST_OF_LINEAR))
    return figures, checks


def run_columns(engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Fit the exponent of columns in seconds."""
    widths, rows = (SMALL_WIDTHS, SMALL_WIDTHS_ROWS) if small else (WIDTHS, WIDTHS_ROWS)
    measured = [measure(_wide("columns", (rows, columns)), engine) for columns in (FEWEST, *widths)]
    figures, checks = [found for found, _ in measured], [check for _, found in measured for check in found]
    seconds = [found["seconds"] for found in figures]
    exponent = float(np.polyfit(np.log(widths), np.log(seconds[1:]), 1)[0])
    last = math.log(seconds[-1] / seconds[-2]) / math.log(widths[-1] / widths[-2])
    print(f"\n{rows:,} rows; fixed cost, of {FEWEST} columns: {seconds[0]:.1f} s")
    print(f"exponent {exponent:.2f} by least squares, {last:.2f} between the last two")
    cells = [(f["columns"], f["seconds"], f["peak_bytes"] / 2**20) for f in figures]
    print_table(("columns", "seconds", "peak MiB"), cells)
    if not small:
        checks.append(Check("columns", "exponent of columns in seconds", exponent, 0, MOST_EXPONENT))
    return figures, checks


LINES = {"wide": run_wide, "widest": run_widest, "rows": run_rows, "columns": run_columns}


def main() -> None:
    """Run the lines, print them, and check them."""
    options = options_of(__doc__ or "", tuple(LINES))
    figures, checks = {"machine": machine(), "small": options.small}, list[Check]()
    for name in options.only:
        print(f"--- {name}", flush=True)
        figures[name], found = LINES[name](options.engine, small=options.small)
        checks += found
    conclude(checks, options.json, figures | {"checks": [check.public() for check in checks]})


if __name__ == "__main__":
    main()
