"""What the passes of a run share: storage, engine and limits."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from featflow.execution import state_store
from featflow.execution.engines.base import Engine
from featflow.execution.progress import Reporter
from featflow.storage.store import Store

__all__ = ["Workspace"]


@dataclass(frozen=True)
class Workspace:
    """Storage, engine and limits of a run."""

    store: Store
    """The output, which holds states and runs."""
    engine: Engine
    """Maps functions over items."""
    progress: Reporter
    """Is told of stages and steps."""
    state_bytes: int
    """Bytes that the states of one task may take."""
    shard_bytes: int
    """Bytes of a shard, which decide how many shards make one state (`featflow.execution.merge_tree.subtree_level`)."""
    source_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the dataset's filesystem."""
    gpus: float = 0.0
    """Share of a GPU that a task reserves that counts pairs."""
    encoder_gpus: float | None = None
    """Share of a GPU that an actor reserves that encodes images; None takes a whole one where there is any."""
    memory: int = sys.maxsize
    """Bytes of the whole run, `budget.memory`."""
    used: state_store.StateReferences = field(default_factory=state_store.StateReferences)
    """States that the run has used so far, for its manifest."""
    looked_at: set[str] = field(default_factory=set)
    """Notes of row groups that this run has looked at again, or written."""

    @cached_property
    def present(self) -> state_store.StateIndex:
        """States that exist at the output."""
        return state_store.StateIndex(self.store)
