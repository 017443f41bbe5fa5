"""A run that loses its lock while it works, and one that begins while `featflow gc` removes."""

from __future__ import annotations

import json
import threading

import pytest
from datasets import measured_again, mixed_table, write_parts

import featflow
from featflow.config import parse
from featflow.errors import LockedError
from featflow.execution.progress import SilentProgress
from featflow.pipeline import garbage, job
from featflow.storage import lock
from featflow.storage.records.claim import Claim
from featflow.storage.store import Store


@pytest.fixture
def config(tmp_path):
    return {
        "dataset": {
            "source": write_parts(mixed_table(300).select(["x", "y", "target"]), tmp_path / "data", 3),
            "targets": ["target"],
        },
        "output": str(tmp_path / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"correlation": False, "interaction": False, "drift": False},
    }


class TakenOver(SilentProgress):
    """Lets another run have the lock during the first step, and waits until that is known."""

    def __init__(self, store, monkeypatch):
        self.store, self.steps, known = store, [], threading.Event()
        self.known, lose = known, lock.Held._lose

        def losing(held):
            try:
                lose(held)
            finally:
                known.set()

        monkeypatch.setattr(lock.Held, "_lose", losing)

    def start(self, stage, total):
        self.steps.append((stage, total))
        theirs = Claim.mine(60).model_copy(update={"host": "elsewhere", "place": ""}).renewed(60)
        self.store.write(theirs.path, theirs.dump())
        assert self.known.wait(60)

    def advance(self, rows, shards=0, nbytes=0):
        self.steps.append((rows, shards, nbytes))


def test_a_lock_that_is_lost_ends_the_run_at_its_next_step(config, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "LEASE_SECONDS", 2.0)  # a look in 0.4 s
    progress = TakenOver(Store(config["output"]), monkeypatch)
    with pytest.raises(LockedError, match="was lost to another run"):
        job.run(parse(config), progress)
    assert len(progress.steps) == 1
    (note,) = (tmp_path / "out" / "runs").glob("*/failure.json")
    assert json.loads(note.read_text())["exit_code"] == 5
    assert not (tmp_path / "out" / "LATEST").exists()


def test_what_fails_because_the_lock_is_lost_says_so(tmp_path):
    store = Store(str(tmp_path))

    def fail(held):
        with held.told_first():
            raise FileNotFoundError("states/moments/0.arrow")

    with lock.hold(store) as held:
        with pytest.raises(FileNotFoundError):
            fail(held)
        held._claim = held._claim.model_copy(update={"expires": 0.0})
        store.remove(held._claim.path)
        with pytest.raises(LockedError) as lost:
            fail(held)
        assert isinstance(lost.value.__cause__, FileNotFoundError)


def test_a_run_that_begins_while_gc_removes_waits_for_it(config, tmp_path, monkeypatch):
    featflow.run(config)
    last = featflow.run(measured_again(config))
    runs, turn = [], threading.Event()
    monkeypatch.setattr(garbage, "BATCH", 1)
    remove = Store.remove
    night = threading.Thread(target=lambda: runs.append(featflow.run(config)))

    def asking(self, path):
        if path.startswith("runs/") and not night.ident:
            night.start()
            while len(self.names(lock.FOLDER)) < 2:
                turn.wait(0.01)
        remove(self, path)

    monkeypatch.setattr(Store, "remove", asking)
    found = garbage.find(config["output"], 1).files
    done = garbage.remove(config["output"], 1)
    night.join(60)
    assert 0 < len(done.files) < len(found)
    assert "asked for the lock" in done.notes[-1]
    assert not any((tmp_path / "out" / path).exists() for path in done.files)
    assert featflow.Run.open(config["output"]).run_id == runs[0].run_id
    assert last.run_id in {run.run_id for run in featflow.list_runs(config["output"])}
