"""What a run keeps of itself: seconds of every stage, what was read and lost, and the manifest made of them."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from featflow.config import Config
from featflow.dataset.dataset import Dataset, Quarantined
from featflow.execution.passes import Computed
from featflow.execution.progress import Stopwatch
from featflow.execution.state_store import Used
from featflow.execution.telemetry import Telemetry
from featflow.pipeline.assumptions import assumptions
from featflow.pipeline.fitted import Basis
from featflow.storage import retries
from featflow.storage.run_writer import RunWriter
from featflow.storage.tables import QUARANTINE

__all__ = ["Record"]

SOFTWARE = ("featflow", "numpy", "pyarrow", "polars", "ray", "torch", "datasketches", "scipy")


@dataclass
class Record:
    """What goes into the manifest, gathered on the way."""

    config: Config
    dataset: Dataset
    engine: str
    watch: Stopwatch
    telemetry: Telemetry

    quarantined: list[Quarantined] = field(default_factory=list)
    computed: set[str] = field(default_factory=set)
    shards: set[str] = field(default_factory=set)
    rows_read: int = 0
    warnings: list[str] = field(default_factory=list)
    basis: Basis | None = None
    searches: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, dict[str, int]] = field(default_factory=dict)
    states: dict[str, Any] | None = None
    drift: dict[str, str | None] | None = None
    used: Used = field(default_factory=Used)

    def add(self, done: Computed) -> None:
        """Note what a pass over shards did."""
        self.quarantined += done.quarantined
        self.computed |= done.computed
        self.shards |= {shard.digest for shard in done.shards}
        self.telemetry.lose(self.lost)

    @property
    def lost(self) -> int:
        """Rows that could not be read."""
        return sum(entry.rows or 0 for entry in self.quarantined)

    def quarantine_table(self) -> pa.Table:
        """Return the quarantine table."""
        names = ("uri", "row_group", "column", "rows", "reason", "detail")
        return QUARANTINE.build({name: [getattr(entry, name) for entry in self.quarantined] for name in names})

    def manifest(self, writer: RunWriter, status: str) -> dict[str, Any]:
        """Return the manifest."""
        computed = len(self.computed & self.shards)
        return {
            "run": writer.run_id,
            "status": status,
            "started": self.watch.began.isoformat(),
            "config": self.config.public(),
            "engine": self.engine,
            "codebook": self.basis.codebook.digest if self.basis else None,
            "basis": self.basis.public() if self.basis else None,
            "assumptions": assumptions(self.config, self.basis.grouping) if self.basis else None,
            "rows": {"footers": self.dataset.rows, "read": self.rows_read, "quarantined": self.lost},
            "shards": {"total": len(self.shards), "computed": computed, "reused": len(self.shards) - computed},
            "tables": writer.tables,
            "interaction_search": self.searches,
            "images": self.images,
            "drift": self.drift,
            "retries": retries.counts(),
            "seconds": self.watch.total(),
            "figures": self.telemetry.public(),
            "warnings": [
                *self.dataset.notes,
                *self.warnings,
                *(
                    f"{e.uri}: {e.reason}{'' if e.row_group is None else f' {e.row_group}'}: {e.detail}"
                    for e in self.quarantined
                ),
            ],
            "inputs": [
                {
                    "uri": s.file.uri,
                    "size": s.file.size,
                    "version": s.file.version,
                    "row_groups": list(s.row_groups),
                    "rows": s.rows,
                }
                for s in self.dataset.shards
            ],
            "states": self.states,
            "rests_on": self.used.public(),
            "software": {"python": platform.python_version(), **{name: version(name) for name in SOFTWARE}},
        }
