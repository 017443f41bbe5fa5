"""Runs compared with earlier ones, from what they have stored: real weeks, planted changes, and what is not there."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import mixed_table
from PIL import Image

import featflow
from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.options import METRICS
from featflow.errors import ConfigurationError, DatasetError
from featflow.pipeline.compare import differences
from featflow.storage.run import open_run

CALENDAR = ["Year", "Month", "DayofMonth", "DayOfWeek"]
NARROW = {"correlation": False, "interaction": False, "ranking": False}
"""Analyses switched off where columns alone are compared."""


def night(table, folder, name, **more):
    """Run on one night's table; all runs of a folder have one output."""
    source = folder / "nights" / name / "rows.parquet"
    source.parent.mkdir(parents=True)
    pq.write_table(table, source)
    dataset = {"source": str(source)} | more.pop("dataset", {})
    analyses = NARROW | more.pop("analyses", {})
    config = {"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": "serial"}, "analyses": analyses}
    return featflow.run(config | more)


def values(run, *columns, **where):
    """The rows of the drift table that hold these values, by these columns."""
    rows = run.table("drift").filter(**where)
    return {tuple(row[name] for name in columns): row for row in rows.iter_rows(named=True)}


# --- real weeks -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flights(shared_data):
    return pl.read_parquet(shared_data / "hflights.parquet")


@pytest.fixture(scope="module")
def weeks(flights, tmp_path_factory):
    """The drift of every Monday week against the week before it, on bins of the whole year."""
    folder = tmp_path_factory.mktemp("weeks")
    night(flights.to_arrow(), folder, "year", dataset={"exclude": CALENDAR})
    dated = flights.with_columns(week=pl.date("Year", "Month", "DayofMonth").dt.truncate("1w"))
    found = []
    for (week,), rows in sorted(dated.group_by("week"), key=lambda item: item[0]):
        done = night(rows.drop("week").to_arrow(), folder, str(week), dataset={"exclude": CALENDAR})
        found.append(done.table("drift").with_columns(week=pl.lit(str(week))))
    return pl.concat(found[1:])  # the first has the year before it


STORM, RETURN = "2011-01-31", "2011-02-07"
STORM_COLUMNS = {
    "Cancelled", "CancellationCode", "DepTime", "ArrTime", "ActualElapsedTime", "AirTime", "ArrDelay", "DepDelay",
    "TaxiIn", "TaxiOut",
}  # fmt: skip


@pytest.mark.parametrize("week", [STORM, RETURN])
def test_the_ice_storm_fires_and_so_does_its_end(weeks, week):
    fired = weeks.filter((pl.col("week") == week) & (pl.col("metric") == "psi") & pl.col("alert"))
    assert set(fired["feature"]) == STORM_COLUMNS
    if week == STORM:
        assert fired.filter(feature="Cancelled")["value"][0] == pytest.approx(0.7, abs=0.05)


def test_other_weeks_are_quiet(weeks):
    others = weeks.filter((pl.col("metric") == "psi") & ~pl.col("week").is_in([STORM, RETURN]))
    assert others.height == 50 * 17
    assert (others["value"] > 0.2).mean() <= 0.01
    of_all = weeks.filter(~pl.col("week").is_in([STORM, RETURN]))
    assert of_all["alert"].mean() <= 0.01


def test_halves_of_shuffled_rows_raise_nothing(flights, tmp_path):
    rows = flights.sample(fraction=1, shuffle=True, seed=3)
    half = rows.height // 2
    more = {"dataset": {"targets": ["Cancelled", "ArrDelay"]}, "analyses": {"ranking": True, "correlation": True}}
    night(rows[:half].to_arrow(), tmp_path, "first", **more)
    done = night(rows[half:].to_arrow(), tmp_path, "second", **more)
    found = done.table("drift")
    assert not found["alert"].any()
    assert not (found["value"].abs() > found["threshold"]).any()
    assert found["q_value"].min() > 0.05
    assert set(found["metric"]) == set(METRICS) - {"frechet"}


# --- planted changes ------------------------------------------------------------------------------------------------


