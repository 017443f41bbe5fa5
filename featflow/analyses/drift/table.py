"""The drift table: changes between two runs, column by column, on frozen bins.

Bins are the pair coding of a codebook (16 quantile bins of a number; the 15 most frequent levels of a category and
"other"), so a rule of thumb made for ten to twenty bins holds; rows without a value are a bin of their own. Numbers are
compared by their histograms, too, categories by all their levels. Texts and times have a missing rate alone: texts
have no bins, and times are later every night. An alert needs an effect beyond its threshold, a small q-value (which any
effect has, given enough rows), and both in some runs in a row. Sources: `featflow.measures.divergence`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.change import Row, row_key
from featflow.analyses.drift.tables import DRIFT
from featflow.measures.multiple_testing import false_discovery_rates

__all__ = ["Limits", "drift", "streaks"]


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a change is an alert."""

    thresholds: Mapping[str, float | None]
    """Largest |value| of each metric that raises no alert; None for a metric that raises none."""
    false_discovery_rate: float = 0.01
    """Largest q-value that an alert may have."""
    persist: int = 1
    """Runs in a row in which a row must be beyond both limits before it is an alert."""


# --- the table ------------------------------------------------------------------------------------------------------
def drift(
    rows: Iterable[Row], runs: tuple[str, str], limits: Limits, before: Mapping[tuple[Any, ...], int]
) -> pa.Table:
    """Return the drift table: q-values over rows of the same metric, method and target, and alerts.

    Parameters
    ----------
    rows
        Rows that analyses yield, such as `featflow.analyses.profile.drift.column_drift`.
    runs
        Ids of the reference and the current run.
    before
        Number of runs in a row, before this one, in which the row of the same key was beyond its limits; see `streaks`.
    """
    table_rows = list(rows)
    families: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in table_rows:
        families[row["metric"], row.get("method"), row.get("target")].append(row)
    for family in families.values():
        p_values = np.array([row.get("p_value", np.nan) for row in family], np.float64)
        for row, q_value in zip(family, false_discovery_rates(p_values, "benjamini_hochberg"), strict=True):
            row["q_value"] = float(q_value)
    for row in table_rows:
        row["threshold"] = threshold = limits.thresholds[row["metric"]]
        beyond = threshold is not None and abs(row["value"]) > threshold  # NaN is beyond nothing
        beyond = beyond and row["q_value"] <= limits.false_discovery_rate
        row["runs_beyond"] = 1 + before.get(row_key(row), 0) if beyond else 0
        row["alert"] = row["runs_beyond"] >= limits.persist
        row["reference_run"], row["current_run"] = runs
    names = dict.fromkeys(("metric", *(name for row in table_rows for name in row)))
    return DRIFT.build({name: [row.get(name) for row in table_rows] for name in names})


def streaks(table: pa.Table, reference_run: str) -> dict[tuple[Any, ...], int]:
    """Return ``runs_beyond`` of the rows of a drift table that compare with a run, by `row_key`."""
    rows = table.filter(pc.equal(table.column("reference_run"), reference_run)).to_pylist()
    return {row_key(row): row["runs_beyond"] for row in rows if row["runs_beyond"]}
