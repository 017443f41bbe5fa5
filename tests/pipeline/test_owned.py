"""What `featflow gc` knows to be featflow's own, and what it leaves to others."""

from __future__ import annotations

import os
import time

import pyarrow.parquet as pq
import pytest
from datasets import measured_again, mixed_table, write_parts

import featflow
from featflow.errors import DatasetError
from featflow.pipeline import garbage
from featflow.pipeline.owned import is_own
from featflow.pipeline.status import status
from featflow.storage import lock


@pytest.fixture
def lake(tmp_path):
    write_parts(mixed_table(600).select(["x", "y", "city", "target"]), tmp_path / "data", 2)
    return tmp_path


def config(lake, **more):
    given = {
        "dataset": {"source": str(lake / "data"), "targets": ["target"]},
        "output": str(lake / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"correlation": False, "interaction": False},
    }
    return given | more


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


OTHERS = (
    "runs/detect/exp1/weights/best.pt",
    "runs/Nov29_train/events.out.tfevents.1",
    "runs/20260102T030405Z-abc123-copy/manifest.json",
    "runs/20269999T999999Z-abcdef/manifest.json",
    "states/terraform.tfstate",
    "states/moments/readme.txt",
)


def write(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"theirs")


def test_a_folder_that_never_was_an_output_is_refused(tmp_path):
    write(tmp_path, *OTHERS)
    (tmp_path / "runs" / "20260102T030405Z-abc123").mkdir()
    for action in (garbage.find, garbage.remove):
        with pytest.raises(DatasetError, match="no run of featflow's has been there"):
            action(str(tmp_path), 1)
    assert all((tmp_path / path).exists() for path in OTHERS)


def test_what_others_keep_in_an_output_is_left_and_named(lake):
    first, second = featflow.run(config(lake)), featflow.run(measured_again(config(lake)))
    mine = f"runs/{first.run_id}/notes.txt"
    write(lake / "out", *OTHERS, mine)
    (lake / "out" / "runs" / "empty" / "folder").mkdir(parents=True)
    found = garbage.remove(str(lake / "out"), 1)
    assert found.kept == (second.run_id,)
    assert all((lake / "out" / path).exists() for path in (*OTHERS, mine))
    assert (lake / "out" / "runs" / "empty" / "folder").exists()
    (said,) = [note for note in found.notes if "not featflow's own" in note]
    assert "and 2 more" in said
    assert {path.name for path in (lake / "out" / "runs" / first.run_id).iterdir()} == {"notes.txt"}


def test_all_that_runs_write_is_known(lake):
    data = lake / "data" / "part-001.parquet"
    column = pq.ParquetFile(data).metadata.row_group(0).column(0)
    with data.open("r+b") as file:
        file.seek(column.data_page_offset)
        file.write(b"\xff" * 64)
    (lake / "more.csv").write_text("x,y,city,target\n1.5,2.5,a,1\n")
    dataset = {"source": [str(lake / "data"), str(lake / "more.csv")], "targets": ["target"]}
    analyses = {"correlation": {"dense": True}}
    featflow.run(config(lake, dataset=dataset, budget={"bad_rows": 0.9}, analyses=analyses, lineage={}))
    written = {path for path in files(lake / "out") if path.startswith(("runs/", "states/"))}
    assert {path for path in written if not is_own(path)} == set()
    assert any("converted" in path for path in written)
    assert any("tensors" in path for path in written)


def test_a_damaged_run_keeps_what_it_may_need(lake):
    first, second = featflow.run(config(lake)), featflow.run(measured_again(config(lake)))
    third = featflow.run(config(lake, codebook={"bins": 7, "frozen": False}))
    path = lake / "out" / "runs" / second.run_id / "manifest.json"
    path.write_bytes(path.read_bytes()[:500])
    before = files(lake / "out")
    found = garbage.remove(str(lake / "out"), 1)
    assert found.files == {}
    assert found.kept == (first.run_id, third.run_id)
    assert any(second.run_id in note and "states stay" in note for note in found.notes)
    assert files(lake / "out") == before


def test_a_damaged_run_keeps_tables_of_a_run_that_is_gone(lake):
    featflow.run(config(lake))
    second = featflow.run(config(lake))  # publishes the tables of the first, which goes
    assert garbage.remove(str(lake / "out"), 1).kept == (second.run_id,)
    path = lake / "out" / "runs" / second.run_id / "manifest.json"
    manifest = path.read_bytes()
    path.write_bytes(manifest[:500])
    assert garbage.remove(str(lake / "out"), 1).files == {}
    path.write_bytes(manifest)  # a copy is brought back
    again = featflow.Run.open(str(lake / "out"))
    assert again.table("profile")["rows"].to_list()[0] == 600


def test_a_file_named_as_a_run_is_left_alone(lake):
    done = featflow.run(config(lake))
    write(lake / "out", "runs/20250102T030405Z-abc123")
    found = garbage.remove(str(lake / "out"), 1)
    assert found.kept == (done.run_id,)
    assert found.notes == ("not featflow's own, and left alone: runs/20250102T030405Z-abc123",)
    assert [run.run for run in status(str(lake / "out"), 5).runs if run.status == "done"] == [done.run_id]


def test_a_claim_or_a_report_that_may_just_be_written_stays(lake):
    done = featflow.run(config(lake))
    names = {
        "lock/.0123456789abcdef0123456789abcdef.json.01234567.partial",
        f"runs/{done.run_id}/.report.html.01234567.partial",
    }
    write(lake / "out", *names)
    assert garbage.remove(str(lake / "out"), 1).files == {}
    assert all((lake / "out" / name).exists() for name in names)
    for name in names:
        os.utime(lake / "out" / name, (time.time() - 2 * lock.LEASE_SECONDS,) * 2)
    garbage.remove(str(lake / "out"), 1)
    assert not any((lake / "out" / name).exists() for name in names)
