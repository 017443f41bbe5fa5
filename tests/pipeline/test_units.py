"""Runs whose rows share days or customers: evidence counts these, whatever holds them, and says so."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import featflow
from featflow.analyses.ranking.analysis import Ranking
from featflow.errors import SchemaError

DAYS, ROWS = 30, 100
NOISE = [*(f"day_{i}" for i in range(8)), *(f"coin_{i}" for i in range(6)), *(f"row_{i}" for i in range(4))]


@pytest.fixture(scope="module")
def panel():
    """Thirty days whose target is the day's effect, half of x, and noise; columns of one number, or one coin, a day."""
    random = np.random.default_rng(20)
    day = np.repeat(np.arange(DAYS), ROWS)
    x = random.standard_normal(len(day))
    columns = {"x": x, "y": random.standard_normal(DAYS)[day] + 0.5 * x + random.standard_normal(len(day))}
    for name in NOISE:
        kind = name.partition("_")[0]
        daily = random.standard_normal(DAYS) if kind == "day" else random.integers(0, 2, DAYS).astype(float)
        columns[name] = random.standard_normal(len(day)) if kind == "row" else daily[day]
    seconds = day * 86_400 + np.tile(np.arange(ROWS) * 600, DAYS)
    dates = np.datetime64("2026-03-01") + day.astype("timedelta64[D]")
    at = np.datetime64("2026-03-01", "s") + seconds.astype("timedelta64[s]")
    return pa.table(columns | {"at": at, "date": [str(each) for each in dates]})


def run(tmp_path, table, files=1, engine="serial", dataset=None, **analyses):
    source = tmp_path / "data"
    source.mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(len(table)), files)):
        pq.write_table(table.take(rows), source / f"{number}.parquet")
    analyses = {"correlation": False, "interaction": False, "drift": False} | analyses
    dataset = {"source": str(source), "targets": ["y"]} | (dataset or {"event_time": "at", "exclude": ["date"]})
    config = {"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": engine}, "analyses": analyses}
    return featflow.run(config)


@pytest.fixture(scope="module")
def by_day(tmp_path_factory, panel):
    return run(tmp_path_factory.mktemp("by_day"), panel)


def rows_of(done):
    return {row["feature"]: row for row in done.table("ranking").to_dicts()}


def test_the_true_column_is_first_and_days_are_no_evidence(by_day):
    rows = rows_of(by_day)
    assert rows["x"]["rank"] == 1
    assert rows["x"]["significant"]
    assert [name for name in NOISE if rows[name]["significant"]] == []
    for name in NOISE:
        row = rows[name]
        assert row["ci_low"] <= row["corrected_mi"] <= row["ci_high"]
        assert ("constant_within:day" in row["alerts"]) == (not name.startswith("row"))
    for row in (rows[name] for name in NOISE if name.startswith("coin")):
        assert row["effective_n"] == DAYS
        assert row["within_p_value"] is None
        assert row["p_value"] == row["between_p_value"] > 0.01
    assert rows["day_0"]["p_value"] is None, "of a level of its own for each day nothing can be said"
    assert rows["day_0"]["corrected_mi"] == pytest.approx(0, abs=1e-12)


def test_rows_taken_for_independent_are_taken_in(tmp_path, panel):
    """What the option says is done: by rows most columns of days are significant."""
    done = run(tmp_path, panel, uncertainty={"units": "rows"})
    rows = rows_of(done)
    assert sum(rows[name]["significant"] for name in NOISE if name.startswith("day")) == 8
    assert rows["day_0"]["within_mi"] is None
    assert "rows are independent" in done.manifest["assumptions"]
    assert "evidence" not in done.manifest["analyses"].get("ranking", {})


def test_clusters_say_the_same_and_are_not_ranked(tmp_path, panel, by_day):
    done = run(tmp_path, panel, dataset={"exclude": ["at"]}, ranking={"clusters": "date"})
    rows, days = rows_of(done), rows_of(by_day)
    assert "date" not in rows
    assert rows["x"]["rank"] == 1
    assert [name for name in NOISE if rows[name]["significant"]] == []
    for name, row in rows.items():
        assert row["within_mi"] == pytest.approx(days[name]["within_mi"], rel=0.01, abs=1e-3)
        assert row["design_effect"] == pytest.approx(days[name]["design_effect"], rel=0.6)


def test_manifest_terminal_and_report_say_what_is_counted(by_day, tmp_path):
    sentence = "Evidence counts 30 units of at, each a day, not rows"
    assert sentence in by_day.manifest["assumptions"]
    with io.StringIO() as text:
        Console(file=text, width=500).print(Ranking.shown(by_day, 200))
        assert sentence in text.getvalue()
    by_day.report(str(tmp_path / "report.html"))
    assert sentence in (tmp_path / "report.html").read_text()


