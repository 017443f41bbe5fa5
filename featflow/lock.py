"""The lock of an output: one run at a time, and a dead run does not block the next.

A lease with a token, created exclusively where the store can, read back
everywhere, and renewed in the background.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from featflow.errors import ConfigurationError, InfrastructureError, LockedError
from featflow.storage import Store, first_line

__all__ = ["hold"]

PATH = "LOCK"
LEASE_SECONDS = 300.0
"""A lock not renewed for this long belongs to a dead run."""


@contextmanager
def hold(store: Store) -> Iterator[None]:
    """Hold the lock of an output until the block ends.

    Raises
    ------
    LockedError
        Another run holds it.
    ConfigurationError
        The output cannot be written.
    """
    token = uuid.uuid4().hex
    _acquire(store, token)
    stop = threading.Event()
    heartbeat = threading.Thread(target=_renew, args=(store, token, stop), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        stop.set()
        heartbeat.join()
        if _holder(store).get("token") == token:
            store.remove(PATH)


def _acquire(store: Store, token: str) -> None:
    holder = _holder(store)
    if holder and not _abandoned(holder):
        raise LockedError(_held(store, holder))
    try:
        if holder:
            store.remove(PATH)
        store.create(PATH, _lease(token))
    except (FileExistsError, NotADirectoryError):
        if not _holder(store):
            raise ConfigurationError(f"output: {store.root} is not a directory; choose another") from None
    except Exception as error:  # noqa: BLE001  every filesystem has its own
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ConfigurationError(f"output: cannot write to {store.root}: {reason}; choose another") from None
    # A store without conditional writes lets two creators through: what is read back decides.
    holder = _holder(store)
    if holder.get("token") != token:
        raise LockedError(_held(store, holder))


def _renew(store: Store, token: str, stop: threading.Event) -> None:
    while not stop.wait(LEASE_SECONDS / 5):
        if _holder(store).get("token") == token:
            store.write(PATH, _lease(token))


def _holder(store: Store) -> dict[str, Any]:
    try:
        return dict(json.loads(store.read(PATH)))
    except (FileNotFoundError, ValueError, InfrastructureError):
        return {}


def _lease(token: str) -> bytes:
    lease = {"token": token, "host": socket.gethostname(), "pid": os.getpid(), "expires": time.time() + LEASE_SECONDS}
    return json.dumps(lease).encode()


def _abandoned(holder: dict[str, Any]) -> bool:
    """Whether the lease is over, or its holder ran on this machine and is gone."""
    if time.time() > float(holder.get("expires", 0)):
        return True
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _held(store: Store, holder: dict[str, Any]) -> str:
    left = max(0, round(float(holder.get("expires", 0)) - time.time()))
    return (
        f"another run holds the lock of {store.root} (process {holder.get('pid')} on {holder.get('host')}; "
        f"its lease ends in {left} s unless it is renewed); wait for it or choose another output"
    )
