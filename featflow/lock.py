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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial

from featflow.errors import ConfigurationError, InfrastructureError, LockedError, first_line
from featflow.storage import Store

__all__ = ["hold"]

PATH = "LOCK"
LEASE_SECONDS = 300.0
"""A lock not renewed for this long belongs to a dead run."""


@contextmanager
def hold(store: Store) -> Iterator[Callable[[], None]]:
    """Hold the lock of an output until the block ends.

    Yields a check that raises LockedError if the lock was lost: call it before publishing.

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
        yield partial(_check_held, store, token)
    finally:
        stop.set()
        heartbeat.join()
        if _is_mine(store, token):
            store.remove(PATH)


def _acquire(store: Store, token: str) -> None:
    holder = _holder(store)
    if holder and not holder.abandoned():
        raise LockedError(_held(store, holder))
    try:
        if holder and holder == _holder(store):  # nobody else took it over meanwhile
            store.remove(PATH)
        store.create(PATH, _Lease.mine(token).dump())
    except FileExistsError as error:
        if _holder(store) is None:  # it is not the lock that exists
            raise ConfigurationError(f"output: {store.root} is not a directory; choose another") from error
    except NotADirectoryError:
        raise ConfigurationError(f"output: {store.root} is not a directory; choose another") from None
    except Exception as error:  # noqa: BLE001  every filesystem has its own
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ConfigurationError(f"output: cannot write to {store.root}: {reason}; choose another") from None
    # A store without conditional writes lets two creators through: what is read back decides.
    holder = _holder(store)
    if holder is None or holder.token != token:
        raise LockedError(_held(store, holder or _Lease()))


def _renew(store: Store, token: str, stop: threading.Event) -> None:
    while not stop.wait(LEASE_SECONDS / 5):
        with suppress(InfrastructureError):  # the next beat tries again; the lease outlasts several
            if _is_mine(store, token):
                store.write(PATH, _Lease.mine(token).dump())


def _check_held(store: Store, token: str) -> None:
    if not _is_mine(store, token):
        raise LockedError(f"the lock of {store.root} was lost to another run; nothing was published, run again")


def _is_mine(store: Store, token: str) -> bool:
    holder = _holder(store)
    return holder is not None and holder.token == token


@dataclass(frozen=True)
class _Lease:
    """Who holds the lock, and until when. The defaults are those of a lock that cannot be understood: nobody's."""

    token: str = ""
    host: str = "an unknown host"
    pid: int = 0
    expires: float = 0.0

    @classmethod
    def mine(cls, token: str) -> _Lease:
        return cls(token, socket.gethostname(), os.getpid(), time.time() + LEASE_SECONDS)

    @classmethod
    def parse(cls, data: bytes) -> _Lease:
        try:
            lease = json.loads(data)
            return cls(str(lease["token"]), str(lease["host"]), int(lease["pid"]), float(lease["expires"]))
        except (ValueError, TypeError, KeyError):
            return cls()

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def abandoned(self) -> bool:
        """Whether the lease is over, or its holder ran on this machine and is gone."""
        if time.time() > self.expires:
            return True
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _holder(store: Store) -> _Lease | None:
    """Return the lease at the output, None if there is none."""
    try:
        return _Lease.parse(store.read(PATH))
    except (FileNotFoundError, InfrastructureError):
        return None


def _held(store: Store, holder: _Lease) -> str:
    left = max(0, round(holder.expires - time.time()))
    return (
        f"another run holds the lock of {store.root} (process {holder.pid} on {holder.host}; "
        f"its lease ends in {left} s unless it is renewed); wait for it or choose another output"
    )
