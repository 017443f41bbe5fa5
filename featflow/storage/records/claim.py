"""Claims in the ``lock`` folder of an output: who asks for its lock, or has it, and until when.

Whoever can write to an output can write anything there. So what is no claim belongs to nobody, a claim's name is its
token, which leads nowhere else, and one that is to last longer than a lease can was written by a clock that is wrong.
"""

from __future__ import annotations

import os
import re
import socket
import time
import uuid

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from featflow.storage import processes
from featflow.storage.run_ids import RUN_ID

__all__ = ["FOLDER", "MOST_BYTES", "READING", "REMOVAL", "RUN", "Claim", "is_ours", "token_of"]

FOLDER = "lock"
"""Folder of claims, below the output."""
MOST_BYTES = 4096
"""Of a claim, which has some 400: what is longer is none, and is not read."""
NAME = re.compile(r"([0-9a-f]{32})\.json")
OURS = re.compile(r"[0-9a-f]{32}\.json|\.[0-9a-f]{32}\.json\.[0-9a-f]{8}\.partial")
RUN, REMOVAL, READING = "run", "removal", "reading"
"""What a claim is for: of a run, of `featflow gc`, and of an export. Any other kind counts as a run's."""


def token_of(name: str) -> str | None:
    """Return the token that a file's name says, None if it is no claim's name.

    Examples
    --------
    >>> token_of("0123456789abcdef0123456789abcdef.json"), token_of("other.json")
    ('0123456789abcdef0123456789abcdef', None)
    """
    match = NAME.fullmatch(name)
    return match[1] if match else None


def is_ours(name: str) -> bool:
    """Return whether a file is named as a claim, or as one that is being written."""
    return OURS.fullmatch(name) is not None


class Claim(BaseModel):
    """What a process writes of itself."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="ignore")

    token: str = Field(pattern=r"^[0-9a-f]{32}\z")
    host: str = Field(pattern=r"^[ -~]{0,255}\z")
    pid: int = Field(ge=0, le=2**31 - 1)
    expires: float = Field(ge=0, le=1e11)
    """End of its lease, in seconds since 1970 by its machine's clock."""
    holds: bool
    """Whether it has the lock; False while it asks for it."""
    since: float = Field(0.0, ge=0, le=1e11)
    """Time of its first writing, in seconds since 1970; 0 in claims of earlier versions."""
    run: str = Field("", pattern=rf"^({RUN_ID.pattern})?\z")
    """Id of the run that it is of, if it is of one."""
    kind: str = Field(RUN, max_length=20)
    """`RUN`, `REMOVAL` or `READING`."""
    place: str = Field("", max_length=200)
    """Where its process number means something (`processes.place`)."""
    start: int = Field(0, ge=0)
    """When its process began (`processes.start_of`)."""

    @classmethod
    def mine(cls, lease: float, run: str = "", kind: str = RUN) -> Claim:
        """Return a claim by which this process asks for the lock, for a lease of so many seconds."""
        now, pid = time.time(), os.getpid()
        return cls(
            token=uuid.uuid4().hex,
            host=_host(),
            pid=pid,
            expires=now + lease,
            holds=False,
            since=now,
            run=run,
            kind=kind,
            place=processes.place(),
            start=processes.start_of(pid),
        )

    @classmethod
    def parse(cls, name: str, data: bytes) -> Claim | None:
        """Return the claim of a file of this name, None if it holds none."""
        try:
            claim = cls.model_validate_json(data)
        except ValidationError:
            return None
        return claim if claim.token == token_of(name) else None

    @property
    def path(self) -> str:
        """Where it is, below the output."""
        return f"{FOLDER}/{self.token}.json"

    def dump(self) -> bytes:
        """Return the bytes of its file."""
        return self.model_dump_json().encode()

    def renewed(self, lease: float) -> Claim:
        """Return the claim of a process that has the lock, with a new lease."""
        return self.model_copy(update={"holds": True, "expires": time.time() + lease})

    def is_over(self) -> bool:
        """Whether its lease has ended."""
        return time.time() > self.expires

    def is_dead(self, lease: float, age: float | None) -> bool:
        """Whether its lease has ended, or its process ran where this one does and has ended.

        Parameters
        ----------
        age
            Seconds since it was written, by the store's clock, None if unknown. It counts where the lease ends later
            than two leases from now: claims are renewed long before theirs end, and clocks agree to below one.
        """
        wrong = self.expires > time.time() + 2 * lease
        if self.is_over() or (wrong and age is not None and age > lease):
            return True
        return self.is_of_here() and processes.ended(self.pid, self.start)

    def is_of_here(self) -> bool:
        """Whether its process ran where this one does, so that its number means something here."""
        here = processes.place()
        return bool(here) and (self.host, self.place) == (_host(), here)

    def excludes(self, other: Claim) -> bool:
        """Whether only one of two claims may have the lock: all but two exports, or an export and a run."""
        return READING not in {self.kind, other.kind} or REMOVAL in {self.kind, other.kind}

    def gives_way_to(self, other: Claim) -> bool:
        """Whether it leaves the lock to the other: a removal can go on at any time, and others may not wait."""
        return self.kind == REMOVAL and other.kind != REMOVAL

    def is_after(self, other: Claim) -> bool:
        """Whether it was taken after another; of what an earlier version wrote that is not known, and assumed."""
        return self.since == 0 or (self.since, self.token) > (other.since, other.token)


def _host() -> str:
    return socket.gethostname().encode("ascii", "replace").decode()[:255]
