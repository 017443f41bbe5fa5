"""What `featflow gc` finds and removes, and what it leaves alone."""

from __future__ import annotations

import json
import sys
import time

import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import mixed_table, write_parts

import featflow
from featflow.cli.main import main
from featflow.errors import DatasetError, LockedError
from featflow.execution import merge_tree
from featflow.pipeline import garbage
from featflow.storage import lock
from featflow.storage.store import Store

COLUMNS = ["x", "y", "city", "target"]
MEASURED_AGAIN = {"budget": {"bad_rows": 0.002}}
"""A change that decides no number here, and might: nothing is published again, all states are found."""

OLD_STATES = f"states/moments/{'0' * 24}"


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A dataset of twelve shards, which make two levels of merged states, and an output beside it."""
    monkeypatch.setattr(merge_tree, "MOST_MEMBERS", 4)
    write_parts(mixed_table(2_400).select(COLUMNS), tmp_path / "data", 12)
    return tmp_path


def run(lake, **changes):
    config = {
        "dataset": {"source": str(lake / "data"), "targets": ["target"]},
        "output": str(lake / "out"),
        "engine": {"kind": "serial"},
    }
    return featflow.run(config | changes)


def files(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def states(lake):
    """Return when each state was written; codebooks are written again, and the same, by every run."""
    found = {path: at for path, at in files(lake / "out").items() if path.startswith("states/")}
    return {path: 0 if "/codebook/" in path else at for path, at in found.items()}


def test_nothing_that_the_kept_run_rests_on_goes(lake):
    first, second = run(lake), run(lake, **MEASURED_AGAIN)
    before = states(lake)
    found = garbage.find(str(lake / "out"), 1)
    assert found.kept == (second.run_id,)
    assert found.files == {
        path: (lake / "out" / path).stat().st_size for path in files(lake / "out") if first.run_id in path
    }
    assert files(lake / "out").keys() >= found.files.keys()  # dry
    done = garbage.remove(str(lake / "out"), 1)
    assert done.removed
    assert done.files == found.files
    assert states(lake) == before
    assert [path.name for path in (lake / "out" / "runs").iterdir()] == [second.run_id]
    third = run(lake)
    assert "unchanged_since" not in third.manifest
    assert third.manifest["shards"] == {"total": 12, "computed": 0, "reused": 12}
    assert states(lake) == before
    assert garbage.find(str(lake / "out"), 2).files == {}


def test_states_of_specs_and_shards_that_are_gone_go(lake):
    run(lake)
    (lake / "data" / "part-003.parquet").unlink()
    pq.write_table(mixed_table(300, seed=8).select(COLUMNS), lake / "data" / "part-012.parquet")
    changed = {"codebook": {"bins": 7, "frozen": False}}
    last = run(lake, **changed)
    expected = {name: last.arrow(name) for name in last.tables if name != "drift"}  # each run's is of the one before it
    before = states(lake)
    found = garbage.remove(str(lake / "out"), 1)
    gone = {path for path in found.files if path.startswith("states/")}
    assert gone
    assert states(lake).keys() == before.keys() - gone
    again = run(lake, **changed)
    assert again.manifest["shards"]["computed"] == 0
    for name, table in expected.items():
        assert again.arrow(name).equals(table), name
    # what a run of this configuration alone leaves is all that is left
    alone = run(lake, **changed, output=str(lake / "alone"))
    folders = {path.rpartition("/")[0] for path in files(lake / "alone") if path.startswith("states/")}
    assert {path.rpartition("/")[0] for path in states(lake)} == folders
    assert alone.manifest["codebook"] == again.manifest["codebook"]


def test_notes_of_what_cannot_be_read_stay_with_their_files(lake):
    path = lake / "data" / "part-005.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    with path.open("r+b") as file:
        file.seek(column.data_page_offset)
        file.write(b"\xff" * 64)
    run(lake, budget={"bad_rows": 0.2})
    before = states(lake)
    assert any("quarantine" in one for one in before)
    assert garbage.remove(str(lake / "out"), 1).files == {}
    assert states(lake) == before
    assert run(lake, budget={"bad_rows": 0.2}).manifest["shards"]["computed"] == 0


def test_what_dead_runs_left_goes_and_nothing_outside(lake):
    done = run(lake)
    output = lake / "out"
    left = [
        "runs/20250101T000000Z-dead00/pending/0.arrow",
        "runs/20250101T000000Z-dead00/tables/profile.parquet",
        f"runs/{done.run_id}/pending/3.arrow",
        f"{OLD_STATES}/{'a' * 24}.arrow",
        f"{OLD_STATES}/.{'a' * 24}.arrow.12345678.partial",
        f"runs/{done.run_id}/tables/.profile.parquet.12345678.partial",
        ".LATEST.12345678.partial",
    ]
    others = ["notes.txt", "statesman/x.arrow", "runs.txt", "other/states/x.arrow", ".NOTES.12345678.partial"]
    for path in left + others:
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).write_bytes(b"12345")
    (lake / "elsewhere").mkdir()
    (lake / "elsewhere" / "kept.txt").write_text("kept")
    (output / "states" / "linked").symlink_to(lake / "elsewhere")
    found = garbage.remove(str(output), 1)
    assert {path for path in found.files if "linked" not in path} == set(left)
    assert all((output / path).exists() for path in others)
    assert (lake / "elsewhere" / "kept.txt").read_text() == "kept"
    assert not (output / OLD_STATES).exists()
    assert featflow.Run.open(str(output)).run_id == done.run_id


def test_states_wait_for_a_run_that_has_not_finished(lake):
    run(lake)
    (lake / "out" / "LATEST").unlink()
    for path in (lake / "out" / "runs").rglob("_SUCCESS"):
        path.unlink()
    before = states(lake)
    found = garbage.remove(str(lake / "out"), 1)
    assert found.kept == ()
    assert found.notes
    assert states(lake) == before
    assert list((lake / "out" / "runs").iterdir()) == []


def test_a_run_under_way_is_left_alone(lake):
    run(lake)
    store = Store(str(lake / "out"))
    pending = "runs/20990101T000000Z-aaaaaa/pending/0.arrow"
    store.write(pending, b"1")
    state = f"{OLD_STATES}/{'b' * 24}.arrow"
    store.write(state, b"1")
    with lock.hold(store):
        found = garbage.find(str(lake / "out"), 1)
        assert found.files == {}
        assert "under way" in found.notes[0]
        with pytest.raises(LockedError):
            garbage.remove(str(lake / "out"), 1)
    assert store.read(pending) == b"1"
    assert garbage.find(str(lake / "out"), 1).files == {pending: 1, state: 1}


def test_a_pinned_run_stays(lake):
    pinned = run(lake)
    run(lake)
    last = run(lake, analyses={"drift": {"reference": pinned.run_id}})
    assert garbage.remove(str(lake / "out"), 1).kept == (pinned.run_id, last.run_id)


def test_an_output_that_is_none(tmp_path):
    for action in (garbage.find, garbage.remove):
        with pytest.raises(DatasetError, match="neither runs nor states"):
            action(str(tmp_path / "nowhere"), 1)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_on_object_stores(server, request):
    options = request.getfixturevalue(f"{server}_options")
    base, filesystem = f"lake/gc-{time.monotonic_ns()}", s3fs.S3FileSystem(**options)
    with filesystem.open(f"{base}/data/a.parquet", "wb") as sink:
        pq.write_table(mixed_table(600).select(COLUMNS), sink)
    config = {
        "dataset": {"source": f"s3://{base}/data", "targets": ["target"], "storage_options": options},
        "output": f"s3://{base}/out",
        "engine": {"kind": "serial"},
    }
    first, second = featflow.run(config), featflow.run(config | MEASURED_AGAIN)
    found = garbage.remove(f"s3://{base}/out", 1, options)
    assert found.files
    assert all(path.startswith(f"runs/{first.run_id}/") for path in found.files)
    filesystem.invalidate_cache()
    assert filesystem.find(f"{base}/out/runs/{first.run_id}") == []
    again = featflow.run(config | MEASURED_AGAIN)
    assert again.manifest["unchanged_since"] == second.run_id
    ranking = second.arrow("ranking")
    assert garbage.remove(f"s3://{base}/out", 1, options).kept == (again.run_id,)
    assert featflow.Run.open(f"s3://{base}/out", again.run_id, options).arrow("ranking").equals(ranking)
    assert featflow.run(config).manifest["shards"] == {"total": 1, "computed": 0, "reused": 1}


def test_the_command(lake, monkeypatch, capsys):
    first = run(lake)
    run(lake)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["featflow", "gc", str(lake / "out"), "--keep", "1", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr().out

    code, shown = command()
    assert code == 0, shown
    assert f"runs/{first.run_id}" in shown
    assert "--delete removes them" in shown
    listed = json.loads(command("--json")[1])
    assert not listed["removed"]
    assert listed["total"]["files"] == len(listed["files"]) > 0
    with lock.hold(Store(str(lake / "out"))):
        assert command("--delete")[0] == 5
    removed = json.loads(command("--delete", "--json")[1])
    assert removed == listed | {"removed": True}
    assert json.loads(command("--json")[1])["files"] == []
