"""The drift table for people: alerts first, then what came nearest to one."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

__all__ = ["shown_drift"]

ALERTS, OTHERS = 40, 8
"""Rows shown of those that are alerts, and of the others."""


def shown_drift(found: dict[str, Any]) -> Group:
    """Return the rows worth a look, strongest first, each beside its threshold, and warnings.

    Parameters
    ----------
    found
        As `featflow.analyses.drift.analysis.differences` returns it.
    """
    rows = sorted(found["rows"], key=lambda row: (not row["alert"], -_strength(row)))
    alerts = sum(row["alert"] for row in rows)
    shown = [*rows[: min(alerts, ALERTS)], *rows[alerts : alerts + OTHERS]]
    table = Table(
        title=f"From {found['reference_run']} to {found['current_run']}: {alerts} of {len(rows)} rows are alerts",
        title_justify="left",
    )
    for name in ("", "feature", "metric", "before", "now", "value", "threshold", "q"):
        table.add_column(name, justify="left" if name in {"", "feature", "metric"} else "right", overflow="fold")
    for row in shown:
        mark = "[red]![/red]" if row["alert"] else ""
        numbers = (_number(row[name]) for name in ("reference_value", "current_value", "value", "threshold"))
        q_value = "" if row["q_value"] is None else f"{row['q_value']:.1g}"
        table.add_row(mark, escape(_name(row)), escape(_metric(row)), *numbers, q_value)
    left = len(rows) - len(shown)
    table.caption = f"{left} more in the table; --json prints all" if left else None
    warnings = (f"[yellow]warning:[/yellow] {escape(warning)}" for warning in found["warnings"])
    return Group(*warnings, table)


def _strength(row: dict[str, Any]) -> float:
    """Return |value| in thresholds."""
    return abs(row["value"] or 0.0) / row["threshold"] if row["threshold"] else 0.0


def _name(row: dict[str, Any]) -> str:
    if row["target"]:
        return f"{row['feature']} about {row['target']}"
    return f"{row['feature']} and {row['feature_b']}" if row["feature_b"] else row["feature"] or "all pairs"


def _metric(row: dict[str, Any]) -> str:
    return f"{row['metric']} ({row['method']})" if row["method"] else str(row["metric"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
