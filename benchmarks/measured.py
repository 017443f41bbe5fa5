"""What benchmarks share: data written in row groups, processes watched, calls timed, figures printed and checked.

Memory is the proportional set size (PSS) of a process tree, so that pages shared by processes, Ray's object store
among them, count once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import featflow

FILE_GROUPS = 8
SAMPLE_SECONDS = 0.2
NO_LIMIT = float("inf")


def write_dataset(folder: Path, rows: int, group_rows: int, make: Callable[[int, int], pa.Table]) -> None:
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


# --- processes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One run of the job in a process of its own."""

    rows: int
    """Rows read, by the run's manifest."""
    seconds: float
    """Wall-clock seconds of the process, its start included."""
    stages: dict[str, float]
    """Seconds of every stage and of all of them, by the run's manifest."""
    peak_bytes: int
    """Largest sum of PSS over the process tree."""
    at_peak: dict[str, int]
    """PSS by process at that moment, bytes."""
    run: featflow.Run
    """The finished run, as long as its folder is there."""

    def figures(self) -> dict[str, Any]:
        """Return what outlives the folder, as JSON values."""
        return {name: value for name, value in vars(self).items() if name != "run"}

    def row(self, table: str, **wanted: Any) -> dict[str, Any]:
        """Return the one row of a table that has these values."""
        rows = self.run.arrow(table)
        for name, value in wanted.items():
            rows = rows.filter(pc.field(name) == value)
        (row,) = rows.to_pylist()
        return row


def run_job(folder: Path, values: dict[str, Any], loaded: str = "sys") -> Job:
    """Run a configuration in a process of its own and watch its memory; the folder takes its files.

    Parameters
    ----------
    loaded
        Module that the process imports first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, answer = folder / "config.yaml", folder / "answer.json"
    values = {"output": str(folder / "results")} | values
    config.write_text(json.dumps(values), encoding="utf-8")
    began = time.monotonic()
    with answer.open("w") as stdout:
        start = f"import sys, {loaded}; from featflow.cli import main; main(sys.argv[1:])"
        process = subprocess.Popen([sys.executable, "-c", start, "run", str(config), "--json"], stdout=stdout)
        at_peak = watch(process.pid, lambda: process.poll() is not None)
    seconds = time.monotonic() - began
    text = answer.read_text(encoding="utf-8")
    if process.returncode:
        raise SystemExit(f"the job failed: {text}")
    finished = json.loads(text)
    run = featflow.list_runs(values["output"])[-1]
    return Job(finished["rows"]["read"], seconds, finished["seconds"], sum(at_peak.values()), at_peak, run)


def call_watched(function: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Call a module's function in a process of its own; return its answer and the process tree's peak, bytes."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    at_peak = watch(process.pid or 0, receiver.poll)
    try:
        answer = receiver.recv()
    except EOFError:
        raise SystemExit(f"{function.__name__} failed") from None
    process.join()
    return answer, sum(at_peak.values())


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sender.send(function(*arguments))


def watch(pid: int, done: Callable[[], bool]) -> dict[str, int]:
    """Return the PSS of every process of the tree at its peak; a process once in the tree stays, whoever adopts it."""
    tree = {psutil.Process(pid)}
    peak: dict[str, int] = {}
    while not done():
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


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median of the wall-clock seconds of so many calls."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def machine() -> dict[str, Any]:
    """Return what figures depend on: processor, cores, and which of its instructions matter here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    found = dict(line.split("\t", 1) for line in reversed(lines) if "\t" in line)
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    useful = [name for name in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if name in flags]
    model = found.get("model name", platform.machine()).strip("\t: ")
    return {"model": model, "cores": os.cpu_count(), "flags": useful, "load": os.getloadavg()[0]}


# --- what came out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One asserted figure."""

    line: str
    """Line of the benchmark."""
    what: str
    """What was measured."""
    value: float
    """What came out."""
    low: float
    """Smallest value that passes."""
    high: float
    """Largest value that passes."""

    @property
    def passed(self) -> bool:
        """Whether the value lies within its limits."""
        return bool(self.low <= self.value <= self.high)

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"passed": self.passed}


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their header: numbers to the right, text to the left."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    numbers = [any(isinstance(cell, int | float) for cell in column) for column in zip(*rows, strict=True)]
    for row in (header, *texts):
        aligned = zip(row, widths, numbers, strict=True)
        print("  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in aligned).rstrip())
    print(flush=True)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1_000 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def options_of(document: str, lines: Sequence[str], *, engine: bool = True) -> argparse.Namespace:
    """Read the command line of a benchmark of several lines; ``only`` is the lines to run."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(lines), metavar="NAME", help="which lines to run, by commas")
    parser.add_argument("--small", action="store_true", help="little data; answers are checked, times are not")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    if engine:
        parser.add_argument("--engine", choices=["ray", "serial"], default="ray")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := sorted(set(options.only) - set(lines)):
        parser.error(f"no line {', '.join(unknown)}; there are {', '.join(lines)}")
    return options


def conclude(checks: Sequence[Check], path: Path | None, figures: Any) -> None:
    """Write the figures, say which checks fail, and exit with 1 if any does."""
    failed = [check for check in checks if not check.passed]
    for check in failed:
        limits = f"[{check.low:.6g}, {check.high:.6g}]"
        print(f"fails: line {check.line}: {check.what}: {check.value:.6g} is not in {limits}")
    print(f"{len(checks) - len(failed)} of {len(checks)} checks hold")
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if failed else 0)
