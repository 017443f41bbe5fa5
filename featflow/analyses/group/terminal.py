"""The features of a run that repeat others, for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from featflow.analyses.group.report import repeated
from featflow.analyses.reporting.labels import plural
from featflow.analyses.reporting.labels import shown as shown_name
from featflow.storage.run import Run

__all__ = ["shown"]

SHOWN = 8
"""Groups shown."""
NAMES = 6
"""Features of a group that are named."""


def shown(run: Run, width: int) -> RenderableType | None:  # noqa: ARG001
    """Return how many features repeat others, and which of each group to keep."""
    note = run.manifest["analyses"].get("group")
    if not note or not note["features"] or "group" not in run.tables:
        return None
    groups = repeated(run)
    features = plural(note["features"], "feature")
    summary = f"{features} behave like {note['groups']:,} (effective {note['effective_features']:.1f})"
    if groups.is_empty():
        return f"{summary}: none repeats another."
    table = Table(title="Features that repeat one another", title_justify="left")
    for title in ("keep", "drop"):
        table.add_column(title, overflow="fold")
    table.add_column("least similarity", justify="right")
    for row in groups.head(SHOWN).to_dicts():
        names = [shown_name(name, 40) for name in row["others"][:NAMES]]
        more = [f"{len(row['others']) - NAMES} more"] if len(row["others"]) > NAMES else []
        least = "" if row["least"] is None else f"{row['least']:.3f}"
        table.add_row(shown_name(row["representative"]), ", ".join(names + more), least)
    if groups.height > SHOWN:
        table.caption = f"{groups.height - SHOWN:,} more in the group table"
    return Group(f"{summary}; {int((groups['size'] - 1).sum()):,} may go:", table)
