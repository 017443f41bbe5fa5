"""What a run keeps of itself: what was read and lost, passes, seconds, and the manifest made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from featflow.config import Config
from featflow.dataset.dataset import Dataset, Quarantined
from featflow.execution.context import Context, Pass
from featflow.execution.progress import Stopwatch
from featflow.execution.telemetry import Telemetry
from featflow.pipeline.assumptions import assumptions
from featflow.pipeline.fitted import Fitted
from featflow.pipeline.software import software
from featflow.storage import retries
from featflow.storage.tables import QUARANTINE
from featflow.transforms.derive import Derived

__all__ = ["Record"]


@dataclass
class Record:
    """What goes into the manifest beside what the context gathers."""

    config: Config
    dataset: Dataset
    """As it was found."""
    context: Context
    engine: str
    watch: Stopwatch
    telemetry: Telemetry
    fitted: Fitted | None = None
    frozen: Mapping[str, str] = field(default_factory=dict)
    """Digests of what made columns rest on, by name."""
    assumptions: tuple[str, ...] = ()
    """Sentences of the analyses."""
    states: dict[str, Any] | None = None
    """Whole states of pass 1, for runs that come after."""

    def derived(self, found: Derived) -> Dataset:
        """Note what made columns rest on, and keep it for the runs that follow; return the dataset with them."""
        self.frozen = found.save(self.context.workspace.store)
        if found.computed:
            self.context.passes.append(Pass("derived columns", len(found.dataset.shards), found.computed))
        self.context.quarantined += found.quarantined
        return found.dataset

    @property
    def quarantined(self) -> list[Quarantined]:
        """What could not be read: files without a readable footer, then row groups."""
        return [*self.dataset.quarantined, *self.context.quarantined]

    @property
    def lost(self) -> int:
        """Rows that could not be read."""
        return sum(entry.rows or 0 for entry in self.quarantined)

    @property
    def rows_read(self) -> int:
        """Rows of the shards that could be read."""
        return self.context.dataset.rows

    def quarantine_table(self) -> pa.Table:
        """Return the quarantine table."""
        names = ("uri", "row_group", "column", "rows", "reason", "detail")
        return QUARANTINE.build({name: [getattr(entry, name) for entry in self.quarantined] for name in names})

    def manifest(self, status: str) -> dict[str, Any]:
        """Return the manifest."""
        context, fitted = self.context, self.fitted
        writer, shards = context.writer, {shard.digest for shard in context.dataset.shards}
        computed = len(shards & {digest for each in context.passes for digest in each.computed})
        return {
            "run": writer.run_id,
            "status": status,
            "started": self.watch.began.isoformat(),
            "config": self.config.public(),
            "engine": self.engine,
            "codebook": fitted.codebook.digest if fitted else None,
            "fitted": fitted.public() if fitted else None,
            "frozen": self.frozen,
            "derived": {column.name: list(column.sources) for column in context.dataset.columns if column.derived},
            "assumptions": assumptions(self.assumptions, fitted.jackknife) if fitted else None,
            "rows": {"footers": self.dataset.rows, "read": self.rows_read, "quarantined": self.lost},
            "shards": {"total": len(shards), "computed": computed, "reused": len(shards) - computed},
            "passes": [each.public() for each in context.passes],
            "tables": writer.tables,
            "analyses": context.notes,
            "compared_with": context.compared_with,
            "retries": retries.counts(),
            "seconds": self.watch.total(),
            "figures": self.telemetry.public(),
            "warnings": [
                *self.dataset.notes,
                *context.warnings,
                *(
                    f"{e.uri}: {e.reason}{'' if e.row_group is None else f' {e.row_group}'}: {e.detail}"
                    for e in self.quarantined
                ),
            ],
            "inputs": self.dataset.listed(),
            "sources": list(self.dataset.tables),
            "passed_over": self.dataset.left_out(),
            "states": self.states,
            "state_references": context.workspace.used.public(),
            "software": software(),
        }
