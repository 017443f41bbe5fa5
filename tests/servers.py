"""Real S3 servers on loopback: started for the tests, waited for, stopped by process id."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import s3fs

ACCESS_KEY, SECRET_KEY = "featflow-test-key", "featflow-test-secret-5f2b"
READY_SECONDS = 60


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a process listens on a port."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def s3_server(command: Callable[[int], list[str]]) -> Iterator[dict[str, object]]:
    """Start a server and yield the storage options that reach it."""
    port = unused_port()
    process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_open(process, port)
        endpoint = f"http://127.0.0.1:{port}"
        yield {
            "key": ACCESS_KEY,
            "secret": SECRET_KEY,
            "client_kwargs": {"endpoint_url": endpoint},
        }
    finally:
        process.terminate()
        process.wait(timeout=30)


def make_bucket(options: dict[str, object]) -> None:
    s3fs.S3FileSystem(**options).mkdir("lake")
