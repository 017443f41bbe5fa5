"""What a night costs: a year of flights in daily partitions on S3, 364 days first, then the last one.

The night's run must take at most a tenth of a run over all 365 days from nothing with the same codebook, and its
tables must be that run's, bit for bit. Run it by

    python benchmarks/nights.py [--only moto,rclone] [--small] [--engine ray|serial] [--json FILE]

Data are ``hflights.parquet`` of the folder that ``FEATFLOW_DATA`` names (``../shared/data`` by default). Runs are
processes of their own and their seconds are those of the processes, start and imports included; medians of 5. With
``--small``, five days once.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import s3fs
from faults_job import Bench, RcloneServer, moto_server
from measured import NO_LIMIT, Check, conclude, machine, options_of, print_table

import featflow

DATA = Path(os.environ.get("FEATFLOW_DATA", "../shared/data"))
EVENT_TIME = "day"
DATASET: dict[str, Any] = {"targets": ["Cancelled", "ArrDelay"], "event_time": EVENT_TIME}
REPEATS, MOST_SHARE = 5, 0.1
ALL_DAYS, SMALL_DAYS = 365, 5
NO_COUNTS = {"drift"}
"""Tables that speak of the run before, which a run from nothing has not."""


def days(count: int) -> list[tuple[str, pl.DataFrame]]:
    """Return the flights of each of the first days, by their date."""
    flights = pl.read_parquet(DATA / "hflights.parquet")
    flights = flights.with_columns(day=pl.date("Year", "Month", "DayofMonth"))
    found = flights.partition_by("day", as_dict=True, include_key=False)
    return [(str(key[0]), found[key]) for key in sorted(found)[:count]]


@contextmanager
def _moto(folder: Path) -> Iterator[dict[str, Any]]:
    del folder
    with moto_server() as options:
        yield options


@contextmanager
def _rclone(folder: Path) -> Iterator[dict[str, Any]]:
    server = RcloneServer(folder / "served")
    with server.running():
        yield server.options


SERVERS = {"moto": _moto, "rclone": _rclone}


def run_server(server: str, engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Run night after night, each on a server of its own."""
    count, repeats = (SMALL_DAYS, 1) if small else (ALL_DAYS, REPEATS)
    *before, last = days(count)
    figures, secrets = [], list[Check]()
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="featflow-nights-") as name, SERVERS[server](Path(name)) as options:
            bench = Bench(Path(name), "s3://lake/data", "s3://lake", engine, options, DATASET)
            figures.append({"server": server} | _one_night(bench, before, last))
            secrets += bench.credential_checks(server)
        print("  ".join(f"{key} {value}" for key, value in figures[-1].items()), flush=True)
    return figures, [*_checks(server, figures, small=small), *secrets]


def _one_night(bench: Bench, before: list[tuple[str, pl.DataFrame]], last: tuple[str, pl.DataFrame]) -> dict[str, Any]:
    storage = s3fs.S3FileSystem(**bench.options)
    for day in before:
        _write(storage, *day)
    first, first_seconds = _timed(bench, "nightly")
    _write(storage, *last)
    night, night_seconds = _timed(bench, "nightly")
    version = night.manifest["codebook"]
    codebook = f"states/codebook/{version}.arrow"
    storage.copy(f"lake/nightly/{codebook}", f"lake/whole/{codebook}")
    whole, whole_seconds = _timed(bench, "whole", version)
    print(f"night: {night.manifest['seconds']}\nwhole: {whole.manifest['seconds']}", flush=True)
    return {
        "first": first_seconds,
        "night": night_seconds,
        "whole": whole_seconds,
        "share": night_seconds / whole_seconds,
        "computed": night.manifest["shards"]["computed"],
        "same codebook": first.manifest["codebook"] == version,
        "different": ",".join(different(night, whole)),
    }


def _write(storage: s3fs.S3FileSystem, day: str, flights: pl.DataFrame) -> None:
    with storage.open(f"lake/data/{EVENT_TIME}={day}/flights.parquet", "wb") as file:
        flights.write_parquet(file)


def _timed(bench: Bench, output: str, codebook: str | None = None) -> tuple[featflow.Run, float]:
    began = time.monotonic()
    run = bench.finish(output, codebook={"version": codebook} if codebook else {})
    return run, time.monotonic() - began


def different(one: featflow.Run, other: featflow.Run) -> list[str]:
    """Return the tables, or their columns, that are not equal to the bit."""
    found = []
    for name in sorted((set(one.tables) | set(other.tables)) - NO_COUNTS):
        if name not in one.tables or name not in other.tables:
            found.append(name)
            continue
        left, right = one.table(name), other.table(name)
        found += [f"{name}.{c}" for c in left.columns if not left[c].equals(right[c], null_equal=True)]
    return found


def _checks(server: str, figures: list[dict[str, Any]], *, small: bool) -> list[Check]:
    print_table(list(figures[0]), [list(figure.values()) for figure in figures])
    night, whole = (statistics.median(figure[name] for figure in figures) for name in ("night", "whole"))
    most = NO_LIMIT if small else MOST_SHARE
    print(f"{server}: night {night:.1f} s, whole {whole:.1f} s, share {night / whole:.3f}", flush=True)
    return [
        Check(server, "median night over median run of all days", night / whole, 0, most),
        Check(server, "most shards that a night computed", max(figure["computed"] for figure in figures), 1, 1),
        Check(server, "nights that differ", sum(bool(figure["different"]) for figure in figures), 0, 0),
    ]


def main() -> None:
    """Run the servers, print their figures, and check them."""
    options = options_of(__doc__ or "", tuple(SERVERS))
    figures, checks = {"machine": machine(), "small": options.small}, list[Check]()
    for name in options.only:
        figures[name], found = run_server(name, options.engine, small=options.small)
        checks += found
    conclude(checks, options.json, figures | {"checks": [check.public() for check in checks]})


if __name__ == "__main__":
    main()
