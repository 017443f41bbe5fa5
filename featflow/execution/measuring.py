"""A task that measures one state: it loads the state once and calls all functions that measure it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featflow.execution import state_store
from featflow.execution.requests import Place
from featflow.execution.state_store import AnySummarizer
from featflow.execution.stored_columns import StoredColumns
from featflow.storage.store import Store

__all__ = ["MeasureWork", "measure_state"]

Call = tuple[Callable[..., Any], int, Place]
"""A function, the key of what it shares, and its place."""


@dataclass(frozen=True)
class MeasureWork:
    """Input that all tasks share."""

    store: Store
    specs: tuple[AnySummarizer, ...]
    names: tuple[str | None, ...]
    """Name of each spec's merged state; None where the task counts it from codes."""
    calls: tuple[tuple[Call, ...], ...]
    """The functions that measure each spec's state."""
    shared: dict[int, Any]
    """Arguments that functions share, by key."""
    codes: StoredColumns | None
    """Stored codes, from which states without a name are counted."""


def measure_state(work: MeasureWork, index: int) -> list[Any]:
    """Return the result of each function that measures a state, in their order."""
    spec, name = work.specs[index], work.names[index]
    if name is None:
        assert work.codes is not None  # noqa: S101  only specs of codes have no whole state
        state = work.codes.count(spec)
    else:
        state = state_store.load(work.store, spec, name)
    return [function(work.shared[key], place, spec, state) for function, key, place in work.calls[index]]
