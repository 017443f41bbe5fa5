"""Figures of a run under way, counted once for the log, the manifest and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from featflow.execution.engines.base import Load, peak_bytes
from featflow.execution.progress import Reporter, SilentProgress
from featflow.storage import retries

__all__ = ["Sink", "StageFigures", "Telemetry"]

RECORD_SECONDS = 1.0
"""Least time between two records of the same stage: Ray's drivers report every ten seconds, so more would be unseen."""


@dataclass
class StageFigures:
    """Work done so far by all stages of one kind: reading, merging, counting pairs, ..."""

    steps: int = 0
    """Finished tasks."""
    shards: int = 0
    """Shards that were read; one that is read in both passes counts twice."""
    rows: int = 0
    """Rows in them."""
    bytes: int = 0
    """Their decoded bytes, as estimated from footers."""
    seconds: float = 0.0
    """Wall-clock time."""


class Sink(Protocol):
    """Passes the figures to where metrics are collected."""

    def record(self, figures: dict[str, Any]) -> None:
        """Take the current figures: those of `Telemetry.public`, retries, and tasks in flight."""
        ...


@dataclass
class Telemetry:
    """A reporter that counts steps, and passes them on to another reporter and to a sink.

    Examples
    --------
    >>> telemetry = Telemetry("20260102T030405Z-abc")
    >>> telemetry.start("reading: profile", 2)
    >>> telemetry.advance(1000, shards=1, nbytes=8000)
    >>> telemetry.public()["stages"]["reading"]["rows"]
    1000
    """

    run: str
    """Name of the run."""
    shown: Reporter = field(default_factory=SilentProgress)
    """Reporter that shows progress."""
    sink: Sink | None = None
    """Sink that collects metrics."""
    before_step: Callable[[], None] = field(default=lambda: None)
    """Is called at each step, and ends the run by what it raises: one that has lost its lock goes on for nothing."""
    load: Load = field(default_factory=Load)
    """Load of the engine."""
    stages: dict[str, StageFigures] = field(default_factory=dict)
    """Figures by kind of stage."""
    quarantined_rows: int = 0
    """Rows that could not be read."""
    _stage: StageFigures = field(default_factory=StageFigures)
    _since: float = 0.0
    _recorded: float = 0.0

    def __post_init__(self) -> None:
        self.begin(self.context)

    def begin(self, context: Callable[[], dict[str, Any]]) -> None:
        """Give the reporter the fields that every line should have."""
        self.shown.begin(context)

    def context(self) -> dict[str, Any]:
        """Return fields that every log line should have."""
        return {"run": self.run, "in_flight": self.load.in_flight, "retries": sum(self.retries().values())}

    def start(self, stage: str, total: int) -> None:
        """Begin a stage; figures are kept by its name up to a colon, as what follows varies too much."""
        self.before_step()
        self._stage = self.stages.setdefault(stage.partition(":")[0], StageFigures())
        self._since = time.monotonic()
        self.shown.start(stage, total)
        self._record()

    def advance(self, rows: int, shards: int = 0, nbytes: int = 0) -> None:
        """Count a step."""
        self.before_step()
        figures = self._stage
        figures.steps, figures.shards = figures.steps + 1, figures.shards + shards
        figures.rows, figures.bytes = figures.rows + rows, figures.bytes + nbytes
        self._lap()
        self.shown.advance(rows, shards, nbytes)
        if time.monotonic() - self._recorded >= RECORD_SECONDS:
            self._record()

    def finish(self) -> None:
        """End the stage."""
        self._lap()
        self.shown.finish()
        self._record()

    def lose(self, rows: int) -> None:
        """Set how many rows could not be read."""
        self.quarantined_rows = rows
        self._record()

    def public(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        stages = {name: vars(figures) | {"seconds": round(figures.seconds, 3)} for name, figures in self.stages.items()}
        return {
            "stages": stages,
            "quarantined_rows": self.quarantined_rows,
            "most_in_flight": self.load.most_in_flight,
            "peak_memory_bytes": {"driver": peak_bytes(), "task": self.load.peak_bytes},
        }

    def retries(self) -> dict[str, int]:
        """Return numbers of retries by kind."""
        return retries.counts()

    def _lap(self) -> None:
        """Add the seconds since the last step to the stage."""
        now = time.monotonic()
        self._stage.seconds += now - self._since
        self._since = now

    def _record(self) -> None:
        self._recorded = time.monotonic()
        if self.sink:
            self.sink.record(self.public() | {"retries": self.retries(), "in_flight": self.load.in_flight})
