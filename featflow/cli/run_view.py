"""Finished runs on the terminal: rows, warnings, views of analyses, paths of tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from featflow.analyses.catalogue import ANALYSES
from featflow.cli.plan_view import shown_engine
from featflow.storage.run import Run

__all__ = ["print_run", "shown_runs", "summary"]


def shown_runs(runs: list[Run]) -> Table:
    """Return runs as rows: what they read, computed and reused, and how long they took."""
    listing = Table()
    for name in ("run", "rows", "shards computed", "reused", "seconds", "warnings"):
        listing.add_column(name, justify="left" if name == "run" else "right", no_wrap=name == "run")
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
    rows, shards = manifest["rows"], manifest["shards"]
    out.print(
        f"[bold]{run.run_id}[/bold]  {rows['read']:,} rows, {rows['quarantined']:,} quarantined; "
        f"{shards['computed']} of {shards['total']} shards computed, {shards['reused']} reused; "
        f"{manifest['seconds']['total']:.1f} s",
        soft_wrap=True,
    )
    out.print(f"{shown_engine(manifest['engine'])}: {manifest['engine_reason']}", soft_wrap=True)
    for warning in manifest["warnings"]:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    for analysis in ANALYSES:
        if (view := analysis.shown(run, out.width)) is not None:
            out.print(view)
    width = max(map(len, run.tables), default=0)
    for name, uri in run.tables.items():
        out.print(f"  {name:<{width}} {manifest['tables'][name]['rows']:>9,} rows  {escape(uri)}", soft_wrap=True)


def summary(run: Run) -> dict[str, Any]:
    """Return a run as JSON values."""
    manifest = run.manifest
    return {
        "status": manifest["status"],
        "run": run.run_id,
        "tables": run.tables,
        "engine": manifest["engine"],
        "rows": manifest["rows"],
        "shards": manifest["shards"],
        "seconds": manifest["seconds"],
        "warnings": manifest["warnings"],
    }
