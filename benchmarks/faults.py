"""What a run survives: drivers, workers and storage killed in its midst, requests that fail, two runs at once.

Every line generates a table, runs the job on it undisturbed, then with faults, and asserts that in the end all tables
are the undisturbed run's. Run it by

    python benchmarks/faults.py [--only LINE,LINE] [--small] [--engine ray|serial] [--json FILE]

| line     | what                                                                                                |
|----------|-----------------------------------------------------------------------------------------------------|
| driver   | 20 drivers killed at random points, by SIGKILL and SIGTERM in turn; each run again to its end       |
| workers  | 20 Ray workers killed at random points while they work; their run ends by itself                    |
| server   | rclone's S3 server killed at 10 random points, away for up to 20 s; run again where the run ended   |
| requests | 5 % of S3 requests fail: the run completes; 60 %: it ends with exit code 4, and later goes on       |
| pairs    | 50 pairs of runs at once on a disk and two S3 servers, gc after each: one result, the other exits 5 |
| halted   | 20 holders of the lock halted before each of their last writes, beside a run and gc, on three stores |
| every    | tiny acts, with a fault of each kind at every operation, and killed at every step of every write    |

The table has 5,000,000 rows and eleven columns, 100,000 with ``--small``, and some hundred of pairs. No credential may
be in what the runs have written or said. Nothing here is timed; seconds are printed to be read. A kill that comes after
its run has ended is drawn again.
"""

from __future__ import annotations

import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import s3fs
from faults_halted import run_halted
from faults_job import Bench, RcloneServer, digest, kill, workers
from faults_pairs import run_pairs
from faulty_proxy import faulty_proxy
from measured import Check, conclude, machine, options_of, print_table, write_dataset
from scale import long_group

