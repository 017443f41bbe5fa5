"""The lock of an output: one run at a time, and a dead run does not block the next.

It is safe on stores without conditional writes: it needs no more than that a listing shows claims in the order in
which they were written, at once or as late as it likes, and shows a claim that is written again all the time:

1. A run writes a *claim* under a name of its own, then lists all claims until its own is among them.
2. It holds the lock once such a list shows no other live claim; it then says so in its claim, and removes dead ones.
3. If it sees a claim that holds, it takes its own back and gives up. Of claims that only ask, the lowest token stays
   and lists again until the others are gone or one of them holds; those with higher tokens give up.

*Never two*: of two holders, the one that wrote its claim later listed later still, and saw the other's. *Always one* of
those that begin together: the lowest token gives up only if another holds. (A run that meets one which gives up in the
same moment may give up, too: the lowest of all does not.) On storage that lists late and in another order, two may hold
it: the check before the last writes stops the one that asked first, if it sees the other by then. A removal (`featflow
gc`) gives up for a run that asks, and one that holds ends soon when a run asks: the run waits for it. Exports only
read: their claims exclude removals.

A claim is live until its lease ends, which a thread renews; where its process is to be seen, it dies with its process.
Machines must agree on the time to well below `LEASE_SECONDS`; a lease that ends later than theirs can is not believed.

*A lease that ended* (its process was halted, or its machine slept) is the holder's to take again: it asks as in 1 to 3
with a new claim, and has the lock again if its old claim is still there after that. Whoever had the lock meanwhile
removed it before doing anything else, so nobody had. Else the lock is lost, which is told at the next step of the run
and at each check. A renewal that was under way when the lease ended may have brought back a claim that had been
removed, so it counts as lost, too. Should both claims be there, the later one has the lock.

*A halt between a check and the write after it* cannot be closed without transactions; what it lets through is taken
back (`RunWriter.commit`): a manifest without a mark is no run; a mark is removed after the check that follows it;
LATEST is moved from what it was when the lock was taken, on condition where the store has that, and else put forward
again after the check that follows it. In between a reader may see a run that is taken back, or LATEST name an earlier
run, for a moment; a process that is killed in just that moment leaves it so: LATEST until the next run, the mark until
`featflow gc` removes the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from featflow.errors import ConfigurationError, FeatflowError, InfrastructureError, LockedError
from featflow.storage.claims import is_there, look, write_first
from featflow.storage.records.claim import FOLDER, READING, REMOVAL, RUN, Claim
from featflow.storage.store import Store

__all__ = ["FOLDER", "REMOVAL", "Held", "claim", "give_back", "hold", "holder", "reading"]

LEASE_SECONDS = 300.0
"""A claim not renewed for this long belongs to a dead run. A shorter lease would be lost by a driver that is halted, or
whose storage is away, for minutes; a longer one makes the next run wait after a death on another machine."""
ASKING_SECONDS = 30.0
"""The lowest token waits this long for others to give up: many times what they need for a listing and a removal."""
LOOK_SECONDS = 0.2
"""Time between two listings while others give up."""


class Held:
    """The lock of an output while it is held."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store, self._claim = store, claim
        self._mutex, self._lost = threading.Lock(), False
        self.is_asked = False
        """Whether the last `check` saw a claim to which this one gives way."""

    def check(self) -> None:
        """Look whether this process has the lock, and renew or take again what ends: call it before each last write.

        Raises
        ------
        LockedError
            The lock is lost.
        InfrastructureError
            Storage did not answer.
        """
        with self._mutex:
            self.stop_if_lost()
            renewed = self._claim.renewed(LEASE_SECONDS)  # the new lease counts from before the look
            claims = look(self._store, LEASE_SECONDS, self._claim)
            others = [each for each in claims.live if each.excludes(self._claim)]
            self.is_asked = any(self._claim.gives_way_to(each) for each in others)
            there = claims.has_own or is_there(self._store, self._claim)
            if not there or any(each.holds and each.is_after(self._claim) for each in others):
                self._lose()
            if self._claim.is_over():
                self._take_again()
            elif self._claim.expires - time.time() < LEASE_SECONDS * 0.9:
                self._renew(renewed)

    def stop_if_lost(self) -> None:
        """Raise LockedError if the lock is known to be lost; storage is not asked."""
        if self._lost:
            raise LockedError(
                f"the lock of {self._store.root} was lost to another run; nothing was published, run again"
            )

    def stop_if_over(self) -> None:
        """Raise LockedError unless the lease still lasts, so that nobody else can have the lock; asks no storage."""
        self.stop_if_lost()
        if self._claim.is_over():
            raise LockedError(f"the lease of the lock of {self._store.root} has ended; run again")

    @contextmanager
    def told_first(self) -> Iterator[None]:
        """Say of a block that fails after the lease ended that the lock was lost, if it was: that is why it failed."""
        try:
            yield
        except Exception as error:
            if self._lost or self._claim.is_over():
                with suppress(InfrastructureError):
                    try:
                        self.check()
                    except LockedError as lost:
                        raise lost from error
            raise

    def renew_until(self, stop: threading.Event) -> None:
        """Keep the claim alive until an event, or until the lock is lost."""
        while not stop.wait(LEASE_SECONDS / 5):  # four beats may fail before the lease ends
            try:
                self.check()
            except LockedError:
                return
            except FeatflowError:  # the next beat tries again
                continue

    def give_back(self) -> None:
        """Remove the claim."""
        with suppress(FeatflowError):  # a claim that cannot be removed ends with its lease
            self._store.remove(self._claim.path)

    def _renew(self, renewed: Claim) -> None:
        try:
            self._store.write(renewed.path, renewed.dump())
        finally:
            if self._claim.is_over():
                self._lose()
        self._claim = renewed

    def _take_again(self) -> None:
        asking = Claim.mine(LEASE_SECONDS, self._claim.run, self._claim.kind)
        try:
            held = _ask(self._store, asking)
            if not is_there(self._store, self._claim):
                self._lose()
            _clear(self._store, held)
            self._store.remove(self._claim.path)
        except BaseException as error:
            with suppress(FeatflowError):
                self._store.remove(asking.path)
            if isinstance(error, LockedError):
                self._lose()
            raise
        self._claim = held

    def _lose(self) -> None:
        self._lost = True
        self.stop_if_lost()


