"""A run that changes nothing publishes the tables that are there; whatever may change a number is measured."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import measured_again, mixed_table, write_parts

import featflow
from featflow.cli.main import main
from featflow.pipeline import garbage, software
from featflow.storage.run import open_run

COLUMNS = ["x", "y", "city", "when", "target"]


@pytest.fixture
def lake(tmp_path):
    """A dataset of three files, and an output with one run."""
    write_parts(mixed_table(1_500).select(COLUMNS), tmp_path / "data", 3)
    return tmp_path, run(tmp_path)


def run(folder, **more):
    values = {
        "dataset": {"source": str(folder / "data"), "targets": ["target"]} | more.pop("dataset", {}),
        "output": str(folder / "out"),
        "analyses": {"correlation": {"dense": True}, "interaction": False} | more.pop("analyses", {}),
    }
    return featflow.run(values | more)


def again(before, after):
    """Whether one run publishes what the other did."""
    return after.manifest.get("unchanged_since") == before.measured_by


def test_nothing_is_measured_again(lake):
    folder, first = lake
    states = {path: path.stat().st_mtime_ns for path in (folder / "out" / "states").rglob("*") if path.is_file()}
    second = run(folder)
    third = run(folder)
    assert {path: path.stat().st_mtime_ns for path in states} == states
    for after in (second, third):
        assert again(first, after)
        assert featflow.Run.open(str(folder / "out"), after.run_id).manifest == after.manifest
        for name in set(first.tables) - {"drift"}:
            assert after.tables[name] == first.tables[name]  # the first run's file, however long the chain
            assert after.arrow(name).equals(first.arrow(name))
        assert after.manifest["shards"] == {"total": 3, "computed": 0, "reused": 3}
        np.testing.assert_equal(after.matrix("pearson"), first.matrix("pearson"))
    assert third.manifest["started"] > second.manifest["started"] > first.manifest["started"]
    assert featflow.Run.open(str(folder / "out")).run_id == third.run_id
    assert [each.run_id for each in featflow.list_runs(str(folder / "out"))] == [
        first.run_id, second.run_id, third.run_id,
    ]  # fmt: skip


def test_where_work_is_done_decides_no_number(lake):
    folder, first = lake
    second = run(folder, engine={"kind": "serial"}, lineage=False)
    assert again(first, second)
    old = run(folder, latest=False)
    assert again(first, old)
    assert featflow.Run.open(str(folder / "out")).run_id == second.run_id


@pytest.mark.parametrize(
    "more",
    [
        {"codebook": {"bins": 32}},
        {"codebook": {"frozen": False}},
        {"dataset": {"exclude": ["y"]}},
        {"dataset": {"event_time": "when"}},
        {"analyses": {"ranking": {"windows": 3}}},
        {"analyses": {"drift": {"persist": 2}}},
        {"budget": {"bad_rows": 0.5}},
    ],
)
def test_one_changed_option_is_a_run(lake, more):
    folder, first = lake
    second = run(folder, **more)
    assert not again(first, second)
    assert "unchanged_since" not in second.manifest
    frozen = more.get("codebook", {}).get("frozen", True)
    assert again(second, run(folder, **more)) is frozen  # new codings are asked for each time


def test_one_touched_changed_new_or_lost_file_is_a_run(lake):
    folder, before = lake
    path = folder / "data" / "part-001.parquet"
    table = pq.read_table(path)

    def touch():
        os.utime(path, ns=(1, 1_700_000_000_000_000_000))

    def change():
        pq.write_table(table.slice(1), path)

    def add():
        pq.write_table(table, folder / "data" / "part-009.parquet")

    for done in (touch, change, add, path.unlink):
        done()
        after = run(folder)
        assert not again(before, after), done
        assert again(after, run(folder)), done
        before = after


def test_other_code_or_packages_are_a_run(lake, monkeypatch):
    folder, first = lake
    monkeypatch.setattr(software, "PACKAGES", (*software.PACKAGES, "pyyaml"))
    software.software.cache_clear()
    second = run(folder)
    assert not again(first, second)
    assert {"pyyaml", "code"} <= set(second.manifest["software"])
    software.software.cache_clear()


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("do", ["damage", "remove", "cut"])
@pytest.mark.parametrize("what", ["tables/ranking.parquet", "tensors"])
def test_damaged_or_missing_files_are_made_again(lake, do, what):
    folder, first = lake
    place = folder / "out" / "runs" / first.run_id / what
    path = (
        place
        if place.is_file()
        else next(each for each in place.rglob("*") if each.name != "index.json" and each.is_file())
    )
    if do == "damage" and what == "tensors":
        pytest.skip("of matrices sizes are looked at")
    {"damage": damage, "remove": lambda p: p.unlink(), "cut": lambda p: p.write_bytes(p.read_bytes()[:-1])}[do](path)
    second = run(folder)
    assert not again(first, second)
    assert second.arrow("profile").equals(first.arrow("profile"))
    assert again(second, run(folder))


def test_an_unfinished_run_is_none(lake):
    folder, first = lake
    (folder / "out" / "runs" / first.run_id / "_SUCCESS").unlink()
    assert "unchanged_since" not in run(folder).manifest


def test_what_cannot_be_read_is_looked_at_each_time(lake):
    """A damaged file that stays is the same night; one that goes, or is mended, is another."""
    folder, _ = lake
    path = folder / "data" / "part-003.parquet"
    path.write_bytes(b"PAR1 this is no footer PAR1")
    budget = {"budget": {"bad_rows": 0.9}}
    first = run(folder, **budget)
    second = run(folder, **budget)
    assert again(first, second)
    assert second.arrow("quarantine").num_rows == 1
    assert second.manifest["warnings"] == first.manifest["warnings"]
    path.unlink()
    assert "unchanged_since" not in run(folder, **budget).manifest


def test_the_end_of_a_window_by_default_is_that_of_the_data(lake):
    folder, _ = lake
    shutil.rmtree(folder / "data")
    whole, day = mixed_table(1_500).select(COLUMNS), 86_400_000_000
    for number in range(3):
        when = pa.array(np.arange(500) + (18_000 + number) * day, pa.timestamp("us"))
        table = whole.slice(500 * number, 500).set_column(COLUMNS.index("when"), "when", when)
        (folder / "data").mkdir(exist_ok=True)
        pq.write_table(table, folder / "data" / f"{number}.parquet")
    window = {"dataset": {"event_time": "when", "window": "last 2 days"}}
    first = run(folder, **window)
    assert again(first, run(folder, **window))
    assert first.manifest["rows"]["read"] == 1_000
    (folder / "data" / "2.parquet").unlink()  # the window moves back to days that were known
    moved = run(folder, **window)
    assert not again(first, moved)
    assert moved.manifest["rows"]["read"] == 1_000


# --- drift ----------------------------------------------------------------------------------------------------------


def beyond(done, reference):
    rows = done.arrow("drift").to_pylist()
    return {
        (row["feature"], row["metric"]): (row["value"], row["runs_beyond"], row["alert"])
        for row in rows
        if row["reference_run"] == reference.run_id and row["runs_beyond"]
    }


def test_drift_says_that_nothing_moved_and_pinned_runs_count_on(lake):
    folder, base = lake
    table = pq.read_table(folder / "data" / "part-001.parquet")
    moved = table.set_column(0, "x", pa.array(table["x"].to_numpy() + 3.0))
    pq.write_table(moved, folder / "data" / "part-001.parquet")
    pinned = {"analyses": {"drift": {"reference": base.run_id, "persist": 2}}}
    first = run(folder, **pinned)
    assert beyond(first, base)
    assert not any(alert for _, _, alert in beyond(first, base).values())
    second, third = run(folder, **pinned), run(folder, **pinned)
    assert again(first, second)
    for number, done in ((2, second), (3, third)):
        assert beyond(done, base) == {
            key: (value, number, True) for key, (value, _, _) in beyond(first, base).items()
        }  # as if it had been measured
        assert not beyond(done, second if done is third else first)
        rows = [row for row in done.arrow("drift").to_pylist() if row["reference_run"] != base.run_id]
        assert {row["value"] for row in rows} == {0.0}
        assert {row["current_run"] for row in done.arrow("drift").to_pylist()} == {done.run_id}
    assert third.manifest["analyses"]["drift"] == {"previous": second.run_id, "pinned": base.run_id}
    assert third.manifest["compared_with"] == [base.run_id]


def test_drift_is_that_of_a_run_that_measures(lake):
    folder, first = lake
    more = {"analyses": {"drift": {"reference": first.run_id}}, "dataset": {"exclude": ["y"]}}
    run(folder, **more)
    shutil.copytree(folder / "out", folder / "other")
    published = run(folder, **more)
    measured = featflow.run(measured_again(published.manifest["config"]) | {"output": str(folder / "other")})
    tables = [done.arrow("drift").drop_columns("current_run") for done in (published, measured)]
    assert tables[0].equals(tables[1])
    assert measured.manifest["passes"]
    assert published.manifest["warnings"] == measured.manifest["warnings"] != []


def test_warnings_are_of_this_run(lake):
    """What was said of the run before the last is not said of the last."""
    folder, first = lake
    server = {"lineage": {"url": "http://127.0.0.1:9", "timeout": 1}}
    second = run(folder, dataset={"exclude": ["y"]}, **server)
    assert any(text.startswith("drift: ") and first.run_id in text for text in second.manifest["warnings"])
    assert any(text.startswith("lineage: ") for text in second.manifest["warnings"])
    third = run(folder, dataset={"exclude": ["y"]})
    assert again(second, third)
    assert third.manifest["warnings"] == []


# --- what reads runs ------------------------------------------------------------------------------------------------


def test_tables_that_a_kept_run_publishes_are_no_garbage(lake):
    folder, first = lake
    second = run(folder)
    third = run(folder)
    output = str(folder / "out")
    found = garbage.remove(output, 1)
    assert found.kept == (third.run_id,)
    gone = {path.split("/")[1] for path in found.files if path.startswith("runs/")}
    assert gone == {first.run_id, second.run_id}
    assert f"runs/{first.run_id}/_SUCCESS" in found.files
    assert not [path for path in found.files if path.endswith("tables/ranking.parquet") or "/tensors/" in path]
    assert [each.run_id for each in featflow.list_runs(output)] == [third.run_id]
    left = open_run(f"{output}/runs/{third.run_id}")
    assert left.arrow("ranking").equals(third.arrow("ranking"))
    assert left.matrix("pearson")[0] == third.matrix("pearson")[0]
    fourth = run(folder)
    assert again(third, fourth)
    assert garbage.find(output, 1).kept == (fourth.run_id,)
    other = run(folder, codebook={"bins": 32})
    assert garbage.remove(output, 1).kept == (other.run_id,)
    left = {path.name for path in (folder / "out" / "runs").iterdir()}
    assert left == {other.run_id}


def test_lineage_tells_where_the_tables_are(lake):
    folder, _ = lake
    second = run(folder)
    text = second.store.read(f"runs/{second.run_id}/openlineage.jsonl").decode()
    complete = json.loads(text.splitlines()[-1])
    outputs = {each["name"].rpartition("/")[2]: each for each in complete["outputs"]}
    links = {name: each["facets"]["symlinks"]["identifiers"][0]["name"] for name, each in outputs.items()}
    assert links == second.tables
    for name, each in outputs.items():
        assert each["facets"]["version"]["datasetVersion"] == second.run_id
        size = Path(second.tables[name]).stat().st_size
        assert each["outputFacets"]["outputStatistics"]["size"] == size


def test_the_terminal_and_json_say_since_when(lake, tmp_path, capsys):
    _, first = lake
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(first.manifest["config"]))
    for arguments in (["run", str(path)], ["run", str(path), "--json"]):
        with pytest.raises(SystemExit):
            main(arguments)
    said = capsys.readouterr().out
    assert f"nothing changed since run {first.run_id}: its tables are published again" in said
    assert json.loads(said.splitlines()[-1])["unchanged_since"] == first.run_id
