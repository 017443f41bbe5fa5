"""The lock of an output: one run at a time, and a dead run does not block the next.

It is safe on stores without conditional writes: it needs no more than that a listing after a write shows what was
written:

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

from featflow.errors import ConfigurationError, FeatflowError, InfrastructureError, LockedError
from featflow.storage.filesystems import reason, remedy
from featflow.storage.retries import is_refused, is_transient
from featflow.storage.store import Store

__all__ = ["FOLDER", "Claim", "claim", "give_back", "hold", "holder"]

FOLDER = "lock"
"""Folder of claims, below the output."""
LEASE_SECONDS = 300.0
"""A claim not renewed for this long belongs to a dead run. A shorter lease would be lost by a driver that is halted, or
whose storage is away, for minutes; a longer one makes the next run wait after a death on another machine."""
ASKING_SECONDS = 30.0
"""The lowest token waits this long for others to give up: many times what they need for a listing and a removal."""
LOOK_SECONDS = 0.2
"""Time between two listings while others give up."""


@contextmanager
def hold(store: Store, run: str = "") -> Iterator[Callable[[], None]]:
    """Hold the lock of an output until the block ends.

    Yields a check that raises LockedError if the lock was lost: call it before publishing.

    Parameters
    ----------
    run
        Id of the run that holds it, which `claim` returns.

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
        with suppress(FeatflowError):  # a claim that cannot be removed ends with its lease
            store.remove(_path(token))


def holder(store: Store) -> str | None:
    """Return which process holds the lock of an output, None if none does."""
    held = claim(store)
    return f"process {held.pid} on {held.host}" if held else None


def claim(store: Store) -> Claim | None:
    """Return the claim of the process that holds the lock of an output, None if none does."""
    return next((each for each in _live_claims(store, "") if each.holds), None)


def give_back(store: Store, process: int) -> list[Claim]:
    """Remove and return the claims of a process of this machine that is gone."""
    claims = [_read_claim(store, name) for name in store.names(FOLDER) if name.endswith(".json")]
    host = socket.gethostname()
    lost = [claim for claim in claims if claim and (claim.host, claim.pid) == (host, process) and claim.dead()]
    for claim in lost:
        store.remove(_path(claim.token))
    return lost


def _acquire(store: Store, asking: Claim) -> None:
    token = asking.token
    try:
        store.write(_path(token), asking.dump())
    except FeatflowError as error:
        cause = error.__cause__
        if cause is None or is_transient(cause):
            raise
        if isinstance(cause, NotADirectoryError | FileExistsError):
            raise ConfigurationError(f"output: {store.root} is not a directory; choose another") from None
        advice = remedy(store.root) if is_refused(cause) else "choose another"
        raise ConfigurationError(f"output: cannot write to {store.root}: {reason(cause)}; {advice}") from None
    until = time.time() + ASKING_SECONDS
    while others := _live_claims(store, token):
        first = min(others, key=lambda claim: (not claim.holds, claim.token))
        if first.holds or first.token < token or time.time() > until:
            raise LockedError(_locked_message(store, first))
        time.sleep(LOOK_SECONDS)
    store.write(_path(token), asking.renewed().dump())
    if asking.dead():  # a run that asked meanwhile may have taken the claim for dead
        raise InfrastructureError(f"{store.root}: storage took longer to answer than a lease lasts; run again")
    for name in store.names(FOLDER):
        other = _read_claim(store, name)
        if other and other.token and other.dead():  # a claim that cannot be parsed may be half written
            store.remove(_path(other.token))


def _renew(store: Store, claimed: Claim, stop: threading.Event) -> None:
    token = claimed.token
    while not stop.wait(LEASE_SECONDS / 5):  # four beats may fail before the lease ends
        with suppress(FeatflowError):  # the next beat tries again
            mine = _read_claim(store, f"{token}.json")
            if mine is None or mine.dead():  # taken over, or about to be
                return
            store.write(_path(token), claimed.renewed().dump())


def _check_held(store: Store, token: str) -> None:
    mine = _read_claim(store, f"{token}.json")
    if mine is None or mine.dead() or any(claim.holds for claim in _live_claims(store, token)):
        raise LockedError(f"the lock of {store.root} was lost to another run; nothing was published, run again")


@dataclass(frozen=True)
class Claim:
    """What a run writes of itself. Defaults are those of a claim that cannot be parsed, which belongs to nobody."""

    token: str = ""
    host: str = "an unknown host"
    pid: int = 0
    expires: float = 0.0
    holds: bool = False
    """Whether the run has the lock; False while it asks for it."""
    since: float = 0.0
    """Time of its first writing, in seconds since 1970; 0 in claims of earlier versions."""
    run: str = ""

    @classmethod
    def mine(cls, token: str, run: str) -> Claim:
        """Return a claim by which this process asks for the lock."""
        now = time.time()
        return cls(token, socket.gethostname(), os.getpid(), now + LEASE_SECONDS, since=now, run=run)

    def renewed(self) -> Claim:
        """Return the claim of a run that has the lock, with a new lease."""
        return replace(self, holds=True, expires=time.time() + LEASE_SECONDS)

    @classmethod
    def parse(cls, data: bytes) -> Claim:
        """Return the claim of a file; nobody's if it cannot be parsed."""
        try:
            fields = json.loads(data)
            process = str(fields["token"]), str(fields["host"]), int(fields["pid"])
            origin = float(fields.get("since", 0)), str(fields.get("run", ""))
            return cls(*process, float(fields["expires"]), bool(fields["holds"]), *origin)
        except (ValueError, TypeError, KeyError):
            return cls()

    def dump(self) -> bytes:
        """Return the bytes of its file."""
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


def _read_claim(store: Store, name: str) -> Claim | None:
    """Return a claim by its file's name, None if it is gone."""
    try:
        return Claim.parse(store.read(f"{FOLDER}/{name}"))
    except FileNotFoundError:
        return None


def _live_claims(store: Store, token: str) -> list[Claim]:
    """Return all live claims but that of a token."""
    names = [name for name in store.names(FOLDER) if name.endswith(".json") and name != f"{token}.json"]
    return [claim for name in names if (claim := _read_claim(store, name)) and not claim.dead()]


def _locked_message(store: Store, claim: Claim) -> str:
    left = max(0, round(claim.expires - time.time()))
    return (
        f"another run holds the lock of {store.root} (process {claim.pid} on {claim.host}; "
        f"its lease ends in {left} s unless it is renewed); wait for it or choose another output"
    )
