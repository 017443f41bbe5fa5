"""A run's profile as rows of Feast's own monitoring table, which Feast's API and web pages show.

Feast keeps a row for each feature, day and granularity. A run gives one such row for each feature. Its granularity is
the shortest that holds the run's event time (daily, weekly, biweekly, monthly, quarterly), else ``baseline``, Feast's
word for all data; its day is that of the first event, as in Feast's own rows. The first run that is exported is the
baseline.
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
from featflow.storage.records.tables import parquet_table
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
"""Columns that identify a row of the table."""
DAYS = {1: "daily", 7: "weekly", 14: "biweekly", 31: "monthly", 92: "quarterly"}
"""Most days of event time in each granularity: the longest month has 31, the longest quarter 92."""
BASELINE = "baseline"
PERCENTILES = (50, 75, 90, 95, 99)
"""Those that Feast's table has columns for."""
BINS, VALUES = 20, 10
"""Bins and values of a histogram, as Feast computes them itself."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def granularity(first: float, last: float) -> str:
    """Return Feast's granularity of a range of event time; both ends are microseconds since 1970.

    Examples
    --------
    >>> day = 86_400_000_000
    >>> granularity(0, day - 1), granularity(0, day), granularity(0, 365 * day)
    ('daily', 'weekly', 'baseline')
    """
    days = int(last // 86_400_000_000 - first // 86_400_000_000) + 1
    return next((name for most, name in DAYS.items() if days <= most), BASELINE)


def metrics(run: Run, project: str, views: list[View], event_time: str) -> pa.Table:
    """Return a row of `METRICS` for every feature of the views that is a number or a category.

    Raises
    ------
    DatasetError
        A state that a histogram is computed from no longer exists.
    """
    names = ("column", "kind", "rows", "missing", "mean", "std", "min", "max", "distinct", "top_values")
    profiles = {row["column"]: row for row in run.arrow("profile").select(names).to_pylist()}
    first, last = (profiles[event_time][end] for end in ("min", "max"))
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
            profile = profiles.get(feature.column)
            if feature.width or profile is None or profile["kind"] == "time":
                continue
            identity = {"feature_view_name": view.name, "feature_name": feature.name}
            rows.append(shared | identity | _feature_metrics(profile, states))
    return pa.Table.from_pylist(rows, METRICS)


def save_metrics(store: Store, rows: pa.Table) -> None:
    """Write rows to a repository's table, in place of rows of the same `KEY`; a feature's first row is its baseline.

    Raises
    ------
    DatasetError
        The file at `PATH` is another table.
    """
    try:
        existing = parquet_table(store.read(PATH)).select(METRICS.names).cast(METRICS)
    except FileNotFoundError:
        existing = METRICS.empty_table()
    except (KeyError, pa.ArrowException, OSError) as error:
        raise DatasetError(f"{store.uri(PATH)}: not Feast's table of metrics ({error}); move it away") from None
    replaced = set(zip(*(rows[name].to_pylist() for name in KEY), strict=True))
    is_kept = [key not in replaced for key in zip(*(existing[name].to_pylist() for name in KEY), strict=True)]
    existing = existing.filter(pa.array(is_kept, pa.bool_()))
    baselines = existing.filter(pc.fill_null(existing["is_baseline"], False))
    with_baseline = set(zip(*(baselines[name].to_pylist() for name in KEY[:3]), strict=True))
    features = zip(*(rows[name].to_pylist() for name in KEY[:3]), strict=True)
    is_baseline = pa.array([name not in with_baseline for name in features], pa.bool_())
    rows = rows.set_column(METRICS.get_field_index("is_baseline"), METRICS.field("is_baseline"), is_baseline)
    store.write_parquet(PATH, pa.concat_tables([existing, rows]))


def _feature_metrics(profile: dict[str, Any], states: RunStates) -> dict[str, Any]:
    rows, missing = profile["rows"], profile["missing"]
    counts = {"row_count": rows, "null_count": missing, "null_rate": missing / rows}
    if profile["kind"] != "number":
        top = (profile["top_values"] or [])[:VALUES]
        frequencies = {"values": top, "other_count": rows - missing - sum(value["count"] for value in top)}
        histogram = frequencies | {"unique_count": profile["distinct"]}
        return counts | {"feature_type": "categorical", "histogram": json.dumps(histogram) if rows > missing else None}
    moments = {"mean": profile["mean"], "stddev": profile["std"], "min_val": profile["min"], "max_val": profile["max"]}
    values = counts | moments | {"feature_type": "numeric"}
    state = states[profile["column"]]
    if profile["min"] is None or not isinstance(state.counts, Histogram):
        return values
    return values | _distribution(state, state.counts)


def _distribution(state: ColumnState, histogram: Histogram) -> dict[str, Any]:
    """Return percentiles and a histogram; each value counts as the middle of its cell in the run's state."""
    cells, counts = histogram.cells, histogram.counts
    last = cells + np.uint64((1 << histogram.shift) - 1)
    ends = (key_values(each, state.column.type) for each in (cells, last))
    low, high = (np.clip(np.nan_to_num(end, nan=state.high), state.low, state.high) for end in ends)
    # Halves are added, as a sum of two values may overflow.
    values, cumulative = low / 2 + high / 2, np.cumsum(counts)
    # A product that rounding lifts just above a whole rank is that rank.
    ranks = np.ceil(np.array(PERCENTILES) / 100 * cumulative[-1] - 1e-9)
    percentiles = values[np.searchsorted(cumulative, ranks)]
    try:
        binned, edges = np.histogram(values, BINS, (state.low, state.high), weights=counts)
    except ValueError:  # values so close, or so far apart, that there are no such bins between them
        binned, edges = counts.sum(keepdims=True), np.array([state.low, state.high])
    bins = {"bins": edges.tolist(), "counts": [round(count) for count in binned.tolist()]}
    return {
        **{f"p{p}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)},
        "histogram": json.dumps(bins | {"bin_width": float(edges[1] - edges[0])}),
    }