@contextmanager
def hold(store: Store, run: str = "", kind: str = RUN) -> Iterator[Held]:
    """Hold the lock of an output until the block ends.

    Parameters
    ----------
    run
        Id of the run that holds it, which `claim` returns.
    kind
        `REMOVAL` for what gives way to runs.

    Raises
    ------
    LockedError
        Another process holds it.
    ConfigurationError
        The output cannot be written.
    InfrastructureError
        Storage did not answer.
    """
    asking = Claim.mine(LEASE_SECONDS, run, kind)
    held = Held(store, asking)
    try:
        held = Held(store, _acquire(store, asking))
        stop = threading.Event()
        heartbeat = threading.Thread(target=held.renew_until, args=(stop,), daemon=True)
        heartbeat.start()
        try:
            yield held
        finally:
            stop.set()
            heartbeat.join()
    finally:
        held.give_back()


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Keep `featflow gc` from removing what is read, until the block ends; runs are not kept from anything.

    An output that this process may read and not write to is read all the same.

    Raises
    ------
    LockedError
        Another process removes runs and did not give way.
    InfrastructureError
        Storage did not answer.
    """
    with ExitStack() as stack:
        with suppress(ConfigurationError):
            stack.enter_context(hold(store, kind=READING))
        yield


def holder(store: Store) -> str | None:
    """Return which process holds the lock of an output, None if none does."""
    held = claim(store)
    return f"process {held.pid} on {held.host}" if held else None


def claim(store: Store) -> Claim | None:
    """Return the claim of the process that holds the lock of an output, None if none does."""
    held = next((each for each in look(store, LEASE_SECONDS).live if each.holds and each.kind != READING), None)
    latest = time.time() + LEASE_SECONDS
    return held.model_copy(update={"expires": min(held.expires, latest)}) if held else None


def give_back(store: Store, process: int) -> list[Claim]:
    """Remove and return the claims of a process that ran where this one does and has ended."""
    lost = [each for each in look(store, LEASE_SECONDS).dead if each.pid == process and each.is_of_here()]
    for each in lost:
        store.remove(each.path)
    return lost


# --- asking ---------------------------------------------------------------------------------------------------------


def _acquire(store: Store, asking: Claim) -> Claim:
    """Return the claim by which this process holds the lock from now on."""
    held = _ask(store, asking)
    _clear(store, held)
    return held


def _ask(store: Store, asking: Claim) -> Claim:
    write_first(store, asking)
    began = time.time()
    while True:
        claims = look(store, LEASE_SECONDS, asking)
        others = [each for each in claims.live if each.excludes(asking)]
        if claims.has_own and not others:
            break
        yielding = any(each.gives_way_to(asking) for each in others)
        late = time.time() > began + (LEASE_SECONDS / 2 if yielding else ASKING_SECONDS)
        first = min(others, key=lambda each: (not each.holds, each.token), default=None)
        if first and (late or any(_blocks(each, asking) for each in others)):
            raise LockedError(_locked_message(store, first))
        if late:
            raise InfrastructureError(f"{store.uri(asking.path)}: storage does not list what was written; run again")
        time.sleep(LOOK_SECONDS)
    held = asking.renewed(LEASE_SECONDS)
    store.write(held.path, held.dump())
    if asking.is_over():  # a run that asked meanwhile may have taken the claim for dead
        raise InfrastructureError(f"{store.root}: storage took longer to answer than a lease lasts; run again")
    return held


def _blocks(other: Claim, asking: Claim) -> bool:
    """Whether an asking claim has to give up because of another."""
    if asking.gives_way_to(other):
        return True
    return not other.gives_way_to(asking) and (other.holds or other.token < asking.token)


def _clear(store: Store, held: Claim) -> None:
    """Remove rubbish, and the dead claims that a holder excludes: by that their holders see that they lost the lock."""
    claims = look(store, LEASE_SECONDS, held)
    for dead in claims.dead:
        if dead.excludes(held):
            store.remove(dead.path)
    for path in claims.rubbish:
        with suppress(FeatflowError):
            store.remove(path)


def _locked_message(store: Store, claim: Claim) -> str:
    left = min(max(0, round(claim.expires - time.time())), round(LEASE_SECONDS))
    doing = {REMOVAL: "'featflow gc'", READING: "an export"}.get(claim.kind, "another run")
    return (
        f"{doing} holds the lock of {store.root} (process {claim.pid} on {claim.host}; "
        f"its lease ends in {left} s unless it is renewed); wait for it or choose another output"
    )
