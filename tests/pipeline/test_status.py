"""What is told of an output: runs that were published, that failed, that nobody ended, and the one under way."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featflow
from featflow.cli.main import main
from featflow.cli.printing import PlainConsole
from featflow.cli.status_view import print_status
from featflow.config import parse
from featflow.errors import BadDataError, ConfigurationError, DatasetError, FeatflowError
from featflow.pipeline.job import run
from featflow.pipeline.status import age, status
from featflow.storage import lock
from featflow.storage.run import FAILURE
from featflow.storage.store import Store

THEIRS = "0" * 32
"""Token of another run."""


@pytest.fixture
def output(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"x": range(100), "y": [0, 1] * 50}), tmp_path / "data" / "a.parquet")
    return str(tmp_path / "out")


def go(output, **more):
    light = {"correlation": False, "interaction": False}
    values = {"dataset": {"source": str(Path(output).parent / "data")}, "output": output, "engine": {"kind": "serial"}}
    return run(parse(values | {"analyses": light} | more))


def shown(found):
    out = io.StringIO()
    print_status(found, PlainConsole(width=160, file=out))
    return out.getvalue()


def test_runs_that_were_published(output):
    first, second = go(output), go(output)
    found = status(output, 5)
    assert [(run.run, run.status, run.latest) for run in found.runs] == [
        (second.run_id, "done", True),
        (first.run_id, "done", False),
    ]
    newest = found.runs[0]
    assert (newest.rows["read"], newest.shards, newest.exit_code) == (100, {"total": 1, "computed": 0, "reused": 1}, 0)
    assert newest.seconds == second.manifest["seconds"]["total"]
    assert newest.drift_alerts == 0
    assert found.under_way is None
    assert len(status(output, 1).runs) == 1
    assert json.loads(json.dumps(found.public()))["runs"][0]["run"] == second.run_id
    assert "No run is under way" in shown(found)


def test_a_run_that_failed_says_why(output, monkeypatch):
    go(output)
    (Path(output).parent / "data" / "b.parquet").write_bytes(b"PAR1 and no more of it PAR1")
    with pytest.raises(BadDataError):
        go(output)
    monkeypatch.setattr("featflow.pipeline.pipeline.profile_round", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        go(output, budget={"bad_rows": 1.0})
    crashed, bad, done = status(output, 5).runs
    assert (crashed.status, crashed.exit_code, crashed.error) == ("failed", 1, "ZeroDivisionError: division by zero")
    assert (bad.status, bad.exit_code) == ("bad data", 3)
    assert "b.parquet" in bad.error
    assert done.status == "done"
    assert done.latest
    assert "b.parquet" in shown(status(output, 5))


def test_a_run_under_way(output):
    go(output)
    store = Store(output)
    with lock.hold(store, "20990101T000000Z-abcdef"):
        store.write("runs/20990101T000000Z-abcdef/tables/profile.parquet", b"half")
        found = status(output, 5)
        assert found.under_way.run == "20990101T000000Z-abcdef"
        assert found.under_way.process == os.getpid()
        assert 0 < found.under_way.lease_seconds <= lock.LEASE_SECONDS
        assert found.under_way.since is not None
        assert len(found.runs) == 1  # it is not told twice
        assert "Under way" in shown(found)
    left = status(output, 5).runs[0]
    assert (left.status, left.started[:10]) == ("unfinished", "2099-01-01")


def test_a_claim_of_an_earlier_version(output):
    theirs = {"token": THEIRS, "host": "elsewhere", "pid": 1, "expires": time.time() + 60, "holds": True}
    Store(output).write(f"{lock.FOLDER}/{THEIRS}.json", json.dumps(theirs).encode())
    found = status(output, 5)
    assert (found.under_way.run, found.under_way.since, found.under_way.host) == (None, None, "elsewhere")
    assert "process 1 on elsewhere" in shown(found)


def test_nothing_there(output):
    with pytest.raises(DatasetError, match="no run has been there"):
        status(output, 5)


def test_as_a_probe(output):
    go(output)

    def probe(*more):
        command = [sys.executable, "-m", "featflow", "status", output, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert probe("--max-age", "1h").returncode == 0
    assert probe("--max-age", "0m").returncode == 1
    assert json.loads(probe("--json").stdout)["runs"][0]["status"] == "done"
    assert "write minutes" in probe("--max-age", "soon").stderr
    with pytest.raises(ConfigurationError, match="--max-age 1"):
        age("1")


def test_failures_make_a_fresh_run_no_older(output):
    finished = go(output)
    for second in range(7):
        Store(output).write(f"runs/20990101T00000{second}Z-abcdef/{FAILURE}", b'{"run": "x", "exit_code": 4}')
    found = status(output, 5)
    assert finished.run_id not in {run.run for run in found.runs}
    assert found.is_younger(timedelta(hours=1))
    assert not found.is_younger(timedelta(0))


def test_no_credential_is_in_what_a_failure_leaves(output):
    endpoint = {"endpoint_url": "me:s3cr3tpw@127.0.0.1:9000"}
    dataset = {
        "source": "s3://lake/data",
        "storage_options": {"key": "k3y", "secret": "hu5h", "client_kwargs": endpoint},
    }
    with pytest.raises(FeatflowError) as caught:
        featflow.run({"dataset": dataset, "output": output, "engine": {"kind": "serial"}})
    (note,) = (path.read_text() for path in Path(output).rglob(FAILURE))
    for text in (str(caught.value), note, shown(status(output, 5))):
        assert "s3cr3tpw" not in text
        assert "hu5h" not in text


def test_one_damaged_run_among_others(output):
    first, second = go(output), go(output)
    path = Path(output) / "runs" / first.run_id / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    Store(output).write(f"runs/20990101T000000Z-abcdef/{FAILURE}", b"{")
    Store(output).write("runs/20269999T000000Z-abcdef/_SUCCESS", b"")  # a name that is no time
    found = status(output, 5)
    assert [(run.run, run.status) for run in found.runs] == [
        ("20990101T000000Z-abcdef", "damaged"),
        (second.run_id, "done"),
        (first.run_id, "damaged"),
    ]
    assert FAILURE in found.runs[0].error
    assert "manifest.json: damaged" in found.runs[2].error
    assert found.is_younger(timedelta(hours=1))
    assert str(path) in shown(found)
    assert [run.run_id for run in featflow.list_runs(output)] == [second.run_id]


def test_a_damaged_drift_table_is_named(output):
    run = go(output)
    Store(output).write(run.paths("drift")[0], b"PAR1")
    (found,) = status(output, 5).runs
    assert (found.status, found.drift_alerts) == ("done", None)
    assert "drift.parquet: damaged" in found.error


def test_the_probe_says_stale_of_nothing_else(output, capsys):
    done = go(output)

    def probe(*command):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*command])
        return ended.value.code, capsys.readouterr()

    Store(output).write("LATEST", b"\xff")
    code, said = probe("status", output, "--max-age", "1h")
    assert code == 4
    assert "LATEST: damaged" in said.err
    assert done.run_id in said.out
    Store(output).write("LATEST", done.run_id.encode())
    Store(output).write(f"runs/{done.run_id}/manifest.json", b"{}")
    code, said = probe("status", output, "--max-age", "1h")
    assert code == 4
    assert "manifest.json: damaged" in said.err
    code, said = probe("runs", output, "--json")
    assert code == 0
    (row,) = json.loads(said.out)
    assert (row["run"], row["status"]) == (done.run_id, "damaged")
    assert "damaged" in probe("runs", output)[1].out
