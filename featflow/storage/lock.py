"""The lock of an output: one run at a time, and a dead run does not block the next.

Safe on a store that cannot create a file only where there is none, as it rests on no more than that whoever lists
after a write sees what was written:

1. A run writes a *claim* under a name of its own, then lists all claims.
2. It holds the lock once such a list shows no other live claim; it then says so in its claim.
3. If it sees a claim that holds, it takes its own back and gives up. Of claims that only ask, the lowest token stays
   and lists again until the others are gone or one of them holds; those with higher tokens give up.

*Never two*: of two holders, the one that wrote its claim later listed later still, and saw the other's. *Always one*
of those that begin together: the lowest token gives up only if another holds. (A run that meets one which gives up in
the same moment may give up, too: the lowest of all does not.)

A claim is live until its lease ends, which a thread renews; on the holder's own machine it dies with its process. Dead
claims are ignored, and removed by the next holder. A run that was halted for longer than its lease does not renew it:
it finds its claim over, or another that holds, when it checks before it publishes, and publishes nothing. Between that
check and the last write lies what no store without transactions can close: a halt of minutes in just that moment.
Machines must agree on the time to well below `LEASE_SECONDS`.
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
from dataclasses import asdict, dataclass, replace
from functools import partial

from featflow.errors import ConfigurationError, InfrastructureError, LockedError
from featflow.storage.retries import is_transient
from featflow.storage.store import Store, reason

__all__ = ["FOLDER", "Claim", "claim", "hold", "holder"]

FOLDER = "lock"
"""Where claims are, below the output."""
LEASE_SECONDS = 300.0
"""A claim not renewed for this long belongs to a dead run."""
ASKING_SECONDS = 30.0
"""The lowest token waits this long for others to give up."""
LOOK_SECONDS = 0.2
"""Between two looks at claims that ask."""


@contextmanager
def hold(store: Store, run: str = "") -> Iterator[Callable[[], None]]:
    """Hold the lock of an output until the block ends.

    Yields a check that raises LockedError if the lock was lost: call it before publishing.

    Parameters
    ----------
    run
        What it is held for, as `claim` says it.

    Raises
    ------
    LockedError
        Another run holds it.
    ConfigurationError
        The output cannot be written.
    InfrastructureError
        Storage did not answer.
    """
    token = uuid.uuid4().hex
    mine = Claim.mine(token, run)
    try:
        _acquire(store, mine)
        stop = threading.Event()
        heartbeat = threading.Thread(target=_renew, args=(store, mine, stop), daemon=True)
        heartbeat.start()
        try:
            yield partial(_check_held, store, token)
        finally:
            stop.set()
            heartbeat.join()
    finally:
        with suppress(InfrastructureError):  # what cannot be taken back ends with its lease
            store.remove(_path(token))


def holder(store: Store) -> str | None:
    """Return which process holds the lock of an output, None if none does."""
    held = claim(store)
    return f"process {held.pid} on {held.host}" if held else None


def claim(store: Store) -> Claim | None:
    """Return the claim of the process that holds the lock of an output, None if none does."""
    return next((each for each in _others(store, "") if each.holds), None)


def _acquire(store: Store, asking: Claim) -> None:
    token = asking.token
    try:
        store.write(_path(token), asking.dump())
    except InfrastructureError as error:
        cause = error.__cause__
        if cause is None or is_transient(cause):
            raise
        if isinstance(cause, NotADirectoryError | FileExistsError):
            raise ConfigurationError(f"output: {store.root} is not a directory; choose another") from None
        raise ConfigurationError(f"output: cannot write to {store.root}: {reason(cause)}; choose another") from None
    until = time.time() + ASKING_SECONDS
    while others := _others(store, token):
        first = min(others, key=lambda claim: (not claim.holds, claim.token))
        if first.holds or first.token < token or time.time() > until:
            raise LockedError(_held(store, first))
        time.sleep(LOOK_SECONDS)
    store.write(_path(token), asking.renewed().dump())
    if asking.dead():  # others may have ignored it
        raise InfrastructureError(f"{store.root}: storage took longer to answer than a lease lasts; run again")
    for name in store.names(FOLDER):
        other = _read(store, name)
        if other and other.token and other.dead():  # one that cannot be understood may be half written
            store.remove(_path(other.token))


def _renew(store: Store, claimed: Claim, stop: threading.Event) -> None:
    token = claimed.token
    while not stop.wait(LEASE_SECONDS / 5):
        with suppress(InfrastructureError):  # the next beat tries again; the lease outlasts several
            mine = _read(store, f"{token}.json")
            if mine is None or mine.dead():  # taken over, or about to be
                return
            store.write(_path(token), claimed.renewed().dump())


def _check_held(store: Store, token: str) -> None:
    mine = _read(store, f"{token}.json")
    if mine is None or mine.dead() or any(claim.holds for claim in _others(store, token)):
        raise LockedError(f"the lock of {store.root} was lost to another run; nothing was published, run again")


@dataclass(frozen=True)
class Claim:
    """What one run says of itself. The defaults are those of a claim that cannot be understood: nobody's."""

    token: str = ""
    host: str = "an unknown host"
    pid: int = 0
    expires: float = 0.0
    holds: bool = False
    since: float = 0.0
    """When it was first made; 0 where an earlier version did not say."""
    run: str = ""

    @classmethod
    def mine(cls, token: str, run: str) -> Claim:
        """Return a claim of this process that asks."""
        now = time.time()
        return cls(token, socket.gethostname(), os.getpid(), now + LEASE_SECONDS, since=now, run=run)

    def renewed(self) -> Claim:
        """Return the claim as it holds, with its whole lease before it."""
        return replace(self, holds=True, expires=time.time() + LEASE_SECONDS)

    @classmethod
    def parse(cls, data: bytes) -> Claim:
        """Return a claim as it was written, or nobody's."""
        try:
            said = json.loads(data)
            who = str(said["token"]), str(said["host"]), int(said["pid"])
            more = float(said.get("since", 0)), str(said.get("run", ""))
            return cls(*who, float(said["expires"]), bool(said["holds"]), *more)
        except (ValueError, TypeError, KeyError):
            return cls()

    def dump(self) -> bytes:
        """Return it as it is written."""
        return json.dumps(asdict(self)).encode()

    def dead(self) -> bool:
        """Whether the lease is over, or its process ran on this machine and is gone."""
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


def _path(token: str) -> str:
    return f"{FOLDER}/{token}.json"


def _read(store: Store, name: str) -> Claim | None:
    """Return a claim by its file's name, None if it is gone."""
    try:
        return Claim.parse(store.read(f"{FOLDER}/{name}"))
    except FileNotFoundError:
        return None


def _others(store: Store, token: str) -> list[Claim]:
    """Return the live claims but one's own."""
    names = [name for name in store.names(FOLDER) if name.endswith(".json") and name != f"{token}.json"]
    return [claim for name in names if (claim := _read(store, name)) and not claim.dead()]


def _held(store: Store, claim: Claim) -> str:
    left = max(0, round(claim.expires - time.time()))
    return (
        f"another run holds the lock of {store.root} (process {claim.pid} on {claim.host}; "
        f"its lease ends in {left} s unless it is renewed); wait for it or choose another output"
    )