def test_files_engines_and_the_order_of_rows_change_no_bit(tmp_path, panel, by_day, local_ray):
    shuffled = panel.take(np.random.default_rng(0).permutation(len(panel)))
    columns = [name for name in by_day.table("ranking").columns if not name.startswith("window")]
    expected = by_day.table("ranking").select(columns)
    for number, (table, files, engine) in enumerate([(panel, 7, "serial"), (shuffled, 3, "ray")]):
        found = run(tmp_path / str(number), table, files, engine).table("ranking").select(columns)
        assert found.equals(expected, null_equal=True)


def test_two_walks_of_a_row_a_day_say_nothing_of_one_another(tmp_path):
    random = np.random.default_rng(1)
    walks = {name: np.cumsum(random.standard_normal(600)) for name in ("x", "y")}
    columns = walks | {"same": walks["y"] + random.standard_normal(600), "at": np.arange(600).astype("datetime64[D]")}
    rows = rows_of(run(tmp_path, pa.table(columns), dataset={"event_time": "at"}, ranking={"windows": 0}))
    assert rows["x"]["p_value"] > 0.05
    assert rows["same"]["p_value"] < 0.01
    assert rows["same"]["rank"] == 1


def test_of_few_units_only_what_is_within_them_counts(tmp_path, panel):
    """Of four customers nothing can be said of what differs between them; their rows say what they say."""
    customer = np.arange(len(panel)) % 4
    random = np.random.default_rng(2)
    table = panel.select(["x", "y", "row_0"]).append_column("who", pa.array([f"c{each}" for each in customer]))
    table = table.append_column("of_four", pa.array(random.standard_normal(4)[customer]))
    rows = rows_of(run(tmp_path, table, dataset={"exclude": []}, uncertainty={"units": "who"}))
    assert rows["of_four"]["p_value"] is None
    assert rows["x"]["p_value"] == rows["x"]["within_p_value"] < 1e-4
    assert rows["row_0"]["p_value"] > 0.01


@pytest.mark.parametrize("at", [0, None])
def test_rows_of_one_unit_are_rows(tmp_path, panel, at):
    """A snapshot, or a table whose times are all missing, says what its rows say; what varies is not constant."""
    times = pa.array([at] * len(panel), pa.timestamp("us"))
    table = panel.select(["x", "y", "row_0", "day_0"]).append_column("when", times)
    done = run(tmp_path / "unit", table, dataset={"event_time": "when"})
    rows, by_row = (
        rows_of(done),
        rows_of(run(tmp_path / "rows", table, dataset={"exclude": []}, uncertainty={"units": "rows"})),
    )
    for name, row in rows.items():
        assert row["p_value"] == pytest.approx(by_row[name]["p_value"], rel=1e-9, abs=0)
        assert row["effective_n"] == len(panel)
        assert row["alerts"] == by_row[name]["alerts"]
    evidence = done.manifest["analyses"]["ranking"]["evidence"]
    assert evidence == "Evidence counts rows: all lie in one unit of when, within which they are independent."


def test_a_row_a_day_is_not_constant_within_days(tmp_path):
    random = np.random.default_rng(4)
    table = pa.table({name: random.integers(0, 3, 400) for name in ("x", "y")})
    at = pa.array(np.sort(np.append(np.arange(399), 50)).astype("datetime64[D]"))  # but for a day of two rows
    rows = rows_of(run(tmp_path, table.append_column("at", at), dataset={"event_time": "at"}))
    assert rows["x"]["alerts"] == []


def test_strata_that_are_units_are_said_to_leave_no_p_value(tmp_path, panel):
    done = run(
        tmp_path, panel.select(["x", "y", "at", "date"]), dataset={"event_time": "at"}, ranking={"strata": ["date"]}
    )
    assert rows_of(done)["x"]["p_value"] is None
    assert any("each stratum lies in one group of units of day" in each for each in done.manifest["warnings"])


@pytest.mark.parametrize(
    ("uncertainty", "words"),
    [
        ({"units": "dat"}, "no column 'dat'; the nearest is 'date'"),
        ({"units": "y"}, "'y' is a target"),
        ({"units": "entity"}, "units is entity and dataset.entity is not set; set it"),
        ({"units": "date", "group_by": "shard"}, "units is date and group_by is shard"),
    ],
)
def test_units_that_cannot_be(tmp_path, panel, uncertainty, words):
    with pytest.raises(SchemaError, match=r"analyses\.uncertainty") as caught:
        run(tmp_path, panel.slice(0, 300), dataset={"exclude": ["at"]}, uncertainty=uncertainty)
    assert words in str(caught.value)
