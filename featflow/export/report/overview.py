"""The head of a report: rows read and lost, warnings, seconds and software of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from featflow.analyses.reporting.labels import shown
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Listing, described, listing
from featflow.storage.run import Run
from featflow.storage.tables import QUARANTINE

__all__ = ["Overview", "overview", "quarantine_listing"]

WARNINGS = 200
"""Warnings that a page shows; the others are counted, and all are in the manifest."""
WARNING_CHARACTERS = 600
"""Characters of a warning that a page shows: `WARNINGS` of them are then at most 120 kB."""
QUARANTINE_ROWS = 2_000
"""Rows of quarantine that a page shows; all are in the table."""
QUARANTINE_FIELDS = (
    ("uri", "file", "text"),
    ("row_group", "row group", "integer"),
    ("column", "column", "text"),
    ("rows", "rows lost", "integer"),
    ("reason", "reason", "text"),
    ("detail", "what the reader said", "text"),
)
"""Column, heading and format of each field of the listing."""


@dataclass(frozen=True)
class Overview:
    """Fields of a run's manifest that a page shows."""

    run: str
    started: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    rows: dict[str, int]
    """footers, read and quarantined."""
    shards: dict[str, int]
    """total, computed and reused."""
    assumptions: str
    warnings: tuple[str, ...]
    more_warnings: int
    seconds: tuple[tuple[str, float], ...]
    software: tuple[tuple[str, str], ...]


def overview(run: Run) -> Overview:
    """Return the fields of a run's manifest that a page shows."""
    manifest = run.manifest
    dataset = manifest["config"]["dataset"]
    warnings = [shown(warning, WARNING_CHARACTERS) for warning in manifest["warnings"][:WARNINGS]]
    return Overview(
        run=run.run_id,
        started=f"{datetime.fromisoformat(manifest['started']):%Y-%m-%d %H:%M:%S} UTC",
        sources=tuple(shown(source, 300) for source in dataset["source"]),
        targets=tuple(dataset["targets"]),
        rows=manifest["rows"],
        shards=manifest["shards"],
        assumptions=manifest.get("assumptions") or "",
        warnings=tuple(warnings),
        more_warnings=max(len(manifest["warnings"]) - WARNINGS, 0),
        seconds=tuple(manifest["seconds"].items()),
        software=tuple(manifest.get("software", {}).items()),
    )


def quarantine_listing(run: Run, limits: PageLimits) -> Listing | None:
    """Return a listing of what could not be read; None where everything could."""
    quarantine = run.table("quarantine")
    if quarantine.is_empty():
        return None
    caption = "A row is a file, or a row group of one, that could not be read."
    fields = described(QUARANTINE, QUARANTINE_FIELDS)
    return listing("quarantine", caption, quarantine, fields, min(limits.rows, QUARANTINE_ROWS))
