"""A holder of the lock halted by SIGSTOP right before one of its last writes, beside a run or `featflow gc`: "halted".

The holder is a process whose lease is shorter. It stops itself after its last check before the write; once its lease is
over, another run, or a removal, has the output to itself from lock to end; then the holder goes on. In the end there is
one result, LATEST is none older, and all tables of every run that is listed are those that its manifest says.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import s3fs
from faults_job import Bench, RcloneServer, moto_server
from measured import Check, print_table, write_dataset
from scale import long_group

import featflow
from featflow.pipeline import garbage
from featflow.storage import lock
from featflow.storage.run_writer import digest_of_parts
from featflow.storage.store import Store

__all__ = ["run_halted"]

ROWS = 500
LEASE_SECONDS = 2.0
"""Of the holder: as long as a run of this size may take to ask for its lock."""
MOST_DRAWS = 5
WRITES = ("manifest.json", "_SUCCESS", "LATEST")
STORES = ("disk", "moto", "rclone")
LIGHT = {"correlation": False, "interaction": False, "drift": False}
HOLDER = """
import json, os, signal, sys
import featflow
from featflow.errors import FeatflowError
from featflow.storage import latest, lock
from featflow.storage.store import Store
lock.LEASE_SECONDS = float(sys.argv[1])
write, move = Store.write, latest.move
for line in sys.stdin:
    config, before = json.loads(line)
    halts = [before]
    def halt(name):
        if name in halts:
            halts.remove(name)
            os.kill(os.getpid(), signal.SIGSTOP)
    def halting_write(store, path, data):
        if path.startswith("runs/"):
            halt(path.rpartition("/")[2])
        return write(store, path, data)
    def halting_move(*arguments):
        halt("LATEST")
        return move(*arguments)
    Store.write, latest.move = halting_write, halting_move
    try:
        featflow.run(config)
        code = 0
    except FeatflowError as error:
        code = error.exit_code
    print(json.dumps([code, not halts]), flush=True)
"""
"""Runs one configuration after another, each halted before a write that is named; says how each ended."""


@dataclass(frozen=True)
class Holder:
    """The process that is halted."""

    process: subprocess.Popen[str]
    asks: Any
    """Takes a configuration and the name of a write, a line each time."""
    answers: Any
    """Gives how each run ended."""

    def halt(self, asked: list[Any]) -> None:
        """Let it run until it is halted, again where the machine was so busy that its lease ended before that."""
        for _ in range(MOST_DRAWS):
            self.asks.write(json.dumps(asked) + "\n")
            self.asks.flush()
            while not select.select([self.answers], [], [], 0.02)[0]:
                stopped, status = os.waitpid(self.process.pid, os.WUNTRACED | os.WNOHANG)
                if stopped and os.WIFSTOPPED(status):
                    return
            print("drawn again:", self.answers.readline().strip(), flush=True)
        raise SystemExit(f"{MOST_DRAWS} holders ended before they could be halted")


@dataclass(frozen=True)
class Trial:
    """One holder that was halted."""

    store: str
    before: str
    beside: str
    code: int
    """What the holder ended with."""
    halted: bool
    fault: str
    """What must not be, "" if nothing."""


def run_halted(times: int, stores: tuple[str, ...] = STORES) -> tuple[list[dict[str, Any]], list[Check]]:
    """Halt holders so many times before each of the last writes, beside a run and beside a removal, on each store."""
    trials = list[Trial]()
    for name in stores:
        with tempfile.TemporaryDirectory(prefix="featflow-halted-") as folder, _bench(name, Path(folder)) as bench:
            command = [sys.executable, "-c", HOLDER, str(LEASE_SECONDS)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
                holder = Holder(process, process.stdin, process.stdout)
                for number in range(times):
                    for before in WRITES:
                        for beside in ("run", "gc"):
                            trials.append(_trial(name, bench, holder, before, beside, number))
                            print(*vars(trials[-1]).values(), flush=True)
                holder.asks.close()
    print_table(("store", "before", "beside", "times", "exit 5", "exit 0", "faults"), list(_counted(trials)))
    sound = sum(trial.halted and not trial.fault for trial in trials)
    wanted = times * len(stores) * len(WRITES) * 2
    text = "halted holders after which there was one result, LATEST none older, and every run whole"
    return [vars(trial) for trial in trials], [Check("halted", text, sound, wanted, wanted)]


def _counted(trials: list[Trial]) -> Iterator[tuple[Any, ...]]:
    for key in dict.fromkeys((trial.store, trial.before, trial.beside) for trial in trials):
        of = [trial for trial in trials if (trial.store, trial.before, trial.beside) == key]
        codes = [trial.code for trial in of]
        yield *key, len(of), codes.count(5), codes.count(0), sum(bool(trial.fault) for trial in of)


@contextmanager
def _bench(name: str, folder: Path) -> Iterator[Bench]:
    write_dataset(folder / "data", ROWS, ROWS, long_group)
    if name == "disk":
        yield Bench(folder, str(folder / "data"), str(folder), "serial")
        return
    server = RcloneServer(folder / "served")
    with moto_server() if name == "moto" else server.running() as of_moto:
        options = of_moto or server.options
        s3fs.S3FileSystem(**options).put(str(folder / "data"), "lake/data", recursive=True)
        yield Bench(folder, "s3://lake/data", "s3://lake", "serial", options)


def _trial(name: str, bench: Bench, holder: Holder, before: str, beside: str, number: int) -> Trial:
    output = f"{before.strip('_').partition('.')[0]}-{beside}-{number // 5}"  # five of them share an output

    def config(budget: float) -> dict[str, Any]:  # which decides no number here, and has all measured
        with bench.write(output, budget={"bad_rows": budget}, analyses=LIGHT).open() as file:
            parsed: dict[str, Any] = json.load(file)
        return parsed

    store = Store(bench.output(output), bench.options)
    if not store.names("runs"):
        featflow.run(config(0.5))
    known = {run.run_id for run in featflow.list_runs(store.root, bench.options)}
    holder.halt([config(0.1 + number / 1000), before])
    while lock.claim(store):
        time.sleep(0.02)
    other = featflow.run(config(0.3 + number / 1000)).run_id if beside == "run" else None
    if beside == "gc":
        garbage.remove(store.root, 1, bench.options)
    holder.process.send_signal(signal.SIGCONT)
    code, halted = json.loads(holder.answers.readline())
    return Trial(name, before, beside, code, halted, _fault(store, known, other, code))


def _fault(store: Store, known: set[str], other: str | None, code: int) -> str:
    """Return what is wrong at an output after a trial, "" if nothing."""
    runs = {run.run_id: run for run in featflow.list_runs(store.root, store.options)}
    latest = store.read("LATEST").decode()
    new = runs.keys() - known
    if code not in {0, 5} or len(new) != (1 if other or code == 0 else 0) or (other and new != {other}):
        return f"exit {code}, and new are {new}"
    if new and latest not in new:
        return f"LATEST names {latest}, and new are {new}"
    if latest not in runs:
        return f"LATEST names {latest}, which is no run"
    for run in runs.values():
        for table, entry in run.manifest["tables"].items():
            parts = [hashlib.sha256(store.read(path)).hexdigest() for path in run.paths(table)]
            if digest_of_parts(parts) != entry["sha256"]:
                return f"{run.run_id}: its table {table} is another"
    return ""
