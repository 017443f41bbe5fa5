"""Object stores on loopback: started for the tests, waited for, stopped by process id."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import s3fs

ACCESS_KEY, SECRET_KEY = "featflow-test-key", "featflow-test-secret-5f2b"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account of Azure's emulators and its key, which Microsoft publishes."""
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
def server(command: Callable[[int], list[str]]) -> Iterator[int]:
    """Start a server and yield the port on which it listens."""
    port = unused_port()
    process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_open(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def s3_server(command: Callable[[int], list[str]]) -> Iterator[dict[str, object]]:
    """Start a server of S3 and yield the storage options that reach it."""
    with server(command) as port:
        endpoint = f"http://127.0.0.1:{port}"
        yield {"key": ACCESS_KEY, "secret": SECRET_KEY, "client_kwargs": {"endpoint_url": endpoint}}


def make_bucket(options: dict[str, object]) -> None:
    s3fs.S3FileSystem(**options).mkdir("lake")
