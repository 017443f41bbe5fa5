"""A run's profile as rows of Feast's own monitoring table, which its API and its pages show.

Feast keeps a row a feature, day and granularity. A run is one such row a feature: of the granularity that holds its
event time (daily, weekly, biweekly, monthly, quarterly), else ``baseline``, Feast's word for all there is; its day is
that of the first event, as Feast's own is. The first run that is exported is the baseline.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.change import ColumnState
from featflow.analyses.run_states import RunStates
from featflow.columns.sort_keys import key_values
from featflow.errors import DatasetError
from featflow.export.feast.views import View
from featflow.storage.run import Run
from featflow.storage.store import Store
from featflow.summaries.value_histograms import Histogram

__all__ = ["METRICS", "PATH", "granularity", "metrics", "save_metrics"]

PATH = "feast_monitoring/feast_monitoring_feature_metrics.parquet"
METRICS = pa.schema(
    [
        *((name, pa.string()) for name in ("project_id", "feature_view_name", "feature_name")),
        ("metric_date", pa.date32()),
        *((name, pa.string()) for name in ("granularity", "data_source_type")),
        *((name, pa.timestamp("ns", "UTC")) for name in ("computed_at", "max_event_timestamp")),
        ("is_baseline", pa.bool_()),
        ("feature_type", pa.string()),
        *((name, pa.int64()) for name in ("row_count", "null_count")),
        *((name, pa.float64()) for name in ("null_rate", "mean", "stddev", "min_val", "max_val")),
        *((name, pa.float64()) for name in ("p50", "p75", "p90", "p95", "p99")),
        ("histogram", pa.string()),
    ]
)
KEY = ("project_id", "feature_view_name", "feature_name", "metric_date", "granularity", "data_source_type")
DAYS = {1: "daily", 7: "weekly", 14: "biweekly", 31: "monthly", 92: "quarterly"}
"""Most days of event time in each granularity."""
BASELINE = "baseline"
PERCENTILES = (50, 75, 90, 95, 99)
BINS, VALUES = 20, 10
"""Bins and values of a histogram, as Feast computes them itself."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def granularity(first: float, last: float) -> str:
    """Return what Feast calls a stretch of event time, from microseconds since 1970.

    Examples
    --------
    >>> day = 86_400_000_000
    >>> granularity(0, day - 1), granularity(0, day), granularity(0, 365 * day)
    ('daily', 'weekly', 'baseline')
    """
    days = int(last // 86_400_000_000 - first // 86_400_000_000) + 1
    return next((name for most, name in DAYS.items() if days <= most), BASELINE)


def metrics(run: Run, project: str, views: list[View], event_time: str) -> pa.Table:
    """Return a row for every feature of the views that is a number or a category.

    Raises
    ------
    DatasetError
        A state of the run, which its histograms come from, is not there any more.
    """
    wanted = ("column", "kind", "rows", "missing", "mean", "std", "min", "max", "distinct", "top_values")
    told = {row["column"]: row for row in run.arrow("profile").select(wanted).to_pylist()}
    first, last = (told[event_time][end] for end in ("min", "max"))
    shared = {
        "project_id": project,
        "metric_date": (EPOCH + timedelta(microseconds=first)).date(),
        "granularity": granularity(first, last),
        "data_source_type": "batch",
        "computed_at": datetime.fromisoformat(run.manifest["started"]),
        "max_event_timestamp": EPOCH + timedelta(microseconds=last),
        "is_baseline": True,
    }
    states, rows = RunStates(run), []
    for view in views:
        for feature in view.features:
            profile = told.get(feature.column)
            if feature.width or profile is None or profile["kind"] == "time":
                continue
            named = {"feature_view_name": view.name, "feature_name": feature.name}
            rows.append(shared | named | _row(profile, states))
    return pa.Table.from_pylist(rows, METRICS)


def save_metrics(store: Store, found: pa.Table) -> None:
    """Put rows into the table of a repository, in place of those of the same key; a baseline that is there stays.

    Raises
    ------
    DatasetError
        What is there is no such table.
    """
    try:
        there = store.read_parquet(PATH)
    except FileNotFoundError:
        there = METRICS.empty_table()
    try:
        there = there.select(METRICS.names).cast(METRICS)
    except (KeyError, pa.ArrowException) as error:
        raise DatasetError(f"{store.uri(PATH)}: not Feast's table of metrics ({error}); move it away") from None
    ours = set(zip(*(found[name].to_pylist() for name in KEY), strict=True))
    others = [key not in ours for key in zip(*(there[name].to_pylist() for name in KEY), strict=True)]
    there = there.filter(pa.array(others, pa.bool_()))
    known = there.filter(pc.fill_null(there["is_baseline"], False))
    named = set(zip(*(known[name].to_pylist() for name in KEY[:3]), strict=True))
    names = zip(*(found[name].to_pylist() for name in KEY[:3]), strict=True)
    first = pa.array([name not in named for name in names], pa.bool_())
    found = found.set_column(METRICS.get_field_index("is_baseline"), METRICS.field("is_baseline"), first)
    store.write_parquet(PATH, pa.concat_tables([there, found]))


def _row(profile: dict[str, Any], states: RunStates) -> dict[str, Any]:
    rows, missing = profile["rows"], profile["missing"]
    counts = {"row_count": rows, "null_count": missing, "null_rate": missing / rows}
    if profile["kind"] != "number":
        top = (profile["top_values"] or [])[:VALUES]
        shown = {"values": top, "other_count": rows - missing - sum(value["count"] for value in top)}
        histogram = shown | {"unique_count": profile["distinct"]}
        return counts | {"feature_type": "categorical", "histogram": json.dumps(histogram) if rows > missing else None}
    known = {"mean": profile["mean"], "stddev": profile["std"], "min_val": profile["min"], "max_val": profile["max"]}
    found = counts | known | {"feature_type": "numeric"}
    state = states[profile["column"]]
    if profile["min"] is None or not isinstance(state.counts, Histogram):
        return found
    return found | _spread(state, state.counts)


def _spread(state: ColumnState, histogram: Histogram) -> dict[str, Any]:
    """Return percentiles and a histogram of the values, each taken for the middle of its cell in the run's state."""
    cells, counts = histogram.cells, histogram.counts
    last = cells + np.uint64((1 << histogram.shift) - 1)
    ends = (key_values(each, state.column.type) for each in (cells, last))
    low, high = (np.clip(np.nan_to_num(end, nan=state.high), state.low, state.high) for end in ends)
    values, cumulative = low / 2 + high / 2, np.cumsum(counts)
    wanted = np.ceil(np.array(PERCENTILES) / 100 * cumulative[-1] - 1e-9)
    percentiles = values[np.searchsorted(cumulative, wanted)]
    try:
        binned, edges = np.histogram(values, BINS, (state.low, state.high), weights=counts)
    except ValueError:  # values so close, or so far apart, that there are no such bins between them
        binned, edges = counts.sum(keepdims=True), np.array([state.low, state.high])
    shown = {"bins": edges.tolist(), "counts": [round(count) for count in binned.tolist()]}
    return {
        **{f"p{p}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)},
        "histogram": json.dumps(shown | {"bin_width": float(edges[1] - edges[0])}),
    }
