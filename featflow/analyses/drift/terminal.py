"""The drift table on a terminal: alerts first, then the rows nearest to their thresholds."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from featflow.analyses.reporting.labels import shown
from featflow.errors import printable

__all__ = ["shown_drift"]

ALERTS, OTHERS = 40, 8
"""Rows shown of those that are alerts, and of the others, so that the view fits a screen or two; --json prints all."""


def shown_drift(differences: dict[str, Any]) -> Group:
    """Return warnings, and a table of the alerts and of the rows nearest to one, each with its threshold.

    Parameters
    ----------
    differences
        What `featflow.analyses.drift.analysis.differences` returns.
    """
    rows = sorted(differences["rows"], key=lambda row: (not row["alert"], -_nearness(row)))
    alerts = sum(row["alert"] for row in rows)
    first = [*rows[: min(alerts, ALERTS)], *rows[alerts : alerts + OTHERS]]
    table = Table(
        title=f"From {differences['reference_run']} to {differences['current_run']}: "
        f"{alerts} of {len(rows)} rows are alerts",
        title_justify="left",
    )
    for name in ("", "feature", "metric", "before", "now", "value", "threshold", "q"):
        words = name in {"", "feature", "metric"}
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in first:
        mark = Text("!" if row["alert"] else "", "red")
        numbers = (_figure(row[name]) for name in ("reference_value", "current_value", "value", "threshold"))
        q_value = "" if row["q_value"] is None else f"{row['q_value']:.1g}"
        table.add_row(mark, _subject(row), _metric(row), *numbers, q_value)
    left = len(rows) - len(first)
    table.caption = f"{left} more in the table; --json prints all" if left else None
    warnings = (Text.assemble(("warning:", "yellow"), " ", printable(each)) for each in differences["warnings"])
    return Group(*warnings, table)


def _nearness(row: dict[str, Any]) -> float:
    """Return |value| as a multiple of its threshold; 0 without one."""
    return abs(row["value"] or 0.0) / row["threshold"] if row["threshold"] else 0.0


def _subject(row: dict[str, Any]) -> str:
    feature, target, second = (shown(row[name] or "") for name in ("feature", "target", "feature_b"))
    if row["target"]:
        return f"{feature} about {target}"
    return f"{feature} and {second}" if row["feature_b"] else feature or "all pairs"


def _metric(row: dict[str, Any]) -> str:
    return f"{row['metric']} ({row['method']})" if row["method"] else str(row["metric"])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
