"""The first features of every target, as tables for a terminal."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.console import Group
from rich.table import Table

from featflow.analyses.ranking.ranked_targets import evidence_of
from featflow.analyses.reporting.labels import shown as shown_name
from featflow.storage.run import Run

__all__ = ["shown"]

COLUMNS = ("rank", "could be", "feature", "corrected", "interval", "raw", "noise", "q", "share", "alerts")
SMALLEST_SHOWN = 1e-99
"""q-values below are shown as "<1e-99": an exponent of three digits would widen the column."""
WIDE, WIDE_ONLY = 130, {"interval", "raw", "noise"}
"""Characters of a line from which all columns are shown, and the columns that narrower terminals leave out."""
SHOWN = 8
"""Features of each target shown, so that a few targets fit a screen; the table has all."""


def shown(run: Run, width: int) -> Group | None:
    """Return a table for each target, features that are not significant in dim letters.

    Parameters
    ----------
    width
        Characters of a line of the terminal.
    """
    ranking = run.table("ranking") if "ranking" in run.tables else None
    if ranking is None or ranking.is_empty():
        return None
    columns = [name for name in COLUMNS if width >= WIDE or name not in WIDE_ONLY]
    targets = ranking["target"].unique(maintain_order=True)
    tables = [_target_table(target, ranking.filter(pl.col("target") == target), columns) for target in targets]
    return Group(*tables, *filter(None, [evidence_of(run)]))


def _target_table(target: str, ranking: pl.DataFrame, columns: list[str]) -> Table:
    table = Table(title=f"What tells about {shown_name(target)} (nats)", title_justify="left")
    for name in columns:
        words = name in {"feature", "alerts"}
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in ranking.head(SHOWN).to_dicts():
        cells = _cells(row)
        table.add_row(*(cells[name] for name in columns), style=None if row["significant"] else "dim")
    noise = ranking["noise_rank"][0]
    notes = [f"nothing is significant from rank {noise} on"] if noise is not None else []
    notes += [f"{ranking.height - SHOWN} more in the ranking table"] if ranking.height > SHOWN else []
    table.caption = "; ".join(notes)
    return table


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a row of the ranking, by column."""
    known, q = row["ci_low"] is not None, row["q_value"]
    return {
        "rank": str(row["rank"]),
        "could be": f"{row['rank_low']} to {row['rank_high']}" if known else "",
        "feature": shown_name(row["feature"]),
        "corrected": f"{row['corrected_mi']:.5f}",
        "interval": f"{row['ci_low']:.5f} to {row['ci_high']:.5f}" if known else "",
        "raw": f"{row['mi']:.5f}",
        "noise": f"{row['expected_mi']:.5f}",
        "q": "" if q is None else f"{q:.1g}" if q >= SMALLEST_SHOWN else f"<{SMALLEST_SHOWN:.0e}",
        "share": "" if row["normalized_mi"] is None else f"{row['normalized_mi']:.1%}",
        "alerts": ", ".join(row["alerts"]),
    }
