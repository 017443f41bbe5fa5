"""Whole runs with event times: the planted break is flagged, a new day costs itself, and nothing is made up."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mutual_info_score

import featflow

DAY = 86_400_000_000
DAY_ROWS = 200
ONLY_RANKING = {"correlation": False, "interaction": False}
IN_WINDOWS = ["forward_information", "random_split_information", "window_rank_std"]
BREAKS = 24
"""Day from which x2 is noise."""


def day(number):
    random = np.random.default_rng(number)
    y = random.integers(0, 2, DAY_ROWS)
    x1 = np.where(random.random(DAY_ROWS) < 0.4, y, random.integers(0, 2, DAY_ROWS))
    x2 = y if number < BREAKS else random.integers(0, 2, DAY_ROWS)
    return pa.table(
        {
            "when": pa.array((18_000 + number) * DAY + random.integers(0, DAY, DAY_ROWS), pa.timestamp("us")),
            "x1": x1.astype(str),
            "x2": x2.astype(np.int8),
            "noise": random.normal(size=DAY_ROWS),
            "city": np.char.add("c", random.integers(0, 40, DAY_ROWS).astype(str)),
            "w": random.exponential(size=DAY_ROWS),
            "y": y.astype(np.int8),
        }
    )


def write(folder, days):
    folder.mkdir(exist_ok=True)
    for number in days:
        pq.write_table(day(number), folder / f"{number:03d}.parquet")


def config(folder, out="out", windows=None, **dataset):
    dataset = {"source": str(folder / "data"), "targets": ["y"], "exclude": ["w"], "event_time": "when"} | dataset
    ranking = {} if windows is None else {"ranking": {"windows": windows}}
    values = {"dataset": dataset, "output": str(folder / out), "engine": {"kind": "serial"}}
    return values | {"analyses": ONLY_RANKING | ranking}


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nights")
    write(folder / "data", range(40))
    return folder, featflow.run(config(folder))


def features(done):
    return {row["feature"]: row for row in done.table("ranking").to_dicts()}


def test_what_was_perfect_until_a_day_leads_and_is_flagged(nights):
    rows = features(nights[1])
    assert rows["x2"]["rank"] == 1
    assert {name for name, row in rows.items() if "poor_forward" in row["alerts"]} == {"x2"}
    assert rows["x2"]["forward_information"] < 0
    assert rows["x2"]["random_split_information"] > 0.15
    assert rows["x1"]["forward_information"] == pytest.approx(rows["x1"]["random_split_information"], rel=0.2)
    assert rows["x2"]["window_rank_std"] > rows["x1"]["window_rank_std"]
    assert nights[1].manifest["warnings"] == []


def test_windows_are_those_of_the_rows(nights):
    table = nights[1].table("ranking_window")
    whole = pl.concat([pl.from_arrow(day(number)) for number in range(40)]).with_columns(pl.col("when").cast(pl.Int64))
    assert len(table) == 8 * 4
    assert table.filter(feature="x2")["n"].sum() == 40 * DAY_ROWS
    for row in table.filter(pl.col("feature").is_in(["x1", "x2"])).to_dicts():
        held = whole.filter(pl.col("when").is_between(row["start"], row["end"], closed="left"))
        assert len(held) == row["n"] == 5 * DAY_ROWS
        assert row["mi"] == pytest.approx(mutual_info_score(held[row["feature"]], held["y"]), abs=1e-12)
    ranks = table.filter(feature="x2").sort("window")["rank"].to_list()
    assert ranks[:4] == [1] * 4
    assert features(nights[1])["x2"]["window_rank_std"] == pytest.approx(np.std(ranks, ddof=1))


@pytest.mark.parametrize("days", [20, 128])  # of the 129th on, days are joined two by two
def test_a_new_day_costs_itself_and_gives_what_all_days_at_once_give(days, tmp_path):
    write(tmp_path / "data", range(days))
    first = featflow.run(config(tmp_path))
    write(tmp_path / "data", [days])
    night = featflow.run(config(tmp_path))
    assert night.manifest["shards"] == {"total": days + 1, "computed": 1, "reused": days}
    assert [run.manifest["fitted"]["analyses"]["ranking"]["time_unit"] for run in (first, night)] == [DAY, DAY]
    codebook = f"states/codebook/{night.manifest['codebook']}.arrow"
    (tmp_path / "other" / codebook).parent.mkdir(parents=True)
    (tmp_path / "other" / codebook).write_bytes((tmp_path / "out" / codebook).read_bytes())
    whole = featflow.run(config(tmp_path, "other") | {"codebook": {"version": night.manifest["codebook"]}})
    for name in ("ranking", "ranking_window"):
        assert night.table(name).equals(whole.table(name), null_equal=True)


def test_days_in_any_file_and_order_are_the_same_windows(nights, tmp_path):
    whole = pa.concat_tables([day(number) for number in range(40)])
    mixed = whole.take(pa.array(np.random.default_rng(0).permutation(len(whole))))
    pq.write_table(mixed, tmp_path / "data", row_group_size=900)
    found = featflow.run(config(tmp_path, shard_bytes=1))
    assert found.manifest["shards"]["total"] > 5
    assert found.table("ranking_window").equals(nights[1].table("ranking_window"), null_equal=True)
    shuffled = whole.set_column(0, "when", mixed["when"])
    pq.write_table(shuffled, tmp_path / "data")
    rows = features(featflow.run(config(tmp_path, "shuffled")))
    assert not any("poor_forward" in row["alerts"] for row in rows.values())


def test_without_event_time_or_windows_nothing_is_said_of_them(nights, tmp_path):
    write(tmp_path / "data", range(3))
    for windows, dataset in ((None, {"event_time": None, "exclude": ["w", "when"]}), (0, {}), (1, {})):
        done = featflow.run(config(tmp_path, f"out-{windows}", windows, **dataset))
        assert "ranking_window" not in done.tables
        assert done.table("ranking").select(IN_WINDOWS).null_count().row(0) == (4, 4, 4)


def test_weights_have_no_windows_and_a_warning_says_so(tmp_path):
    write(tmp_path / "data", range(9))
    done = featflow.run(config(tmp_path, exclude=[], weight="w"))
    assert done.table("ranking").select(IN_WINDOWS).null_count().row(0) == (4, 4, 4)
    assert any("dataset.weight: windows of event time count rows" in said for said in done.manifest["warnings"])
    assert "ranking_window" not in done.tables


def test_rows_without_a_time_are_left_out_and_counted(tmp_path):
    (tmp_path / "data").mkdir()
    whole = pa.concat_tables([day(number) for number in range(20)])
    gone = np.arange(len(whole)) % 10 == 0
    when = pa.array(whole["when"].to_numpy(), pa.timestamp("us"), mask=gone)
    pq.write_table(whole.set_column(0, "when", when), tmp_path / "data/all.parquet")
    done = featflow.run(config(tmp_path))
    assert done.table("ranking_window").filter(feature="x2")["n"].sum() == (~gone).sum()
    assert any("'when' is missing in 400 rows; they are in no window" in said for said in done.manifest["warnings"])


def test_a_date_that_stands_for_unknown_does_not_widen_the_units(tmp_path):
    (tmp_path / "data").mkdir()
    whole = pa.concat_tables([day(number) for number in range(40)])
    times = whole["when"].to_numpy().astype(np.int64)
    times[::20], times[7::97] = 0, 250_000_000_000_000_000  # 1970 and a year far off
    table = whole.set_column(0, "when", pa.array(times, pa.timestamp("us")))
    pq.write_table(table, tmp_path / "data/all.parquet")
    done = featflow.run(config(tmp_path))
    assert done.manifest["fitted"]["analyses"]["ranking"]["time_unit"] == DAY
    windows = done.table("ranking_window").filter(feature="x2").sort("window")
    assert len(windows) == 8
    assert "poor_forward" in features(done)["x2"]["alerts"]


def test_few_times_are_few_windows(tmp_path):
    (tmp_path / "data").mkdir()
    tables = [day(number).set_column(0, "when", pa.array([2_000 + number // 14] * DAY_ROWS)) for number in range(42)]
    pq.write_table(pa.concat_tables(tables), tmp_path / "data/all.parquet")
    done = featflow.run(config(tmp_path))
    windows = done.table("ranking_window").filter(feature="x1").sort("window")
    assert windows["start"].to_list() == [2000.0, 2001.0, 2002.0]
    assert windows["n"].to_list() == [14 * DAY_ROWS] * 3
