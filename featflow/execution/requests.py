"""Requests to a run's context: summaries of columns, and functions that measure their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import pyarrow as pa

from featflow.execution.state_store import AnySummarizer
from featflow.storage.store import Store

__all__ = ["Measurement", "OneSpec", "Place", "Request"]


class Request(Protocol):
    """A summary of some columns, before it is cut into blocks.

    ``context`` is a `featflow.execution.context.Context`, whose module imports this one.
    """

    def join(self, other: Self) -> Self:
        """Return a request that serves both; requests of one type are joined over all analyses."""
        ...

    def specs(self, context: Any) -> tuple[AnySummarizer, ...]:
        """Return the request's specs, cut into blocks whose states fit a task."""
        ...


@dataclass(frozen=True)
class OneSpec:
    """A request of one spec, which no other analysis shares."""

    spec: AnySummarizer

    def join(self, other: Self) -> Self:  # noqa: ARG002
        """Return itself: it is never declared."""
        return self

    def specs(self, context: Any) -> tuple[AnySummarizer, ...]:  # noqa: ARG002
        """Return the spec."""
        return (self.spec,)


@dataclass(frozen=True)
class Place:
    """A file where a task puts aside a table that is too large for the driver."""

    store: Store = field(repr=False)
    folder: str
    index: int
    """Index of the state among those of its analysis."""

    @property
    def path(self) -> str:
        """Path of the table that was put aside."""
        return f"{self.folder}/{self.index:06d}.arrow"

    def put_aside(self, table: pa.Table) -> None:
        """Write a table that a later stage reads."""
        self.store.write_arrow(self.path, table)

    def clear(self) -> None:
        """Remove what was put aside."""
        self.store.remove(self.path)


@dataclass(frozen=True)
class Measurement:
    """A function of every state of a request, called in the task that holds the state."""

    request: Request
    """Request whose states are measured."""
    function: Callable[[Any, Place, Any, Any], Any]
    """Called with ``shared``, a place, the spec and its state. Results are looked up by it, so it is no lambda."""
    shared: Any
    """Argument of all calls, sent to the tasks once."""
