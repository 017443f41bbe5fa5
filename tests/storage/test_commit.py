"""A holder that is halted between a check of its lock and the write after it, beside a run and beside a removal."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

import featflow
from featflow.config import parse
from featflow.errors import ConfigurationError, InfrastructureError, LockedError
from featflow.pipeline import garbage
from featflow.storage import latest, lock
from featflow.storage.run import list_runs
from featflow.storage.run_ids import new_run_id
from featflow.storage.run_writer import RunWriter
from featflow.storage.store import Store
from featflow.storage.tables import QUARANTINE


@pytest.fixture(params=["disk", "moto", "rclone"])
def store(request, tmp_path):
    if request.param == "disk":
        return Store(str(tmp_path / "out"))
    options = request.getfixturevalue(f"{request.param}_options")
    return Store(f"s3://lake/commit-{time.monotonic_ns()}", options)


class Job:
    """A run of one table, whose last writes can be watched."""

    def __init__(self, store):
        self.store, self.started = store, datetime.now(UTC)
        self.run_id = new_run_id(self.started)

    def go(self):
        with lock.hold(self.store, self.run_id) as held:
            self.held = held
            seen, writer = latest.look(self.store), RunWriter(self.store, self.run_id)
            writer.write(QUARANTINE, [QUARANTINE.schema.empty_table()])
            config = parse({"dataset": {"source": "lake"}, "output": self.store.root}).public()
            manifest = {"config": config, "tables": writer.tables, "started": self.started.isoformat()}
            manifest |= {"status": "done", "engine": "serial", "codebook": None, "warnings": [], "inputs": []}
            manifest |= {"rows": dict.fromkeys(("footers", "read", "quarantined"), 0), "seconds": {"total": 0.0}}
            manifest["shards"] = dict.fromkeys(("total", "computed", "reused"), 0)
            return writer.commit(manifest, held.check, seen)


def whole(store):
    """Return the ids of the runs that are listed, all of whose tables can be read."""
    runs = list_runs(store.root, store.options)
    assert all(isinstance(run.arrow(name), pa.Table) for run in runs for name in run.tables)
    return [run.run_id for run in runs]


def halted(store, monkeypatch, before, meanwhile):
    """Run a job that is halted before its last writes; return it, and the error that it ends with."""
    job, write, move = Job(store), Store.write, latest.move

    def halt():
        monkeypatch.setattr(Store, "write", write)
        monkeypatch.setattr(latest, "move", move)
        job.held._claim = job.held._claim.model_copy(update={"expires": time.time() - 1})
        write(store, job.held._claim.path, job.held._claim.dump())
        meanwhile()

    def halting_write(self, path, data):
        if path == f"runs/{job.run_id}/{before}":
            halt()
        return write(self, path, data)

    def halting_move(*arguments):
        halt()
        return move(*arguments)

    monkeypatch.setattr(lock.Held, "renew_until", lambda _, stop: stop.wait())  # which is halted, too
    monkeypatch.setattr(Store, "write", halting_write)
    if before == "LATEST":
        monkeypatch.setattr(latest, "move", halting_move)
    try:
        job.go()
    except LockedError as error:
        return job, error
    return job, None


@pytest.mark.parametrize("before", ["manifest.json", "_SUCCESS", "LATEST"])
def test_beside_a_run_there_is_one_result(store, monkeypatch, before):
    others = []
    _, error = halted(store, monkeypatch, before, lambda: others.append(Job(store).go().run_id))
    assert "nothing was published" in str(error)
    assert whole(store) == others
    assert [store.read("LATEST").decode()] == others


@pytest.mark.parametrize("before", ["manifest.json", "_SUCCESS", "LATEST"])
def test_beside_a_removal_no_run_is_published_without_its_tables(store, monkeypatch, before):
    first = Job(store)
    first.go()
    job, error = halted(store, monkeypatch, before, lambda: garbage.remove(store.root, 1, store.options))
    if before == "LATEST":  # it was finished before the lock was lost, so the removal kept it
        assert error is None
    else:
        assert "nothing was published" in str(error)
    last = job if before == "LATEST" else first
    assert whole(store) == [first.run_id, last.run_id][: 2 if before == "LATEST" else 1]
    assert store.read("LATEST").decode() == last.run_id


def test_a_run_that_was_the_latest_before_it_lost_the_lock_stays(tmp_path, monkeypatch):
    """A run that took over may rest on it."""
    store, move, others = Store(str(tmp_path / "out")), latest.move, []

    def moved_and_halted(*arguments):
        monkeypatch.setattr(latest, "move", move)
        done = move(*arguments)
        first.held._claim = first.held._claim.model_copy(update={"expires": time.time() - 1})
        store.write(first.held._claim.path, first.held._claim.dump())
        others.append(Job(store).go().run_id)
        return done

    monkeypatch.setattr(latest, "move", moved_and_halted)
    first = Job(store)
    first.go()
    assert whole(store) == [first.run_id, *others]
    assert [store.read("LATEST").decode()] == others


def test_a_lease_that_ended_while_nobody_asked_costs_nothing(store, monkeypatch):
    job, error = halted(store, monkeypatch, "_SUCCESS", lambda: None)
    assert error is None
    assert whole(store) == [job.run_id]
    assert store.names(lock.FOLDER) == []


def test_latest_is_moved_from_what_was_seen_alone(moto_options):
    store = Store(f"s3://lake/latest-{time.monotonic_ns()}", moto_options)
    seen = latest.look(store)
    assert latest.move(store, "20260101T000000Z-000001", seen)
    assert not latest.move(store, "20260101T000000Z-000002", seen)
    seen = latest.look(store)
    store.write("LATEST", b"20260101T000000Z-000003")
    assert not latest.move(store, "20260101T000000Z-000004", seen)
    assert store.read("LATEST") == b"20260101T000000Z-000003"
    assert latest.move(store, "20260101T000000Z-000004", latest.look(store))


def test_a_run_whose_tables_are_gone_is_not_published(tmp_path, monkeypatch):
    store, save = Store(str(tmp_path)), RunWriter.save_manifest

    def saved(self, manifest):
        store.remove(f"runs/{self.run_id}/tables/quarantine.parquet")
        return save(self, manifest)

    monkeypatch.setattr(RunWriter, "save_manifest", saved)
    with pytest.raises(InfrastructureError, match=r"'quarantine' is not there any more.*nothing was published"):
        Job(store).go()
    assert whole(store) == []


def test_a_failure_at_latest_alone_says_that_the_run_is_published(tmp_path, monkeypatch):
    store, save = Store(str(tmp_path)), RunWriter.save_manifest

    def saved(self, manifest):
        (tmp_path / "LATEST" / "in the way").mkdir(parents=True)
        return save(self, manifest)

    monkeypatch.setattr(RunWriter, "save_manifest", saved)
    job = Job(store)
    with pytest.raises(InfrastructureError, match=f"{job.run_id} is published and listed, but LATEST was not"):
        job.go()
    assert whole(store) == [job.run_id]


def test_that_latest_is_another_users_is_told_before_the_work(tmp_path, monkeypatch):
    output = tmp_path / "out"
    output.mkdir()
    output.chmod(0o1777)
    (output / "LATEST").write_text("20260101T000000Z-000001")
    monkeypatch.setattr(os, "geteuid", lambda: Path(output).stat().st_uid + 1)
    config = {"dataset": {"source": str(tmp_path / "nothing")}, "output": str(output), "engine": {"kind": "serial"}}
    with pytest.raises(ConfigurationError, match=r"LATEST: belongs to another user.* sticky"):
        featflow.run(config)
