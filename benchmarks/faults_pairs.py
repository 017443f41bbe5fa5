"""Two runs at once on one output, then gc, again and again, on a disk and two S3 servers; a reader polls: "pairs"."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import s3fs
from faults_job import Bench, RcloneServer, moto_server
from measured import Check, print_table, write_dataset
from scale import long_group

import featflow
from featflow.errors import DatasetError
from featflow.pipeline import garbage

__all__ = ["run_pairs"]

ROWS = 3_000
KEPT = 2
"""Runs that gc keeps: what the reader may have begun to read stays."""
TOGETHER = """
import pathlib, sys, time
from featflow import cli, pipeline
pathlib.Path(sys.argv[2]).touch()
while not pathlib.Path(sys.argv[3]).exists():
    time.sleep(0.001)
sys.argv = ["featflow", "run", sys.argv[1], "--json"]
cli.main()
"""
"""Has everything imported, says so, and begins when it is told: both of a pair ask for the lock within milliseconds."""


@dataclass
class Reader:
    """Polls the latest run at an output, and reads all of its tables each time."""

    output: str
    options: dict[str, Any]
    polls: int = 0
    """Looks that found a run."""
    faults: list[str] = field(default_factory=list)
    """What a reader must never see."""

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Poll during the block."""
        stop = threading.Event()
        thread = threading.Thread(target=self._poll, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _poll(self, stop: threading.Event) -> None:
        seen = False
        while not stop.wait(0.02):
            try:
                run = featflow.Run.open(self.output, options=self.options)
            except DatasetError as error:
                if seen or "no finished run there" not in str(error):
                    self.faults.append(f"no run: {error}")
                continue
            seen = True
            self.polls += 1
            try:
                wanted = {name: table["rows"] for name, table in run.manifest["tables"].items()}
                found = {name: run.arrow(name).num_rows for name in run.tables}
                if found != wanted or "ranking" not in found:
                    self.faults.append(f"{run.run_id}: {found} rows where {wanted} are said")
            except Exception as error:  # noqa: BLE001  whatever a reader meets
                self.faults.append(f"{run.run_id}: {error!r}")


def run_pairs(pairs: int) -> tuple[list[dict[str, Any]], list[Check]]:
    """Return what came of so many pairs on each store."""
    figures, checks = list[dict[str, Any]](), list[Check]()
    with tempfile.TemporaryDirectory(prefix="featflow-pairs-") as name:
        _on_server("disk", _bench(Path(name), {}), pairs, figures, checks)
    with tempfile.TemporaryDirectory(prefix="featflow-pairs-") as name, moto_server() as options:
        _on_server("moto", _bench(Path(name), options), pairs, figures, checks)
    with tempfile.TemporaryDirectory(prefix="featflow-pairs-") as name:
        server = RcloneServer(Path(name) / "served")
        with server.running():
            _on_server("rclone", _bench(Path(name), server.options), pairs, figures, checks)
    header = ("store", "pairs", "exits 0 and 5", "one after another", "other", "polls", "faults")
    rows = []
    for server_name in ("disk", "moto", "rclone"):
        of = [figure for figure in figures if figure["server"] == server_name]
        kinds = [figure["kind"] for figure in of]
        polls, faults = (sum(figure[key] for figure in of) for key in ("polls", "faults"))
        counted = [kinds.count(kind) for kind in ("one", "one after another", "other")]
        rows.append((server_name, len(of), *counted, polls, faults))
        checks += [
            Check(
                "pairs",
                f"{server_name}: pairs of which exactly one published at a time",
                sum(counted[:2]),
                pairs,
                pairs,
            ),
            Check("pairs", f"{server_name}: partial runs seen by the reader", faults, 0, 0),
            Check("pairs", f"{server_name}: runs read by it", polls, 1, float("inf")),
        ]
    print_table(header, rows)
    return figures, checks


def _bench(folder: Path, options: dict[str, Any]) -> Bench:
    write_dataset(folder / "data", ROWS, ROWS, long_group)
    if not options:
        return Bench(folder, str(folder / "data"), str(folder), "serial")
    s3fs.S3FileSystem(**options).put(str(folder / "data"), "lake/data", recursive=True)
    return Bench(folder, "s3://lake/data", "s3://lake", "serial", options)


def _on_server(name: str, bench: Bench, pairs: int, figures: list[dict[str, Any]], checks: list[Check]) -> None:
    options = bench.options
    for number in range(pairs):
        output = f"pair-{number // 10}"  # ten pairs, one after the other, share an output: the reader sees runs change
        reader = Reader(bench.output(output), options)
        before = {run.run_id for run in featflow.list_runs(bench.output(output), options)}
        with reader.polling():
            codes = _pair(bench, output)
            garbage.remove(bench.output(output), KEPT, options)
        runs = [run for run in featflow.list_runs(bench.output(output), options) if run.run_id not in before]
        figure = {"server": name, "pair": number, "codes": codes, "kind": _kind(codes, runs)}
        figure |= {"polls": reader.polls, "faults": len(reader.faults)}
        print("  ".join(f"{key} {value}" for key, value in figure.items()), *reader.faults[:3], flush=True)
        figures.append(figure)
    if options:
        checks += bench.credential_checks("pairs")


def _pair(bench: Bench, output: str) -> list[int]:
    """Run twice into an output at once; return the exit codes, sorted."""
    begin = bench.folder / f"begin-{time.monotonic_ns()}"
    ready = [begin.with_suffix(f".ready-{number}") for number in range(2)]
    config = bench.write(output)
    with bench.log(output).open("a") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", TOGETHER, str(config), str(path), str(begin)], stdout=log, stderr=log
            )
            for path in ready
        ]
    while not all(path.exists() for path in ready) and all(process.poll() is None for process in processes):
        time.sleep(0.005)
    begin.touch()
    return sorted(process.wait() for process in processes)


def _kind(codes: list[int], runs: list[featflow.Run]) -> str:
    """Return what came of a pair: one result; two, one after another; or what must not be."""
    if codes == [0, 5] and len(runs) == 1:
        return "one"
    if codes == [0, 0] and len(runs) == 2:
        first, second = (run.manifest for run in runs)
        end = datetime.fromisoformat(first["started"]) + timedelta(seconds=first["seconds"]["total"])
        return "one after another" if end <= datetime.fromisoformat(second["started"]) else "other"
    return "other"
