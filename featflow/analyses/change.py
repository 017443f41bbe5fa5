"""Parts of rows of the drift table, which every analysis that reports drift uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featflow.columns.column import Column
from featflow.summaries.levels import LevelCounts
from featflow.summaries.value_histograms import Histogram

__all__ = ["ColumnState", "Row", "change_row", "row_key"]

KEY = ("feature", "feature_b", "target", "method", "metric")
"""Columns that identify a row among those of the same two runs."""

Row = dict[str, Any]


@dataclass(frozen=True)
class ColumnState:
    """Counts and moments of one column that a run has stored."""

    column: Column
    """The column."""
    rows: int
    """Rows read."""
    missing: int
    """Rows without a value; of numbers also those with NaN or an infinity."""
    counts: Histogram | LevelCounts
    """Histogram of a number; counts by level of a category or text."""
    std: float = float("nan")
    """Standard deviation of a number, ddof 1."""
    low: float = float("nan")
    """Smallest value of a number."""
    high: float = float("nan")
    """Largest value of a number."""


def change_row(metric: str, before: float, now: float) -> Row:
    """Return the columns of a row that hold a figure before, now, and the difference."""
    return {"metric": metric, "reference_value": before, "current_value": now, "value": now - before}


def row_key(row: Row) -> tuple[Any, ...]:
    """Return the values of `KEY`, which identify a row among those of the same two runs."""
    return tuple(row.get(name) for name in KEY)