def test_the_same_data_again_has_not_changed(tmp_path, mixed):
    more = {"dataset": {"targets": ["target"]}, "analyses": {"ranking": True, "correlation": True}}
    first = night(mixed, tmp_path, "first", **more)
    assert first.arrow("drift").schema == DRIFT.schema
    assert first.table("drift").is_empty()  # nothing came before it
    again = featflow.run(first.manifest["config"])
    found = again.table("drift")
    assert set(found["reference_run"]) == {first.run_id}
    assert set(found["value"].drop_nulls()) == {0.0}
    assert not found["alert"].any()
    assert found.filter(pl.col("p_value") < 1).is_empty()
    assert again.manifest["shards"]["computed"] == 0


def test_what_columns_say_of_one_another_changes(tmp_path):
    random = np.random.default_rng(5)

    def rows(strength):
        x, z, noise = random.normal(size=(3, 8_000))
        y = strength * x + np.sqrt(1 - strength**2) * noise
        label = (random.random(8_000) < 1 / (1 + np.exp(-3 * strength * x - z))).astype(np.int8)
        return pa.table({"x": x, "y": y, "z": z, "label": label})

    more = {"dataset": {"targets": ["label"]}, "analyses": {"ranking": True, "correlation": True}}
    night(rows(0.8), tmp_path, "first", **more)
    done = night(rows(0.1), tmp_path, "second", **more)
    information = values(done, "feature", metric="information")
    assert information["x",]["alert"]
    assert information["x",]["value"] < -0.05
    assert information["x",]["z"] < -5
    assert not values(done, "feature", metric="psi")["x",]["alert"]  # none of the columns has changed by itself
    assert values(done, "feature", metric="rank")["x",]["value"] > 0
    largest = values(done, "method", metric="correlation_largest")["pearson",]
    assert {largest["feature"], largest["feature_b"]} == {"x", "y"}
    assert largest["alert"]
    assert largest["value"] == pytest.approx(-0.7, abs=0.05)
    assert values(done, "method", metric="correlation_rms")["spearman",]["alert"]


def test_images_that_change(tmp_path):
    random = np.random.default_rng(9)

    def photos(level):
        pixels = (level + random.integers(0, 60, (150, 12, 16, 3))).astype(np.uint8)
        found = []
        for each in pixels:
            sink = io.BytesIO()
            Image.fromarray(each).save(sink, "PNG")
            found.append(sink.getvalue())
        return pa.table({"photo": found, "x": random.normal(size=150)})

    runs = [
        night(photos(level), tmp_path, str(at), dataset={"images": ["photo"]}) for at, level in enumerate((60, 60, 150))
    ]
    quiet, changed = (values(run, "feature", metric="frechet")["photo",] for run in runs[1:])
    assert (quiet["alert"], changed["alert"]) == (False, True)
    assert changed["method"] == runs[0].table("embedding_profile")["encoder"][0]
    assert values(runs[2], "feature", metric="psi")["photo.brightness",]["alert"]


def shifted(by, seed):
    random = np.random.default_rng(seed)
    return pa.table({"x": random.normal(by, 1, 4_000), "still": random.normal(size=4_000)})


def test_a_pinned_baseline_and_alerts_that_wait(tmp_path):
    baseline = night(shifted(0, 1), tmp_path, "baseline")
    pinned = {"analyses": {"drift": {"reference": baseline.run_id, "persist": 2}}}
    quiet = night(shifted(0, 2), tmp_path, "quiet", **pinned)
    first = night(shifted(2, 3), tmp_path, "first", **pinned)
    second = night(shifted(2, 4), tmp_path, "second", **pinned)
    assert quiet.manifest["analyses"]["drift"] == {"previous": baseline.run_id, "pinned": baseline.run_id}
    assert quiet.table("drift")["reference_run"].unique().to_list() == [baseline.run_id]
    assert set(first.table("drift")["reference_run"]) == {baseline.run_id, quiet.run_id}
    found = [
        values(run, "feature", metric="psi", reference_run=baseline.run_id)["x",] for run in (quiet, first, second)
    ]
    assert [row["runs_beyond"] for row in found] == [0, 1, 2]
    assert [row["alert"] for row in found] == [False, False, True]
    of_previous = [
        values(run, "feature", metric="psi", reference_run=before.run_id)["x",]
        for before, run in ((quiet, first), (first, second))
    ]
    assert [row["runs_beyond"] for row in of_previous] == [1, 0]
    assert not second.table("drift").filter(feature="still")["alert"].any()


