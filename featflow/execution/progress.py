"""Progress of stages, as JSON log lines and stopwatch; `featflow.cli.terminal_progress` shows it to people."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

__all__ = ["LogProgress", "Reporter", "SilentProgress", "Stopwatch", "stage"]

LOG_SECONDS = 5.0
"""Least time between two log lines of one stage: often enough to follow a run, few enough for logs of hours."""


class Reporter(Protocol):
    """Is told of every stage and every step."""

    def begin(self, context: Callable[[], dict[str, Any]]) -> None:
        """Begin a run; ``context`` returns fields that every log line should have."""
        ...

    def start(self, stage: str, total: int) -> None:
        """Begin a stage of ``total`` steps."""
        ...

    def advance(self, rows: int, shards: int = 0, nbytes: int = 0) -> None:
        """Finish a step that processed these rows, shards and bytes."""
        ...

    def finish(self) -> None:
        """End the stage."""
        ...


class SilentProgress:
    """Reports nothing."""

    def begin(self, context: Callable[[], dict[str, Any]]) -> None:
        """Report nothing."""

    def start(self, stage: str, total: int) -> None:
        """Report nothing."""

    def advance(self, rows: int, shards: int = 0, nbytes: int = 0) -> None:
        """Report nothing."""

    def finish(self) -> None:
        """Report nothing."""


class LogProgress:
    """One JSON object a line on standard error: time, run, stage, done, total, rows a second, seconds left, retries."""

    def __init__(self) -> None:
        self._stage, self._total, self._done, self._rows = "", 0, 0, 0
        self._began = self._logged = 0.0
        self._context: Callable[[], dict[str, Any]] = dict

    def begin(self, context: Callable[[], dict[str, Any]]) -> None:
        """Begin a run."""
        self._context = context

    def start(self, stage: str, total: int) -> None:
        """Begin a stage."""
        self._stage, self._total, self._done, self._rows = stage, total, 0, 0
        self._began = self._logged = time.monotonic()
        self._log()

    def advance(self, rows: int, shards: int = 0, nbytes: int = 0) -> None:  # noqa: ARG002  lines speak of rows
        """Count a step; log at most once in `LOG_SECONDS`."""
        self._done += 1
        self._rows += rows
        if time.monotonic() - self._logged >= LOG_SECONDS:
            self._log()

    def finish(self) -> None:
        """Log the stage's last figures."""
        if self._total:
            self._log()

    def _log(self) -> None:
        self._logged = time.monotonic()
        seconds = self._logged - self._began
        line: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "info"}
        line |= self._context()
        line |= {"stage": self._stage, "done": self._done, "total": self._total, "rows": self._rows}
        if seconds and self._done:
            line["rows_per_second"] = round(self._rows / seconds)
            line["seconds_left"] = round(seconds / self._done * (self._total - self._done), 1)
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()


@contextmanager
def stage(reporter: Reporter, name: str, total: int) -> Iterator[None]:
    """Report a stage, and its end however it ends."""
    reporter.start(name, total)
    try:
        yield
    finally:
        reporter.finish()


class Stopwatch:
    """Wall-clock seconds of every stage."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self._start = self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """End a stage; one that comes again, as an analysis that reads and later writes, adds up."""
        now = time.monotonic()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._last, 3)
        self._last = now

    def total(self) -> dict[str, float]:
        """Return the seconds of every stage and of all."""
        return self.seconds | {"total": round(time.monotonic() - self._start, 3)}
