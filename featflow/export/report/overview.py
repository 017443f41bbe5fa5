"""What a run read and lost, what it warns of, and how long it took."""

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
WARNING_CHARACTERS = 600
QUARANTINE_ROWS = 2_000
QUARANTINE_FIELDS = (
    ("uri", "file", "text"),
    ("row_group", "row group", "integer"),
    ("column", "column", "text"),
    ("rows", "rows lost", "integer"),
    ("reason", "reason", "text"),
    ("detail", "what the reader said", "text"),
)


@dataclass(frozen=True)
class Overview:
    """What the manifest says of a run."""

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
    """Return what the manifest says of a run."""
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
        assumptions=manifest["assumptions"] or "",
        warnings=tuple(warnings),
        more_warnings=max(len(manifest["warnings"]) - WARNINGS, 0),
        seconds=tuple(manifest["seconds"].items()),
        software=tuple(manifest["software"].items()),
    )


def quarantine_listing(run: Run, limits: PageLimits) -> Listing | None:
    """Return what could not be read; None where everything could."""
    quarantine = run.table("quarantine")
    if quarantine.is_empty():
        return None
    row = "A row is a file, or a row group of one, that could not be read."
    fields = described(QUARANTINE, QUARANTINE_FIELDS)
    return listing("quarantine", row, quarantine, fields, min(limits.rows, QUARANTINE_ROWS))
