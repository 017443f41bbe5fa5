"""A dataset ten times longer needs at most 1.15 times the peak memory.

Run it by

    python benchmarks/memory.py [--rows 2000000] [--times 10] [--engine ray|serial] [--json FILE]

The datasets, about 230 bytes a row, lie in ``TMPDIR`` while they are needed. The shorter one must
fill a shard for each core, or the ratio says nothing: below a million rows make shards and row groups smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measured import Job, print_table, run_job, write_dataset

LIMIT = 1.15
SHORTER_RUNS = 3
"""Runs of the shorter dataset, of which the highest peak counts. A peak is that of tasks that coincide, for which a
longer run has more occasions: a short one peaked at 577 MiB on a busy machine, at 669 else, a long one at 685."""
SEED = 20260101
RHO = 0.6
FLOATS = 20
NULLS_FROM = 12
"""Floats from this one on have 5 % nulls."""
INTEGERS = {"count_0": 10, "count_1": 1_000, "count_2": 10**6, "count_3": 10**12}
LEVELS = {"level_0": 10, "level_1": 100, "level_2": 1_000, "level_3": 10_000, "level_4": 50_000}


def row_group(index: int, n: int) -> pa.Table:
    """Return the same n rows for the same index."""
    random = np.random.default_rng((SEED, index))
    floats = random.normal(size=(FLOATS, n))
    floats[1] = RHO * floats[0] + math.sqrt(1 - RHO**2) * floats[1]
    missing = (random.random(n) < 0.05 if number >= NULLS_FROM else None for number in range(FLOATS))
    columns: dict[str, Any] = {
        f"number_{number:02d}": pa.array(values, mask=mask)
        for number, (values, mask) in enumerate(zip(floats, missing, strict=True))
    }
    columns |= {name: random.integers(0, top, n) for name, top in INTEGERS.items()}
    for name, levels in LEVELS.items():
        columns[name] = pc.binary_join_element_wise("v", pa.array(random.integers(0, levels, n)).cast(pa.string()), "-")
    columns["target"] = (floats[0] + random.normal(size=n) > 0).astype(np.int8)
    return pa.table(columns)


def measure(rows: int, options: argparse.Namespace) -> tuple[Job, float]:
    """Generate, run and clean up; return the run and the correlation found where `RHO` was planted."""
    with tempfile.TemporaryDirectory(prefix="featflow-memory-") as name:
        folder = Path(name)
        write_dataset(folder / "data", rows, options.group_rows, row_group)
        dataset = {"source": str(folder / "data"), "targets": ["target"], "shard_bytes": options.shard_bytes}
        # A small run does without torch, which takes 150 MiB: rows would be blamed for it.
        job = run_job(folder, {"dataset": dataset, "engine": {"kind": options.engine}}, loaded="torch")
        found = job.row("correlation", method="pearson", feature_a="number_00", feature_b="number_01")
        return job, found["value"]


def main() -> None:
    """Measure both lengths, print them, and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the shorter dataset")
    parser.add_argument("--times", type=int, default=10, help="how many times longer the other is")
    parser.add_argument("--engine", choices=["ray", "serial"], default="ray")
    parser.add_argument("--group-rows", type=int, default=2**17, help="rows of a row group")
    parser.add_argument("--shard-bytes", default="128MiB", help="dataset.shard_bytes of the run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    lengths = (options.rows, options.rows * options.times)
    shorter = [measure(lengths[0], options) for _ in range(SHORTER_RUNS)]
    runs = [max(shorter, key=lambda run: run[0].peak_bytes), measure(lengths[1], options)]
    peaks = [job.peak_bytes for job, _ in runs]
    ratios = [peak / peaks[0] for peak in peaks]
    print(f"engine {options.engine}")
    jobs = [job for job, _ in runs]
    columns = [(job.rows, job.seconds, job.rows / job.seconds, job.peak_bytes / 2**20) for job in jobs]
    rows = [(*row, ratio) for row, ratio in zip(columns, ratios, strict=True)]
    print_table(("rows", "seconds", "rows/s", "peak MiB", "ratio"), rows)
    if options.json:
        measured = [job.figures() | {"pearson": pearson} for job, pearson in runs]
        figures = {"engine": options.engine, "ratio": ratios[-1], "runs": measured}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for (job, pearson), length in zip(runs, lengths, strict=True):
        if job.rows != length or abs(pearson - RHO) > 5 / math.sqrt(length):
            raise SystemExit(f"wrong: {job.rows:,} of {length:,} rows read, Pearson {pearson:.5f} for {RHO}")
    if ratios[-1] > LIMIT:
        raise SystemExit(f"peak memory grew {ratios[-1]:.2f} times, more than {LIMIT}")


if __name__ == "__main__":
    main()
