"""What may be asked of a run's context: summaries of columns, and what is measured beside their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import pyarrow as pa

from featflow.execution.state_store import AnySummarizer
from featflow.storage.store import Store

__all__ = ["Measurement", "OneSpec", "Place", "Request"]


class Request(Protocol):
    """Which summary is wanted of which columns, before it is cut into blocks.

    ``context`` is a `featflow.execution.context.Context`, which in turn knows this class.
    """

    def join(self, other: Self) -> Self:
        """Return the request that serves both: requests of one kind are joined over all analyses."""
        ...

    def specs(self, context: Any) -> tuple[AnySummarizer, ...]:
        """Return its specs, cut so that each state fits a task."""
        ...


@dataclass(frozen=True)
class OneSpec:
    """A spec that one analysis alone wants."""

    spec: AnySummarizer

    def join(self, other: Self) -> Self:  # noqa: ARG002
        """Return itself: it is never declared."""
        return self

    def specs(self, context: Any) -> tuple[AnySummarizer, ...]:  # noqa: ARG002
        """Return the spec."""
        return (self.spec,)


@dataclass(frozen=True)
class Place:
    """Where a task may put aside what must not come to the driver."""

    store: Store = field(repr=False)
    folder: str
    index: int
    """Of the state among those of its analysis."""

    @property
    def path(self) -> str:
        """Where the table of this place waits."""
        return f"{self.folder}/{self.index:06d}.arrow"

    def put_aside(self, table: pa.Table) -> None:
        """Write a table that waits for a later stage."""
        self.store.write_arrow(self.path, table)

    def clear(self) -> None:
        """Remove what was put aside."""
        self.store.remove(self.path)


@dataclass(frozen=True)
class Measurement:
    """What is computed from every state of a request, where the engine runs and the state lies."""

    request: Request
    """Whose states."""
    function: Callable[[Any, Place, Any, Any], Any]
    """Called with ``shared``, a place, the spec and its state; of a module, as results are asked for by it."""
    shared: Any
    """Sent once."""
