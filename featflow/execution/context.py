"""The whole states of pass 2, and what it takes to measure them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from featflow.analyses.requests import RelationSpecs
from featflow.columns.codebook import Codebook
from featflow.config import Config
from featflow.dataset.dataset import Shard
from featflow.execution import state_store as stored
from featflow.execution.passes import Workspace
from featflow.execution.stored_columns import CodeStream, code_stream
from featflow.measures.codebook import ColumnStates

__all__ = ["Relations"]


@dataclass(frozen=True)
class Relations:
    """What the tables of relations are made from."""

    config: Config
    codebook: Codebook
    workspace: Workspace
    shards: tuple[Shard, ...]
    specs: RelationSpecs
    columns: ColumnStates
    whole: dict[Any, str]
    """Name of the whole state of every spec that has one: what all shards together do not outweigh is not written."""
    warnings: list[str] = field(default_factory=list)
    """What is null or empty in the tables made so far, and why."""
    searches: list[dict[str, Any]] = field(default_factory=list)
    """What the search for interactions looked at, by target; empty where every pair was counted on all rows."""

    def state(self, spec: Any) -> Any:
        """Return a spec's whole state."""
        return stored.load(self.workspace.store, spec, self.whole[spec])

    @cached_property
    def stream(self) -> CodeStream:
        """The stored codes."""
        return code_stream(self.workspace, self.shards, self.specs.codes)

    @property
    def scale(self) -> float:
        """Rows of equal weight that a unit of weight is worth."""
        moments = self.columns.moments
        return moments.weight_sum / moments.weight_square_sum if self.specs.weighted else 1.0
