"""What the lines of `faults.py` share: a dataset, runs of it in processes of their own, and what must come out."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from measured import Check
from secrets_search import credential_checks

import featflow
from featflow.errors import DatasetError
from featflow.export.report.writing import write_report

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from servers import ACCESS_KEY, SECRET_KEY, make_bucket, s3_server, unused_port, wait_until_open

__all__ = ["Bench", "RcloneServer", "digest", "kill", "moto_server", "workers"]

SHARD_BYTES = 2**16
"""Less than any row group: each is a shard."""
GONE_SECONDS = 30.0
"""What a killed driver had started ends by itself within this time, or is ended."""


@dataclass(frozen=True)
class Bench:
    """A dataset, and runs of it into outputs of their own."""

    folder: Path
    """Where configurations are written."""
    source: str
    """URI of the dataset."""
    outputs: str
    """URI below which outputs are."""
    engine: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Storage options."""
    dataset: dict[str, Any] = field(default_factory=lambda: {"targets": ["y"], "shard_bytes": SHARD_BYTES})
    """What else a configuration says of the dataset."""

    def write(self, output: str, options: dict[str, Any] | None = None, **more: Any) -> Path:
        """Write what configures a run into an output, and more sections of it; return where."""
        path = self.folder / f"{output}.yaml"
        dataset = self.dataset | {"source": self.source, "storage_options": options or self.options}
        values = {"dataset": dataset, "output": self.output(output), "engine": {"kind": self.engine}} | more
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    def start(self, output: str, options: dict[str, Any] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        """Start a run into an output, in a process of its own."""
        command = [sys.executable, "-m", "featflow", "run", str(self.write(output, options, **more)), "--json"]
        with self.log(output).open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def log(self, output: str) -> Path:
        """Return where runs into an output say what they say."""
        folder = self.folder / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{output}.log"

    def output(self, name: str) -> str:
        """Return the URI of an output."""
        return f"{self.outputs}/{name}"

    def finish(self, output: str, **more: Any) -> featflow.Run:
        """Run into an output to the end; exit where that fails."""
        code = self.start(output, **more).wait()
        if code:
            raise SystemExit(f"a run into {output} ended with {code}: {self.log(output).read_text()}")
        return self.open(output)

    def credential_checks(self, line: str) -> list[Check]:
        """Return that no credential is in what runs have left, or said, or in reports of them."""
        for log in (self.folder / "logs").glob("*.log"):
            with suppress(DatasetError):  # one that was harmed and not run again
                write_report(self.open(log.stem))
        places = [self.outputs, str(self.folder / "logs")]
        of_ray = Path(tempfile.gettempdir()) / "ray" / "session_latest" / "logs"
        if self.engine == "ray" and of_ray.exists():
            places.append(str(of_ray.resolve()))
        return credential_checks(line, places, self.options)

    def open(self, output: str) -> featflow.Run:
        """Open the latest run at an output."""
        return featflow.Run.open(self.output(output), options=self.options)


def digest(run: featflow.Run) -> str:
    """Return a digest of all tables of a run but drift, which is of the run before this one."""
    found = {name: table["sha256"] for name, table in run.manifest["tables"].items() if name != "drift"}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def kill(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a driver and wait until nothing is left of what it had started."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    process.send_signal(number)
    process.wait()
    _, left = psutil.wait_procs(below, timeout=GONE_SECONDS)
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.kill()


NO_WORKERS = ("ray::IDLE", "ray::_prepare", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Titles of what works on no item; an agent's death is its node's."""


def workers(pid: int) -> list[psutil.Process]:
    """Return the Ray workers below a process that work on something."""
    found = []
    for member in psutil.Process(pid).children(recursive=True):
        try:
            title = " ".join(member.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and not title.startswith(NO_WORKERS):
            found.append(member)
    return found


# --- servers --------------------------------------------------------------------------------------------------------


class RcloneServer:
    """rclone's S3 server on a folder, which stays on its port however often it is killed."""

    def __init__(self, root: Path) -> None:
        (root / "lake").mkdir(parents=True)
        self._root, self._port = root, unused_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Storage options that reach it."""
        checksums = {"response_checksum_validation": "when_required"}  # it answers a range with the whole's checksum
        endpoint = {"endpoint_url": f"http://127.0.0.1:{self._port}"}
        return {"key": ACCESS_KEY, "secret": SECRET_KEY, "client_kwargs": endpoint, "config_kwargs": checksums}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        binary, address = str(Path(sys.executable).parent / "rclone"), f"127.0.0.1:{self._port}"
        keys = f"{ACCESS_KEY},{SECRET_KEY}"
        command = [binary, "serve", "s3", str(self._root), "--addr", address, "--auth-key", keys]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_open(self._process, self._port)

    def kill(self) -> None:
        """Kill it; what it was asked is not answered."""
        if self._process:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the block."""
        self.start()
        try:
            yield
        finally:
            self.kill()


@contextmanager
def moto_server() -> Iterator[dict[str, Any]]:
    """Yield the storage options of a moto server with a bucket 'lake'."""
    with s3_server(lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as options:
        make_bucket(options)
        yield options
