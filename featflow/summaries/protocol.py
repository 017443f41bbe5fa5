"""What a summary is: the protocol that every file of this folder implements, and the laws' other half.

A `Summary` is frozen and forms a commutative monoid: ``empty`` is the identity,
``merge`` is associative and commutative and touches neither operand. The tests
check this for every summary that the package lists.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import pyarrow as pa

from featflow.columns.column import Column

__all__ = ["Summarizer", "Summary", "absorb", "digest"]

STATE_VERSION = 3
"""Raised when the same spec and rows give another state: old states are then left alone."""


@runtime_checkable
class Summary(Protocol):
    """Sufficient statistics of some rows."""

    @property
    def rows(self) -> int:
        """Rows seen."""
        ...

    def merge(self, other: Self) -> Self:
        """Return the summary of both operands' rows."""
        ...

    def to_arrow(self) -> pa.Table:
        """Return the complete state."""
        ...

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild a state from `to_arrow`."""
        ...


S_co = TypeVar("S_co", bound=Summary, covariant=True)


class Summarizer(Protocol[S_co]):
    """What to compute: a frozen dataclass whose ``repr`` holds all that decides the state."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns it reads."""
        ...

    def empty(self) -> S_co:
        """Return the summary of no rows."""
        ...

    def summarize(self, batch: pa.RecordBatch) -> S_co:
        """Return the summary of a batch of canonical types (see `featflow.dataset.batches`)."""
        ...

    def nbytes(self) -> int:
        """Return an upper bound on the bytes of a state in memory."""
        ...


def absorb(summarizer: Summarizer[Any], state: Any, batch: pa.RecordBatch) -> Any:
    """Return the summary of a state's rows and a batch's; the state is used up.

    A spec whose states outweigh batches has a method of this name, which writes into the state's arrays.
    """
    into = getattr(summarizer, "absorb", None)
    if into is not None:
        return into(state, batch)
    found = summarizer.summarize(batch)
    return state.merge(found) if state.rows else found


def digest(summarizer: Summarizer[Any]) -> str:
    """Return the name of a spec: SHA-256 of its ``repr`` and of what states mean in this release."""
    return hashlib.sha256(f"{STATE_VERSION}:{summarizer!r}".encode()).hexdigest()[:24]
