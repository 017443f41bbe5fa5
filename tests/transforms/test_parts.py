"""Parts of times: against Python's calendar, across clock changes, and in whole runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import write_parts

import featflow
from featflow.columns.column import Column, Kind
from featflow.config import parse
from featflow.dataset.dataset import open_dataset
from featflow.errors import ConfigurationError, SchemaError
from featflow.pipeline.plan import plan
from featflow.transforms.parts import TimeParts

ROWS = 4_000
PARTS = ("hour", "weekday", "day", "month", "days")
FIRST = datetime(2025, 1, 6, tzinfo=UTC)


def truth(moment, zone, first):
    there = moment.astimezone(ZoneInfo(zone))
    return [there.hour, there.isoweekday(), there.day, there.month, (there.date() - first).days]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_parts_are_those_of_pythons_calendar(zone):
    """Every 17 minutes over both clock changes of a year, before 1970, and at leap days."""
    starts = [datetime(2025, 3, 8, tzinfo=UTC), datetime(2025, 10, 25, tzinfo=UTC), datetime(1969, 12, 30, tzinfo=UTC)]
    starts += [datetime(2024, 2, 28, tzinfo=UTC), datetime(2025, 4, 5, tzinfo=UTC)]
    moments = [start + timedelta(minutes=17 * step) for start in starts for step in range(400)]
    first = date(2025, 1, 1)
    base = Column("t", "int64", Kind.TIME, source_type="timestamp[us]")
    made = TimeParts(base, None if zone == "UTC" else zone, (first - date(1970, 1, 1)).days)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    micros = [(moment - epoch) // timedelta(microseconds=1) for moment in moments]
    found = made.apply(pa.record_batch({"t": pa.array([*micros, None])}))
    assert [column.name for column in made.outputs] == [f"t.{part}" for part in PARTS]
    rows = list(zip(*(array.to_pylist() for array in found), strict=True))
    assert rows[-1] == (None,) * 5
    assert list(map(list, rows[:-1])) == [truth(moment, zone, first) for moment in moments]


def table_of(rows=ROWS):
    """Rows spread evenly over 60 days, whose label depends on the hour in Vienna, and on nothing else."""
    random = np.random.default_rng(0)
    micros = np.sort(random.integers(0, 60 * 86_400_000_000, rows))
    local = [(FIRST + timedelta(microseconds=int(each))).astimezone(ZoneInfo("Europe/Vienna")) for each in micros]
    busy = np.array([each.hour in {7, 8, 17, 18, 19} for each in local])
    label = np.where(random.random(rows) < 0.9, busy, random.random(rows) < 0.5)
    start = int(FIRST.timestamp() * 1e6)
    created = pa.array(micros + start, pa.timestamp("us", "UTC"))
    columns = {"key": np.arange(rows), "created": created, "noise": random.normal(size=rows)}
    return pa.table(columns | {"label": np.where(label, "busy", "calm")})


def configuration(source, output, **dataset):
    keys = {"entity": ["key"], "targets": ["label"], "derive": [{"parts": "created", "timezone": "Europe/Vienna"}]}
    return {
        "dataset": {"source": str(source)} | keys | dataset,
        "output": str(output),
        "engine": {"kind": "serial"},
    }


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    table = table_of()
    write_parts(table.slice(0, 3_600), folder / "data", 9)
    before = plan(parse(configuration(folder / "data", folder / "out")))
    first = featflow.run(configuration(folder / "data", folder / "out"))
    after = plan(parse(configuration(folder / "data", folder / "out")))
    pq.write_table(table.slice(3_600), folder / "data" / "z.parquet")
    second = featflow.run(configuration(folder / "data", folder / "out"))
    return table, first, second, (before, after)


def test_the_hour_leads_where_the_label_depends_on_it(nights):
    for run in nights[1:3]:
        ranking = {row["feature"]: row for row in run.table("ranking").to_dicts()}
        assert ranking["created.hour"]["rank"] == 1
        others = [row["corrected_mi"] for name, row in ranking.items() if name != "created.hour"]
        assert "created" in ranking
        assert ranking["created.hour"]["corrected_mi"] > 10 * max(*others, 1e-3)


def test_a_night_counts_days_from_the_same_first_one(nights):
    table, first, second, _ = nights
    assert second.manifest["shards"] == {"total": 10, "computed": 1, "reused": 9}
    assert second.manifest["codebook"] == first.manifest["codebook"]
    assert second.manifest["frozen"] == first.manifest["frozen"] != {}
    profile = {row["column"]: row for row in second.table("profile").to_dicts()}
    last = table["created"][-1].as_py().astimezone(ZoneInfo("Europe/Vienna")).date()
    assert (profile["created.days"]["min"], profile["created.days"]["max"]) == (0, (last - date(2025, 1, 6)).days)
    assert (profile["created.weekday"]["min"], profile["created.weekday"]["max"]) == (1, 7)
    assert {profile[f"created.{part}"]["kind"] for part in PARTS} == {"number"}
    features = set(second.table("drift")["feature"].to_list())
    assert {"created.hour", "created.weekday"} <= features


def test_plans_say_what_is_not_known_yet(nights):
    before, after = nights[3]
    assert before.notes == ["columns made of 'created' are known once a run has read it"]
    assert (after.notes, after.profile_shards, after.relation_shards) == ([], 0, 0)
    assert sum(after.columns.values()) == sum(before.columns.values()) + len(PARTS)


def test_what_is_read_for_parts_alone_is_not_analysed(tmp_path):
    source = write_parts(table_of(500), tmp_path / "data", 2)
    run = featflow.run(configuration(source, tmp_path / "out", exclude=["created"]))
    columns = run.table("profile")["column"].to_list()
    assert columns == ["noise", "label", *(f"created.{part}" for part in PARTS)]


def test_parts_of_the_event_time_are_features(tmp_path):
    source = write_parts(table_of(1_000), tmp_path / "data", 2)
    run = featflow.run(configuration(source, tmp_path / "out", event_time="created"))
    assert run.table("ranking")["feature"][0] == "created.hour"
    assert "created" not in run.table("ranking")["feature"].to_list()
    assert run.table("ranking_window").filter(pl.col("feature") == "created.hour").height


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (pa.date32(), PARTS[1:]),
        (pa.time64("us"), PARTS[:1]),
        (pa.time32("s"), PARTS[:1]),
        (pa.timestamp("s"), PARTS),
        (pa.timestamp("ns", "Asia/Tokyo"), PARTS),
        (pa.date64(), PARTS[1:]),  # as Parquet keeps it
    ],
)
def test_parts_of_other_types_of_time(kind, parts, tmp_path):
    seconds = 86_400 * 20_000 + np.array([0, 3_700, 90_000])
    if pa.types.is_time(kind):
        values = pa.array(seconds % 86_400, pa.int32()).cast(pa.time32("s")).cast(kind)
    else:
        values = pa.array(seconds, pa.timestamp("s")).cast(kind, safe=False)
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"t": values, "y": ["a", "b", "a"]}), tmp_path / "data" / "a.parquet")
    run = featflow.run(
        configuration(tmp_path / "data", tmp_path / "out", entity=[], targets=[], derive=[{"parts": "t"}])
    )
    profile = {row["column"]: row for row in run.table("profile").to_dicts()}
    assert [name for name in profile if name.startswith("t.")] == [f"t.{part}" for part in parts]
    if "hour" in parts and not pa.types.is_date(kind):
        assert (profile["t.hour"]["min"], profile["t.hour"]["max"]) == (0, 1)
    if "days" in parts:
        assert (profile["t.days"]["min"], profile["t.days"]["max"]) == (0, 1)


@pytest.mark.parametrize(
    ("dataset", "error", "said"),
    [
        ({"derive": [{"parts": "craeted"}]}, SchemaError, "no column 'craeted'; the nearest is 'created'"),
        ({"derive": [{"parts": "noise"}]}, SchemaError, "dataset.derive: 'noise' is double, which is no time"),
        ({"derive": [{"parts": "created"}] * 2}, SchemaError, "'created.hour' is what dataset.derive makes; leave one"),
        ({"derive": [{"part": "created"}]}, ConfigurationError, "known kinds are parts"),
        ({"derive": [{"parts": "created", "timezone": "Vienna"}]}, ConfigurationError, "is no time zone"),
        ({"targets": ["created.huor"]}, SchemaError, "no column 'created.huor'; the nearest is 'created.hour'"),
        ({"entity": ["created.hour"]}, SchemaError, "dataset.entity: no column 'created.hour'"),
        ({"targets": ["created.hour"], "weight": "created.hour"}, ConfigurationError, "take it out of one"),
    ],
)
def test_what_cannot_be_is_said(dataset, error, said, tmp_path):
    source = write_parts(table_of(50), tmp_path / "data", 1)
    values = configuration(source, tmp_path / "out")
    values["dataset"] |= dataset
    with pytest.raises(error, match=said):
        open_dataset(parse(values).dataset)


def test_a_column_of_a_parts_name_is_refused_unless_it_is_excluded(tmp_path):
    table = table_of(50)
    source = write_parts(table.append_column("created.hour", table["noise"]), tmp_path / "data", 1)
    config = configuration(source, tmp_path / "out")
    with pytest.raises(SchemaError, match=r"'created\.hour' is what dataset.derive makes; rename it, or exclude it"):
        open_dataset(parse(config).dataset)
    config["dataset"]["exclude"] = ["created.hour"]
    dataset = open_dataset(parse(config).dataset)
    assert [column.type for column in dataset.named if column.name == "created.hour"] == ["int64"]
