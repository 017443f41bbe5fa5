"""Finished runs on the terminal: rows, warnings, views of analyses, paths of tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from featflow.cli.plan_view import shown_engine
from featflow.cli.printing import labelled
from featflow.storage.run import Run

__all__ = ["print_run", "shown_counts", "shown_runs", "summary"]


def shown_runs(runs: list[Run], damaged: Iterable[str] = ()) -> Table:
    """Return runs as rows: what they read, computed and reused, and how long they took; and ids of damaged ones."""
    listing = Table()
    for name in ("run", "rows", "shards computed", "reused", "seconds", "warnings"):
        listing.add_column(name, justify="left" if name == "run" else "right", no_wrap=name == "run")
    for run_id in damaged:
        listing.add_row(run_id, "damaged")
    for run in runs:
        shards, seconds = run.manifest["shards"], run.manifest["seconds"]["total"]
        counts = (run.manifest["rows"]["read"], shards["computed"], shards["reused"])
        listing.add_row(
            run.run_id, *(f"{count:,}" for count in counts), f"{seconds:.1f}", str(len(run.manifest["warnings"]))
        )
    return listing


def print_run(run: Run, out: Console) -> None:
    """Print a run onto a console."""
    manifest = run.manifest
    out.print(shown_counts(run.run_id, manifest), soft_wrap=True)
    since = manifest.get("unchanged_since")
    where = f"{shown_engine(manifest['engine'])}: {manifest['engine_reason']}"
    out.print(f"nothing changed since run {since}: its tables are published again" if since else where, soft_wrap=True)
    for warning in manifest["warnings"]:
        out.print(labelled("warning:", "yellow", warning), soft_wrap=True)
    for view in _views(run, out.width):
        out.print(view)
    width = max(map(len, run.tables), default=0)
    for name, uri in run.tables.items():
        out.print(f"  {name:<{width}} {manifest['tables'][name]['rows']:>9,} rows  {uri}", soft_wrap=True)


def shown_counts(run: str, figures: Mapping[str, Any]) -> Text:
    """Return a run's name, and its rows, shards and seconds as its manifest or its JSON has them."""
    rows, shards = figures["rows"], figures["shards"]
    counts = (
        f" {rows['read']:,} rows, {rows['quarantined']:,} quarantined; {shards['computed']} of {shards['total']} "
        f"shards computed, {shards['reused']} reused; {figures['seconds']['total']:.1f} s"
    )
    return labelled(run, "bold", counts)


def _views(run: Run, width: int) -> Iterator[RenderableType]:
    from featflow.analyses.catalogue import ANALYSES

    for analysis in ANALYSES:
        if (view := analysis.shown(run, width)) is not None:
            yield view


def summary(run: Run) -> dict[str, Any]:
    """Return a run as JSON values."""
    manifest = run.manifest
    return {
        "status": manifest["status"],
        "run": run.run_id,
        "tables": run.tables,
        "engine": manifest["engine"],
        "unchanged_since": manifest.get("unchanged_since"),
        "rows": manifest["rows"],
        "shards": manifest["shards"],
        "seconds": manifest["seconds"],
        "warnings": manifest["warnings"],
    }
