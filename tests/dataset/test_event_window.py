"""Windows of event time: which row groups are read, whatever the files hold beside them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featflow
from featflow.config import parse
from featflow.dataset.dataset import open_dataset
from featflow.dataset.options import DatasetOptions
from featflow.errors import ConfigurationError, DatasetError, SchemaError

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 24


def write_days(folder, days, first=0, column="at"):
    """A file a day, a row an hour, in two row groups."""
    folder.mkdir(exist_ok=True)
    for day in range(first, first + days):
        times = [START + timedelta(days=day, hours=hour) for hour in range(ROWS)]
        table = pa.table({column: pa.array(times, pa.timestamp("us")), "x": [day * 1.0] * ROWS, "y": [0, 1] * 12})
        pq.write_table(table, folder / f"{day:03d}.parquet", row_group_size=12)


def days_read(folder, **options):
    dataset = open_dataset(DatasetOptions(source=[str(folder)], event_time="at", **options))
    return sorted({(int(s.file.uri[-11:-8]), group) for s in dataset.shards for group in s.row_groups}), dataset.rows


@pytest.mark.parametrize(
    ("options", "days"),
    [
        ({}, range(40)),
        ({"window": "last 7 days"}, range(33, 40)),
        ({"window": "last 1 day"}, [39]),
        ({"window": "last 2 weeks", "as_of": "2026-01-20"}, range(6, 20)),
        ({"window": "last 2 days", "as_of": date(2026, 1, 2)}, range(2)),
        ({"window": "last 400 days"}, range(40)),
    ],
)
def test_a_window_is_whole_days_up_to_the_last(tmp_path, options, days):
    write_days(tmp_path / "data", 40)
    found, rows = days_read(tmp_path / "data", **options)
    assert found == [(day, group) for day in days for group in (0, 1)]
    assert rows == ROWS * len(days)


def test_hours_end_where_they_are_told_to(tmp_path):
    write_days(tmp_path / "data", 3)
    assert days_read(tmp_path / "data", window="last 12 hours")[0] == [(2, 1)]
    assert days_read(tmp_path / "data", window="last 12 hours", as_of="2026-01-02T11:30:00")[0] == [(1, 0)]


def test_partitions_by_day_need_no_statistics(tmp_path):
    for day in range(1, 6):
        folder = tmp_path / f"day=2026-01-0{day}"
        folder.mkdir()
        pq.write_table(pa.table({"x": [1.0, 2.0]}), folder / "a.parquet", write_statistics=False)
    options = DatasetOptions(source=[str(tmp_path)], event_time="day", window="last 2 days")
    assert [shard.file.partitions for shard in open_dataset(options).shards] == [
        (("day", "2026-01-04"),),
        (("day", "2026-01-05"),),
    ]


def test_what_cannot_be_told_is_an_error(tmp_path):
    write_days(tmp_path / "data", 3)
    with pytest.raises(SchemaError, match=r"000.parquet: row group 0 .* both sides of an edge .* a row group per day"):
        days_read(tmp_path / "data", window="last 1 day", as_of="2026-01-02T05:00:00")
    with pytest.raises(DatasetError, match=r"dataset.window: no rows from 2025-"):
        days_read(tmp_path / "data", window="last 3 days", as_of="2025-06-01")
    table = pq.read_table(tmp_path / "data/000.parquet")
    pq.write_table(table, tmp_path / "data/000.parquet", write_statistics=False)
    with pytest.raises(SchemaError, match=r"000.parquet: row group 0 does not say when its rows are"):
        days_read(tmp_path / "data", window="last 1 day")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": "last month", "event_time": "at"}, "window"),
        ({"window": "last 3 days"}, "window needs event_time"),
        ({"as_of": "2026-01-01", "event_time": "at"}, "as_of ends a window"),
    ],
)
def test_bad_windows_are_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        parse({"dataset": {"source": "data"} | options, "output": "out"})


def test_a_moving_window_reads_one_day_a_night(tmp_path):
    """And says what a run over the window's rows alone would say."""
    write_days(tmp_path / "data", 12)
    dataset = {"source": str(tmp_path / "data"), "event_time": "at", "targets": ["y"], "window": "last 10 days"}
    config = {"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}}
    featflow.run(config)
    write_days(tmp_path / "data", 1, first=12)
    night = featflow.run(config)
    assert night.manifest["shards"] == {"total": 10, "computed": 1, "reused": 9}
    x = night.table("profile").filter(pl.col("column") == "x").row(0, named=True)
    assert (x["rows"], x["min"], x["max"]) == (10 * ROWS, 3.0, 12.0)
    back = featflow.run(config | {"dataset": dataset | {"as_of": "2026-01-12"}})
    assert back.manifest["shards"]["computed"] == 0
    assert back.table("profile").filter(pl.col("column") == "x")["max"][0] == 11.0
