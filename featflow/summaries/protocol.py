"""Protocols of summaries and of their specs, which every file of this folder implements.

A `Summary` is frozen and forms a commutative monoid: ``empty`` is the identity,
``merge`` is associative and commutative and touches neither operand. The tests
check this for every summary that the package lists.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

import pyarrow as pa

from featflow.columns.column import Column, Worker

__all__ = ["Spec", "Summarizer", "Summary", "Worker", "digest"]

STATE_VERSION = 5
"""Raised when the same spec and rows give another state: old states are then not used any more."""


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


S = TypeVar("S", bound=Summary)


class Summarizer(Protocol[S]):
    """What to compute: a frozen dataclass whose ``repr`` holds all that decides the state."""

    name: ClassVar[str]
    """Folder of its states."""
    state: ClassVar[type[Any]]
    """Class of its states."""
    by_shard: ClassVar[bool]
    """Whether its states are rows, which later passes read shard by shard: none stands for several shards."""
    of_stored: ClassVar[bool]
    """Whether its batches are stored columns (see `featflow.execution.stored_columns`), not rows of files."""
    remedy: ClassVar[str]
    """Advice to users whose memory is too small for its states."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns it reads."""
        ...

    @property
    def weight(self) -> Column | None:
        """Row weights that it reads: they are checked before it sees them."""
        ...

    @property
    def worker(self) -> Worker:
        """Resources of a process that computes its states."""
        ...

    def empty(self) -> S:
        """Return the summary of no rows."""
        ...

    def summarize(self, batch: pa.RecordBatch) -> S:
        """Return the summary of a batch of canonical types (see `featflow.dataset.batches`)."""
        ...

    def update(self, state: S, batch: pa.RecordBatch) -> S:
        """Return the summary of a state's rows and a batch's; the state's arrays may be overwritten."""
        ...

    def nbytes(self) -> int:
        """Return an upper bound on the bytes of a state in memory."""
        ...

    def second_attempt(self) -> Self:
        """Return a spec of the same states to try after the process of a first attempt died."""
        ...


class Spec(Generic[S]):
    """Base of specs, with the defaults of `Summarizer`."""

    __slots__ = ()

    name: ClassVar[str]
    state: ClassVar[type[Any]]
    by_shard: ClassVar[bool] = False
    of_stored: ClassVar[bool] = False
    remedy: ClassVar[str] = "exclude columns"
    weight: Column | None = None

    @property
    def worker(self) -> Worker:
        """No resources beside the states and a batch."""
        return Worker()

    def update(self: Summarizer[S], state: S, batch: pa.RecordBatch) -> S:
        """Merge the batch's summary; a spec whose states outweigh batches writes into the state's arrays instead."""
        summary = self.summarize(batch)
        return state.merge(summary) if state.rows else summary

    def second_attempt(self) -> Self:
        """Return the spec as it is."""
        return self


def digest(summarizer: Summarizer[Any]) -> str:
    """Return the name of a spec: SHA-256 of its name, of the fields in its ``repr``, and of `STATE_VERSION`."""
    fields = repr(summarizer).partition("(")[2]  # without the name of the class, which may change
    return hashlib.sha256(f"{STATE_VERSION}:{summarizer.name}:{fields}".encode()).hexdigest()[:24]
