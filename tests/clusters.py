"""A real Ray cluster on loopback: a head and nodes, each in processes of its own, stopped by process id."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from servers import READY_SECONDS, unused_port, wait_until_open

STORE_BYTES = 80 * 2**20
"""Object store of a node: the least that Ray takes is a little less."""


@dataclass
class Node:
    """A node: ``ray start --block`` and what it started."""

    process: subprocess.Popen

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the node."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def kill(self) -> None:
        """End the node as a machine that loses its power."""
        stop(self.processes())
        self.process.wait(timeout=20)


def stop(processes: list[psutil.Process]) -> None:
    """Kill processes and wait until they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=20)


@dataclass
class RayCluster:
    """Nodes of one core each, whatever cores there are, around a head that runs no tasks."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=unused_port)
    dashboard: int = field(default_factory=unused_port)
    metrics: int = field(default_factory=unused_port)
    """Port on which the head, where drivers run, exports metrics."""
    nodes: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        """URL of the job server."""
        return f"http://127.0.0.1:{self.dashboard}"

    def start_head(self) -> None:
        """Start the head and wait until its job server answers."""
        options = ["--head", f"--port={self.port}", f"--dashboard-port={self.dashboard}", "--num-cpus=0"]
        options += ["--dashboard-host=127.0.0.1", f"--metrics-export-port={self.metrics}"]
        node = self._start(options)
        try:
            wait_until_open(node.process, self.dashboard)
        except RuntimeError as error:
            raise RuntimeError((self.folder / "node-0.log").read_text()) from error

    def start_node(self) -> Node:
        """Start a node of one core."""
        return self._start([f"--address=127.0.0.1:{self.port}", "--num-cpus=1"])

    def wait_for_nodes(self, number: int) -> None:
        """Wait until so many nodes beside the head have joined."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            listed: list[Any] = []
            with suppress(OSError):  # on a busy machine the dashboard refuses connections again after its first one
                listed = self._asked("nodes?view=summary")["data"]["summary"]
            if sum(node["raylet"].get("state") == "ALIVE" for node in listed) == number + 1:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(listed)} nodes after {READY_SECONDS} s")
            time.sleep(0.2)

    def _start(self, options: list[str]) -> Node:
        ray = str(Path(sys.executable).parent / "ray")
        common = [
            "--block",
            "--disable-usage-stats",
            f"--object-store-memory={STORE_BYTES}",
            "--node-ip-address=127.0.0.1",
        ]
        agent = [f"--dashboard-agent-listen-port={unused_port()}", f"--dashboard-agent-grpc-port={unused_port()}"]
        # A disk of its own: nodes that share one unpack working directories over each other's.
        common += [f"--temp-dir={self.folder}/{len(self.nodes)}"]
        with (self.folder / f"node-{len(self.nodes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [ray, "start", *options, *common, *agent], env=self.environment, stdout=log, stderr=log
            )
        self.nodes.append(Node(process))
        return self.nodes[-1]

    def job(self, name: str) -> dict[str, Any]:
        """Return what the job server says of a job."""
        return self._asked(f"api/jobs/{name}")

    def _asked(self, path: str) -> Any:
        request = urllib.request.Request(f"{self.address}/{path}")
        request.add_header("Authorization", f"Bearer {self.environment['RAY_AUTH_TOKEN']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def exported(self) -> str:
        """Return the metrics that the head exports, as text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}", timeout=10) as answer:
            return answer.read().decode()


@contextmanager
def ray_cluster(nodes: int, environment: dict[str, str]) -> Iterator[RayCluster]:
    """Yield a cluster of a head and so many nodes."""
    folder = Path(tempfile.mkdtemp(prefix="ff-", dir="/tmp"))  # paths of sockets must be short
    # A token of its own: no other on this machine can submit to it, whatever token its user has.
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_metrics_report_interval_ms": "500"}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # whose "python" jobs run
    cluster = RayCluster(folder, {**os.environ, **own, **environment})
    try:
        cluster.start_head()
        for _ in range(nodes):
            cluster.start_node()
        cluster.wait_for_nodes(nodes)
        yield cluster
    finally:
        stop([process for node in cluster.nodes for process in node.processes()])
        for node in cluster.nodes:
            node.process.wait(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)
