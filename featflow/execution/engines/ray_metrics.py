"""A run's figures as Ray metrics, which the driver's node exports and Prometheus collects.

Ray puts ``ray_`` before every name and ``_total`` behind those that only grow. Tags are few: the kind of a stage
(reading, merging, counting pairs, ...), what was tried again, whose memory it is.
"""

from __future__ import annotations

from typing import Any

from ray.util.metrics import Counter, Gauge

__all__ = ["RayMetrics"]


class RayMetrics:
    """Passes figures to Ray. Figures are totals, Ray's counters take increments: those since the last record."""

    def __init__(self) -> None:
        self._counters = {
            "shards": _counter("shards", "Shards that were read, in all passes.", "stage"),
            "rows": _counter("rows", "Rows that were read, in all passes.", "stage"),
            "bytes": _counter("bytes", "Decoded bytes that were read, in all passes.", "stage"),
            "seconds": _counter("stage_seconds", "Wall-clock seconds.", "stage"),
        }
        self._retries = _counter("retries", "What failed and was tried again.", "kind")
        self._quarantined = Gauge("featflow_quarantined_rows", "Rows that the run under way could not read.")
        self._in_flight = Gauge("featflow_in_flight", "Tasks given and not yet taken back.")
        self._memory = Gauge("featflow_peak_memory_bytes", "Most memory that a process has held.", ("process",))
        self._counted: dict[tuple[str, str], float] = {}

    def record(self, figures: dict[str, Any]) -> None:
        """Take the figures as they are now."""
        for stage, stage_figures in figures["stages"].items():
            for name, counter in self._counters.items():
                self._count(counter, {"stage": stage}, stage_figures[name])
        for kind, number in figures["retries"].items():
            self._count(self._retries, {"kind": kind}, number)
        self._quarantined.set(figures["quarantined_rows"])
        self._in_flight.set(figures["in_flight"])
        for process, nbytes in figures["peak_memory_bytes"].items():
            self._memory.set(nbytes, {"process": process})

    def _count(self, counter: Counter, tags: dict[str, str], value: float) -> None:
        key = counter.info["name"], str(tags)
        new = value - self._counted.get(key, 0.0)
        if new > 0:
            counter.inc(new, tags)
            self._counted[key] = value


def _counter(name: str, description: str, tag: str) -> Counter:
    return Counter(f"featflow_{name}", description, (tag,))