# --- what is not there ----------------------------------------------------------------------------------------------


def test_columns_of_one_run_alone_are_named(tmp_path):
    night(pa.table({"x": [1.0, 2.0] * 20, "y": [1, 2] * 20, "old": ["a", "b"] * 20}), tmp_path, "first")
    done = night(pa.table({"x": [1.0, 2.0] * 20, "y": ["1", "2"] * 20, "new": ["a", "b"] * 20}), tmp_path, "second")
    assert set(done.table("drift")["feature"]) == {"x"}
    (warning,) = [each for each in done.manifest["warnings"] if each.startswith("drift")]
    assert warning.endswith(": y, old, new")


def test_a_reference_that_is_not_there_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigurationError, match=r"analyses\.drift\.reference: .* no finished run 2020"):
        night(shifted(0, 1), tmp_path, "first", analyses={"drift": {"reference": "2020"}})
    assert not (tmp_path / "out" / "states" / "moments").exists()


def test_drift_can_be_switched_off(tmp_path):
    done = night(shifted(0, 1), tmp_path, "first", analyses={"drift": False})
    assert "drift" not in done.tables
    assert "drift" not in done.manifest["analyses"]


def test_states_that_are_gone_cost_the_comparison_and_not_the_run(tmp_path):
    first = night(shifted(0, 1), tmp_path, "first")
    shutil.rmtree(tmp_path / "out" / "states" / "value_histograms")
    second = night(shifted(0, 2), tmp_path, "second")
    assert second.table("drift").is_empty()
    assert any("the run's state is not there any more" in warning for warning in second.manifest["warnings"])
    with pytest.raises(DatasetError, match="run it again"):
        differences(first.uri, second.uri)


def test_damaged_states_of_an_earlier_run_cost_the_comparison_and_not_the_run(tmp_path):
    first = night(shifted(0, 1), tmp_path, "first")
    for path in (tmp_path / "out/states/value_histograms").rglob("*.arrow"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    second = night(shifted(0, 2), tmp_path, "second")
    assert second.table("drift").is_empty()
    assert any(f"run {first.run_id}: " in line and "damaged" in line for line in second.manifest["warnings"])
    with pytest.raises(DatasetError, match="damaged"):
        differences(first.uri, second.uri)
    assert not night(shifted(0, 3), tmp_path, "third").table("drift").is_empty()


# --- the command ----------------------------------------------------------------------------------------------------


def featflow_command(*arguments):
    command = [sys.executable, "-m", "featflow", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_two_runs_by_their_uris(tmp_path):
    first, second = (night(mixed_table(2_000, seed), tmp_path / str(seed), "one") for seed in (1, 2))
    third = night(shifted(1, 3), tmp_path / "2", "two")
    assert open_run(f"{first.store.root}/").run_id == first.run_id
    assert open_run(second.uri).run_id == second.run_id
    assert open_run(str(tmp_path / "2" / "out")).run_id == third.run_id
    (tmp_path / "runs").symlink_to(tmp_path / "2")  # an output in a folder of this name
    assert open_run(str(tmp_path / "runs" / "out")).run_id == third.run_id
    with pytest.raises(DatasetError, match="no finished run nothing"):
        open_run(f"{tmp_path}/2/out/runs/nothing")

    said = featflow_command("compare", first.store.root, second.uri, "--json")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found == differences(first.uri, second.uri)
    assert (found["reference_run"], found["current_run"]) == (first.run_id, second.run_id)
    assert not any(row["alert"] for row in found["rows"])
    for_people = featflow_command("compare", second.uri, third.uri)
    assert for_people.returncode == 0, for_people.stderr
    assert "missing_rate" in for_people.stdout
    assert "not in both runs" in for_people.stdout
