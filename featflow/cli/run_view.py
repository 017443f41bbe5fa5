"""Finished runs for people: rows, warnings, the first features of every target, where the tables are."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from featflow.storage.run import Run

__all__ = ["print_run", "shown_runs"]

RANKING_COLUMNS = ("rank", "could be", "feature", "corrected", "interval", "raw", "noise", "q", "share", "alerts")
SMALLEST_SHOWN = 1e-99
WIDE, WIDE_ONLY = 130, {"interval", "raw", "noise"}
"""Columns of a terminal from which the whole ranking is shown."""
SHOWN = 8
"""Features of each target shown on the terminal."""


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
    for warning in manifest["warnings"]:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    if "ranking" in run.tables:
        _print_ranking(run, out)
    width = max(map(len, run.tables), default=0)
    for name, uri in run.tables.items():
        out.print(f"  {name:<{width}} {manifest['tables'][name]['rows']:>9,} rows  {escape(uri)}", soft_wrap=True)


def _print_ranking(run: Run, out: Console) -> None:
    ranked = run.table("ranking")
    shown = RANKING_COLUMNS if out.width >= WIDE else tuple(name for name in RANKING_COLUMNS if name not in WIDE_ONLY)
    for target in ranked["target"].unique(maintain_order=True):
        of_target = ranked.filter(ranked["target"] == target)
        table = Table(title=f"What tells about {escape(target)} (nats)", title_justify="left")
        for name in shown:
            words = name in {"feature", "alerts"}
            table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
        for row in of_target.head(SHOWN).to_dicts():
            cells = _ranking_cells(row)
            table.add_row(*(cells[name] for name in shown), style=None if row["significant"] else "dim")
        noise = of_target["noise_rank"][0]
        said = [f"nothing is significant from rank {noise} on"] if noise is not None else []
        said += [f"{of_target.height - SHOWN} more in the ranking table"] if of_target.height > SHOWN else []
        table.caption = "; ".join(said)
        out.print(table)


def _ranking_cells(row: dict[str, Any]) -> dict[str, str]:
    """Return what is shown of a row of the ranking, by column."""
    known = row["ci_low"] is not None
    return {
        "rank": str(row["rank"]),
        "could be": f"{row['rank_low']} to {row['rank_high']}" if known else "",
        "feature": escape(row["feature"]),
        "corrected": f"{row['corrected_mi']:.5f}",
        "interval": f"{row['ci_low']:.5f} to {row['ci_high']:.5f}" if known else "",
        "raw": f"{row['mi']:.5f}",
        "noise": f"{row['expected_mi']:.5f}",
        "q": f"{row['q_value']:.1g}" if row["q_value"] >= SMALLEST_SHOWN else f"<{SMALLEST_SHOWN:.0e}",
        "share": "" if row["normalized_mi"] is None else f"{row['normalized_mi']:.1%}",
        "alerts": escape(", ".join(row["alerts"])),
    }
