"""A dataset ten times longer needs at most 1.15 times the peak memory.

Memory is the proportional set size (PSS) of the job's whole process tree, so that
pages shared by processes, Ray's object store among them, count once. Run it by

    python benchmarks/memory.py [--rows 2000000] [--times 10] [--engine ray|serial] [--json FILE]

The datasets, about 230 bytes a row, lie in ``TMPDIR`` while they are needed. The shorter one must
fill a shard for each core, or the ratio says nothing: below a million rows make shards and row groups smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LIMIT = 1.15
SEED = 20260101
FILE_GROUPS = 8
SAMPLE_SECONDS = 0.2
RHO = 0.6
FLOATS = 20
NULLS_FROM = 12
"""Floats from this one on have 5 % nulls."""
INTEGERS = {"count_0": 10, "count_1": 1_000, "count_2": 10**6, "count_3": 10**12}
LEVELS = {"level_0": 10, "level_1": 100, "level_2": 1_000, "level_3": 10_000, "level_4": 50_000}


@dataclass(frozen=True)
class Measured:
    """One run of the job."""

    rows: int
    """Rows read, by the run's manifest."""
    seconds: float
    """Wall-clock seconds of the process, its start included."""
    peak_bytes: int
    """Largest sum of PSS over the process tree."""
    at_peak: dict[str, int]
    """PSS by process at that moment, bytes."""
    pearson: float
    """Correlation found where `RHO` was planted."""


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


def write_dataset(folder: Path, rows: int, group_rows: int, make: Callable[[int, int], pa.Table] = row_group) -> None:
    """Write a dataset a row group at a time, so that this process stays small.

    Parameters
    ----------
    make
        Returns the row group of an index with so many rows.
    """
    folder.mkdir(parents=True)
    starts = range(0, rows, group_rows)
    for first in range(0, len(starts), FILE_GROUPS):
        with pq.ParquetWriter(folder / f"part-{first // FILE_GROUPS:05d}.parquet", make(0, 1).schema) as writer:
            for index, start in list(enumerate(starts))[first : first + FILE_GROUPS]:
                writer.write_table(make(index, min(group_rows, rows - start)))


def run_job(folder: Path, engine: str, shard_bytes: str) -> Measured:
    """Run the job on the dataset in a folder and watch its memory."""
    dataset = {"source": str(folder / "data"), "targets": ["target"], "shard_bytes": shard_bytes}
    config = {"dataset": dataset, "output": str(folder / "results"), "engine": {"kind": engine}}
    finished, seconds, peak = run_watched(folder, config)
    table = pq.read_table(finished["tables"]["correlation"])
    wanted = (
        (pc.field("method") == "pearson")
        & (pc.field("feature_a") == "number_00")
        & (pc.field("feature_b") == "number_01")
    )
    pearson = table.filter(wanted).column("value")[0].as_py()
    return Measured(finished["rows"]["read"], seconds, sum(peak.values()), peak, pearson)


def run_watched(folder: Path, values: dict[str, Any]) -> tuple[dict[str, Any], float, dict[str, int]]:
    """Run a configuration in a process of its own; return its answer, its seconds and its memory at the peak."""
    config, answer = folder / "config.yaml", folder / "answer.json"
    config.write_text(json.dumps(values), encoding="utf-8")
    began = time.monotonic()
    with answer.open("w") as stdout:
        process = subprocess.Popen([sys.executable, "-m", "featflow.cli", "run", str(config), "--json"], stdout=stdout)
        peak = watch(process)
    seconds = time.monotonic() - began
    text = answer.read_text(encoding="utf-8")
    if process.returncode:
        raise SystemExit(f"the job failed: {text}")
    return json.loads(text), seconds, peak


def watch(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return the PSS of every process of the tree at its peak; a process once in the tree stays, whoever adopts it."""
    tree = {psutil.Process(process.pid)}
    peak: dict[str, int] = {}
    while process.poll() is None:
        sample: dict[str, int] = {}
        for member in list(tree):
            try:
                tree |= set(member.children(recursive=True))
            except psutil.NoSuchProcess:
                tree.discard(member)
        for member in tree:
            try:
                sample[f"{member.name()} {member.pid}"] = member.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, sample, key=lambda found: sum(found.values()))
        time.sleep(SAMPLE_SECONDS)
    return peak


def measure(rows: int, options: argparse.Namespace) -> Measured:
    """Generate, run and clean up."""
    with tempfile.TemporaryDirectory(prefix="featflow-memory-") as name:
        write_dataset(Path(name) / "data", rows, options.group_rows)
        return run_job(Path(name), options.engine, options.shard_bytes)


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
    runs = [measure(rows, options) for rows in lengths]
    ratios = [run.peak_bytes / runs[0].peak_bytes for run in runs]
    print(f"{'rows':>12} {'seconds':>9} {'rows/s':>10} {'peak MiB':>9} {'ratio':>6}   engine {options.engine}")
    for run, ratio in zip(runs, ratios, strict=True):
        speed = run.rows / run.seconds
        print(f"{run.rows:>12,} {run.seconds:>9.1f} {speed:>10,.0f} {run.peak_bytes / 2**20:>9,.0f} {ratio:>6.2f}")
    if options.json:
        figures = {"engine": options.engine, "ratio": ratios[-1], "runs": [asdict(run) for run in runs]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for run, rows in zip(runs, lengths, strict=True):
        if run.rows != rows or abs(run.pearson - RHO) > 5 / math.sqrt(rows):
            raise SystemExit(f"wrong: {run.rows:,} of {rows:,} rows read, Pearson {run.pearson:.5f} for {RHO}")
    if ratios[-1] > LIMIT:
        raise SystemExit(f"peak memory grew {ratios[-1]:.2f} times, more than {LIMIT}")


if __name__ == "__main__":
    main()
