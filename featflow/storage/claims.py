"""The claims that lie in an output's ``lock`` folder, sorted into those that live, are dead, or are no claims."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field

from featflow.errors import ConfigurationError, FeatflowError
from featflow.storage.filesystems import reason, remedy
from featflow.storage.records.claim import FOLDER, MOST_BYTES, Claim, is_ours, token_of
from featflow.storage.retries import is_refused, is_transient
from featflow.storage.store import Store

__all__ = ["Claims", "is_there", "look", "write_first"]

FULL = {errno.ENOSPC, errno.EDQUOT}
"""Numbers of the errors of a disk, or a user's share of it, that is full."""


@dataclass
class Claims:
    """What a listing shows."""

    has_own: bool
    """Whether the claim that looks is there."""
    live: list[Claim] = field(default_factory=list)
    """Other claims that are live."""
    dead: list[Claim] = field(default_factory=list)
    """Other claims that are not."""
    rubbish: list[str] = field(default_factory=list)
    """Paths of claims that cannot be read, or are half written, and older than a lease, within which one is renewed."""


def look(store: Store, lease: float, own: Claim | None = None) -> Claims:
    """Return the claims at an output.

    Parameters
    ----------
    lease
        Seconds for which a claim lives from when it was written.
    own
        The claim that looks. When it was written says how late it is by the store's clock, by which ages are measured.
    """
    entries = store.entries(FOLDER)
    mine = next((entry for entry in entries if own and token_of(entry.name) == own.token), None)
    now = mine.modified if mine else time.time()
    found = Claims(mine is not None)
    for entry in entries:
        path = f"{FOLDER}/{entry.name}"
        age = None if now is None or entry.modified is None else now - entry.modified
        if entry is mine:
            continue
        claim = None
        if token_of(entry.name) and entry.size <= MOST_BYTES:
            try:
                claim = _read(store, path)
            except FileNotFoundError:  # given back since it was listed
                continue
        if claim:
            (found.dead if claim.is_dead(lease, age) else found.live).append(claim)
        elif age is not None and age > lease and is_ours(entry.name):
            found.rubbish.append(path)
    return found


def _read(store: Store, path: str) -> Claim | None:
    """Return the claim in a file, None if there is none: not at the first look, which an answer cut short may end."""
    name = path.rpartition("/")[2]
    return Claim.parse(name, store.read(path)) or Claim.parse(name, store.read(path))


def is_there(store: Store, claim: Claim) -> bool:
    """Return whether nobody has removed a claim."""
    try:
        store.read(claim.path)
    except FileNotFoundError:
        return False
    return True


def write_first(store: Store, asking: Claim) -> None:
    """Write a claim where there may be no output yet.

    Raises
    ------
    ConfigurationError
        The output cannot be written, and no retry mends that.
    InfrastructureError
        Storage did not answer.
    """
    try:
        store.write(asking.path, asking.dump())
    except FeatflowError as error:
        cause = error.__cause__
        if cause is None or is_transient(cause):
            raise
        if isinstance(cause, NotADirectoryError | FileExistsError):
            raise ConfigurationError(f"output: {store.root} is not a directory; choose another") from None
        advice = remedy(store.root) if is_refused(cause) else "choose another"
        if getattr(cause, "errno", None) in FULL:
            advice = "make a little room there by hand, for the claim of featflow gc, which then makes more"
        raise ConfigurationError(f"output: cannot write to {store.root}: {reason(cause)}; {advice}") from None
