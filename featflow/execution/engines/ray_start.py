"""How a local Ray is started, or a cluster joined."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from featflow.errors import InfrastructureError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray

__all__ = ["start"]

LOCAL_STORE_BYTES = 256 * 2**20
"""Object store of a local Ray: tasks exchange names and small tables, states go through storage."""
CONNECT_SECONDS = 10
"""Wait for a connection: far above any round trip, far below the minutes that Ray itself would try."""


def start(address: str | None) -> None:
    """Start a Ray on this machine, or join the one at an address; InfrastructureError if there is none."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
    try:
        _check_reachable(address)
        with _own_handler():
            ray.init(address=address or "local", **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise InfrastructureError(f"engine.address: no Ray at {address or 'this machine'}: {error}") from error


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: Ray's ends with 15 and the stacks of its own threads."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _check_reachable(address: str | None) -> None:
    """Raise OSError if nothing listens at host:port: Ray itself would try for minutes, then end the process."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