SEED = 20260306
AWAY_SECONDS = 20.0
"""A killed server stays away for up to this long: longer and shorter than runs wait for it."""
SHARES = (0.05, 0.6)
"""Of requests that fail."""
MOST_DRAWS = 5
"""Times that a kill is drawn again because its run had ended."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rows: int
    group_rows: int
    """Of a row group, which is a shard."""
    driver: int
    workers: int
    server: int
    pairs: int
    halted: int


FULL, SMALL = Size(5_000_000, 2**17, 20, 20, 10, 50, 20), Size(100_000, 2**13, 2, 1, 1, 1, 1)


@dataclass(frozen=True)
class Undisturbed:
    """What a run is compared with."""

    bench: Bench
    digest: str
    """Of all its tables."""
    seconds: float
    """Of its process."""


@contextmanager
def _on_disk(size: Size, engine: str) -> Iterator[Undisturbed]:
    with tempfile.TemporaryDirectory(prefix="featflow-faults-") as name:
        folder = Path(name)
        write_dataset(folder / "data", size.rows, size.group_rows, long_group)
        yield _undisturbed(Bench(folder, str(folder / "data"), str(folder), engine))


@contextmanager
def _on_rclone(size: Size, engine: str) -> Iterator[tuple[Undisturbed, RcloneServer]]:
    with tempfile.TemporaryDirectory(prefix="featflow-faults-") as name:
        folder = Path(name)
        server = RcloneServer(folder / "served")
        with server.running():
            write_dataset(folder / "data", size.rows, size.group_rows, long_group)
            s3fs.S3FileSystem(**server.options).put(str(folder / "data"), "lake/data", recursive=True)
            yield _undisturbed(Bench(folder, "s3://lake/data", "s3://lake", engine, server.options)), server


def _undisturbed(bench: Bench) -> Undisturbed:
    began = time.monotonic()
    found = digest(bench.finish("undisturbed"))
    seconds = time.monotonic() - began
    print(f"undisturbed: {seconds:.1f} s", flush=True)
    return Undisturbed(bench, found, seconds)


# --- kills ----------------------------------------------------------------------------------------------------------


def _killed(of: Undisturbed, number: int, harm: Callable[[subprocess.Popen[bytes]], bool]) -> tuple[str, float]:
    """Start a run and harm it at a random point; return its output, still running or not, and when it was harmed."""
    draws = random.Random(f"{SEED}:{number}")  # noqa: S311  no secret
    for attempt in range(MOST_DRAWS):
        output, at = f"killed-{number}-{attempt}", draws.uniform(0, of.seconds)
        process = of.bench.start(output)
        time.sleep(at)
        if process.poll() is None and harm(process):
            return output, at
        process.wait()
    raise SystemExit(f"{MOST_DRAWS} runs had ended before they could be harmed")


def run_driver(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    """Kill drivers."""
    with _on_disk(size, engine) as of:
        figures = []
        for number in range(size.driver):
            sent = (signal.SIGKILL, signal.SIGTERM)[number % 2]

            def harm(process: subprocess.Popen[bytes], sent: signal.Signals = sent) -> bool:
                kill(process, sent)
                return process.returncode != 0

            output, at = _killed(of, number, harm)
            began = time.monotonic()
            run = of.bench.finish(output)
            figures.append(_figures(number, sent.name, at / of.seconds, time.monotonic() - began, of, run))
    return figures, _same("driver", figures, size.driver)


def run_workers(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    """Kill workers of Ray, whatever engine other lines have."""
    del engine
    with _on_disk(size, "ray") as of:
        figures = []
        for number in range(size.workers):

            def harm(process: subprocess.Popen[bytes], number: int = number) -> bool:
                while process.poll() is None:
                    found = workers(process.pid)
                    if found:
                        random.Random(number).choice(found).kill()  # noqa: S311  no secret
                        break
                    time.sleep(0.01)
                if process.wait():
                    raise SystemExit(f"a run whose worker was killed ended with {process.returncode}")
                return bool(found)

            began = time.monotonic()
            output, at = _killed(of, number, harm)
            run = of.bench.open(output)
            figures.append(_figures(number, "worker", at / of.seconds, time.monotonic() - began - at, of, run))
    return figures, _same("workers", figures, size.workers)


def run_server(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    """Kill the server of input and output."""
    with _on_rclone(size, engine) as (of, server):
        figures = []
        for number in range(size.server):
            away = random.Random(number).uniform(0, AWAY_SECONDS)  # noqa: S311  no secret
            codes = []

            def harm(process: subprocess.Popen[bytes], away: float = away, codes: list[int] = codes) -> bool:
                server.kill()
                time.sleep(away)
                server.start()
                process.wait()
                codes.append(process.returncode)
                return True

            output, at = _killed(of, number, harm)
            began = time.monotonic()
            run = of.bench.finish(output) if codes[0] else of.bench.open(output)
            what = f"away {away:.0f} s, exit {codes[0]}"
            figures.append(
                _figures(number, what, at / of.seconds, time.monotonic() - began, of, run) | {"exit": codes[0]}
            )
        secrets = of.bench.credential_checks("server")
    unknown = sum(figure["exit"] not in {0, 4} for figure in figures)
    return figures, [
        *_same("server", figures, size.server),
        Check("server", "exits that are not 0 or 4", unknown, 0, 0),
        *secrets,
    ]


def run_requests(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    """Fail a share of the requests."""
    with _on_rclone(size, engine) as (of, _):
        figures, checks = [], []
        for number, share in enumerate(SHARES):
            output = f"share-{round(100 * share)}"
            with faulty_proxy(of.bench.options, share) as (proxy, options):
                began = time.monotonic()
                process = of.bench.start(output, options)
                process.wait()
                seconds, code = time.monotonic() - began, process.returncode
            run = of.bench.finish(output) if code else of.bench.open(output)
            what = f"{share:.0%} of {proxy.requests:,} requests, exit {code}"
            figures.append(_figures(number, what, 0.0, seconds, of, run) | {"exit": code})
            expected = 0 if share == SHARES[0] else 4
            checks.append(Check("requests", f"exit code at {share:.0%}", code, expected, expected))
        checks += of.bench.credential_checks("requests")
    return figures, [*checks, *_same("requests", figures, len(SHARES))]


def _figures(number: int, what: str, at: float, seconds: float, of: Undisturbed, run: Any) -> dict[str, Any]:
    same, manifest = digest(run) == of.digest, run.manifest
    found = {"number": number, "what": what, "at": round(at, 3), "seconds": round(seconds, 1), "same": same}
    found |= {"reused": manifest["shards"]["reused"], "shards": manifest["shards"]["total"]}
    found |= {"retries": manifest["retries"]["storage"], "tasks_again": manifest["retries"]["tasks"]}
    print("  ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    return found


def _same(line: str, figures: list[dict[str, Any]], expected: int) -> list[Check]:
    print_table(list(figures[0]), [list(figure.values()) for figure in figures])
    same = sum(figure["same"] for figure in figures)
    return [Check(line, "runs whose tables are those of the undisturbed run", same, expected, expected)]


def _pairs(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    del engine  # what runs compete for does not depend on it, and the serial one starts faster
    return run_pairs(size.pairs)


def _halted(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    del engine
    return run_halted(size.halted) if size is FULL else run_halted(size.halted, ("disk",))


def _every(size: Size, engine: str) -> tuple[list[dict[str, Any]], list[Check]]:
    from faults_every import run_every  # noqa: PLC0415  its processes are forked: nothing that others import may run

    del engine  # one process: an operation then has a number
    return run_every(size is SMALL)


LINES = {
    "driver": run_driver, "workers": run_workers, "server": run_server, "requests": run_requests, "pairs": _pairs,
    "halted": _halted,
    "every": _every,
}  # fmt: skip


def main() -> None:
    """Run the lines, print them, and check them."""
    options = options_of(__doc__ or "", tuple(LINES))
    figures, checks = {"machine": machine(), "small": options.small}, list[Check]()
    for name in options.only:
        print(f"--- {name}", flush=True)
        figures[name], found = LINES[name](SMALL if options.small else FULL, options.engine)
        checks += found
    conclude(checks, options.json, figures | {"checks": [check.public() for check in checks]})


if __name__ == "__main__":
    main()
