"""Which features of every target to keep and which to drop, for a terminal."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.console import Group
from rich.table import Table

from featflow.analyses.reporting.labels import shown as shown_name
from featflow.analyses.selection.reasons import REASONS
from featflow.storage.run import Run

__all__ = ["shown"]

SHOWN = 10
"""Features of each path shown, so that a few targets fit a screen; the table has all."""
SURE = 0.05
"""p of a margin from which the runner-up would do as well, and is named."""
NAMED = 6
"""Features that are dropped for one reason and named."""


def shown(run: Run, width: int) -> Group | None:  # noqa: ARG001
    """Return a table for each target and method, and below it what to drop and why."""
    selection = run.table("selection") if "selection" in run.tables else None
    if selection is None or selection.is_empty():
        return None
    paths = selection.select("target", "method").unique(maintain_order=True).iter_rows()
    return Group(*(_path(selection.filter(target=target, method=method)) for target, method in paths))


def _path(rows: pl.DataFrame) -> Table:
    target, method = rows["target"][0], rows["method"][0]
    kept = rows.filter("kept")
    table = Table(
        title=f"Features to use for {shown_name(target)}: {kept.height} ({method})",
        title_justify="left",
        caption_justify="left",
    )
    for name in ("step", "feature", "adds (nats)", "noise p", "of halves", "instead"):
        words = name in {"feature", "instead"}
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in kept.head(SHOWN).iter_rows(named=True):
        table.add_row(*_cells(row))
    table.caption = "\n".join(_dropped(rows, kept.height))
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    probability = row["selection_probability"]
    return (
        str(row["step"]),
        shown_name(row["feature"]),
        f"{row['gain']:.5f}",
        f"{row['noise_p']:.1g}",
        "" if probability is None else f"{probability:.0%}",
        "" if row["runner_up"] is None or (row["margin_p"] or 0) < SURE else shown_name(row["runner_up"]),
    )


def _dropped(rows: pl.DataFrame, kept: int) -> list[str]:
    """Return lines that say which features are left out, and why."""
    lines = [f"{kept - SHOWN} more in the selection table"] if kept > SHOWN else []
    reasons = rows.filter(~pl.col("kept")).group_by("reason", maintain_order=True).agg("feature")
    for reason, features in reasons.iter_rows():
        some = ", ".join(shown_name(name) for name in features[:NAMED])
        more = f" and {len(features) - NAMED} more" if len(features) > NAMED else ""
        lines.append(f"drop ({REASONS.get(reason, reason)}): {some}{more}")
    return lines
