"""What a run read and lost, what it warns of, what changed since the last one, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from featflow.analyses.correlation.tables import CORRELATION
from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.reporting.labels import plural, shown, time
from featflow.analyses.reporting.limits import Limits
from featflow.analyses.reporting.listing import Field, Listing, listing
from featflow.storage.run import Run
from featflow.storage.tables import QUARANTINE, TableSpec

__all__ = ["Overview", "drift_listing", "interaction_listing", "overview", "pair_listing", "quarantine_listing"]

MOST_SHARE = 0.4
"""Of the rows of a page's tables that are pairs."""
WARNINGS = 200
WARNING_CHARACTERS = 600
PAIR_FIELDS = (
    ("method", "method", "text"),
    ("feature_a", "first", "text"),
    ("feature_b", "second", "text"),
    ("value", "value", "number"),
    ("ci_low", "from", "number"),
    ("ci_high", "to", "number"),
    ("n", "rows", "integer"),
    ("q_value", "q", "probability"),
)
INTERACTION_FIELDS = (
    ("target", "target", "text"),
    ("rank", "rank", "integer"),
    ("feature_a", "first", "text"),
    ("feature_b", "second", "text"),
    ("synergy", "synergy", "number"),
    ("ci_low", "from", "number"),
    ("ci_high", "to", "number"),
    ("corrected_joint_mi", "together", "number"),
    ("q_value", "q", "probability"),
    ("strategy", "strategy", "text"),
)
DRIFT_FIELDS = (
    ("alert", "alert", "flag"),
    ("feature", "feature", "text"),
    ("feature_b", "and", "text"),
    ("target", "about", "text"),
    ("metric", "metric", "text"),
    ("method", "method", "text"),
    ("reference_value", "before", "number"),
    ("current_value", "now", "number"),
    ("value", "value", "number"),
    ("threshold", "threshold", "number"),
    ("q_value", "q", "probability"),
    ("reference_run", "compared with", "text"),
)
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
    """The head of the page and its small tables."""

    run: str
    started: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    window: str | None
    """Event time that was read, where only a part was."""
    rows: dict[str, int]
    """footers, read and quarantined."""
    shards: dict[str, int]
    """total, computed and reused."""
    columns: int
    alerts: tuple[tuple[str, int], ...]
    """Alerts of the profile and how many columns have each, most first."""
    assumptions: str
    warnings: tuple[str, ...]
    more_warnings: int
    seconds: tuple[tuple[str, float], ...]
    software: tuple[tuple[str, str], ...]


def overview(run: Run, profile: pl.DataFrame) -> Overview:
    """Return what the manifest says of a run."""
    manifest = run.manifest
    dataset = manifest["config"]["dataset"]
    warnings = [shown(warning, WARNING_CHARACTERS) for warning in manifest["warnings"]]
    # duplicate_of:other is one alert, whatever the other is
    alerts = profile["alerts"].explode().drop_nulls().str.split(":").list.first().value_counts(sort=True, name="n")
    return Overview(
        run.run_id,
        f"{datetime.fromisoformat(manifest['started']):%Y-%m-%d %H:%M:%S} UTC",
        tuple(shown(source, 300) for source in dataset["source"]),
        tuple(dataset["targets"]),
        _window(dataset, profile),
        manifest["rows"],
        manifest["shards"],
        profile.height,
        tuple(alerts.iter_rows()),
        manifest["assumptions"] or "",
        tuple(warnings[:WARNINGS]),
        max(len(warnings) - WARNINGS, 0),
        tuple(manifest["seconds"].items()),
        tuple(manifest["software"].items()),
    )


def _window(dataset: dict[str, Any], profile: pl.DataFrame) -> str | None:
    """Return the window that was asked for, and the event times that were read."""
    times = profile.filter((pl.col("role") == "event_time") & (pl.col("kind") == "time") & pl.col("min").is_not_null())
    seen = f"{time(times['min'][0])} to {time(times['max'][0])} UTC" if times.height else ""
    return "; ".join(part for part in (dataset["window"] or "", seen) if part) or None


def _fields(table: TableSpec, chosen: tuple[tuple[str, str, str], ...]) -> list[Field]:
    said = {field["name"]: field["description"] for field in table.describe()["fields"]}
    return [Field(name, title, kind, said[name]) for name, title, kind in chosen]


def pair_listing(pairs: pl.DataFrame, limits: Limits) -> Listing:
    """Return the strongest pairs of each method, as many of each."""
    pairs = pairs.filter(pl.col("value").is_not_null())
    most = max(int(limits.rows * MOST_SHARE) // max(pairs["method"].n_unique(), 1), 1)
    strength = pl.col("value").abs().rank("ordinal", descending=True).over("method")
    methods = pairs["method"].unique(maintain_order=True)
    kept = pairs.filter(strength <= most).sort(
        pl.col("method").cast(pl.Enum(methods)), pl.col("value").abs(), descending=[False, True]
    )
    made = listing("pairs", "A row is a method and a pair, strongest first.", kept, _fields(CORRELATION, PAIR_FIELDS),
                   limits.rows)  # fmt: skip
    if kept.height == pairs.height:
        return made
    said = f"A row is a method and a pair: the strongest {most:,} of each method, of {plural(pairs.height, 'row')}."
    return Listing(made.name, said, made.fields, made.rows, made.texts)


def interaction_listing(interaction: pl.DataFrame, limits: Limits) -> Listing:
    """Return the pairs of each target, most synergy first."""
    said = "A row is a target and a pair; information is in nats."
    most = int(limits.rows * MOST_SHARE)
    return listing("interactions", said, interaction, _fields(INTERACTION, INTERACTION_FIELDS), most)


def drift_listing(drift: pl.DataFrame, limits: Limits) -> Listing:
    """Return what changed: alerts first, then what came nearest to its threshold."""
    nearness = (pl.col("value").abs() / pl.col("threshold")).fill_null(-1).fill_nan(-1)
    ordered = drift.sort(pl.col("alert").fill_null(value=False), nearness, descending=True)
    most = int(limits.rows * MOST_SHARE)
    return listing("drift", "A row is a feature and a metric.", ordered, _fields(DRIFT, DRIFT_FIELDS), most)


def quarantine_listing(quarantine: pl.DataFrame, limits: Limits) -> Listing:
    """Return what could not be read."""
    said = "A row is a file, or a row group of one, that could not be read."
    return listing("quarantine", said, quarantine, _fields(QUARANTINE, QUARANTINE_FIELDS), min(limits.rows, 2_000))
