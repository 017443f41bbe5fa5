"""A task that measures one state: all that is asked of it, beside it."""

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

Asked = tuple[Callable[..., Any], int, Place]
"""A function, the key of what it shares, and its place."""


@dataclass(frozen=True)
class MeasureWork:
    """What every task is given."""

    store: Store
    specs: tuple[AnySummarizer, ...]
    names: tuple[str | None, ...]
    """Name of each spec's whole state; None where the task counts it from codes."""
    asked: tuple[tuple[Asked, ...], ...]
    """What is asked of each spec's state."""
    shared: dict[int, Any]
    """What functions share, by key."""
    codes: StoredColumns | None
    """What states without a name are counted from."""


def measure_state(work: MeasureWork, index: int) -> list[Any]:
    """Return what each function makes of a state, in the order in which they are asked."""
    spec, name = work.specs[index], work.names[index]
    if name is None:
        assert work.codes is not None  # noqa: S101  only specs of codes have no whole state
        state = work.codes.count(spec)
    else:
        state = state_store.load(work.store, spec, name)
    return [function(work.shared[key], place, spec, state) for function, key, place in work.asked[index]]
