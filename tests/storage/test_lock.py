"""The lock on disk and on two real S3 servers, and in any order that steps of several runs may take."""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from featflow.errors import ConfigurationError, InfrastructureError, LockedError
from featflow.storage import lock, processes
from featflow.storage.records.claim import Claim
from featflow.storage.store import Store

HERE = socket.gethostname()
OTHER, LAST = "0" * 31 + "1", "f" * 32
"""Tokens of other runs: the lowest and the highest."""


@pytest.fixture(params=["disk", "moto", "rclone"])
def store(request, tmp_path):
    if request.param == "disk":
        return Store(str(tmp_path / "out"))
    options = request.getfixturevalue(f"{request.param}_options")
    return Store(f"s3://lake/lock-{time.monotonic_ns()}", options)


def claim(store, token=OTHER, **changes):
    """Write the claim of another run and return its path."""
    said = {"token": token, "host": "elsewhere", "pid": 1, "expires": time.time() + 60, "holds": True} | changes
    store.write(f"{lock.FOLDER}/{token}.json", json.dumps(said).encode())
    return f"{lock.FOLDER}/{token}.json"


def claims(store):
    return [json.loads(store.read(f"{lock.FOLDER}/{name}")) for name in store.names(lock.FOLDER)]


def test_one_holder_at_a_time(store):
    assert lock.holder(store) is None
    with lock.hold(store):
        assert lock.holder(store) == f"process {os.getpid()} on {HERE}"
        with pytest.raises(LockedError, match=f"process {os.getpid()} on {HERE}"), lock.hold(store):
            pass
        (mine,) = claims(store)
        assert mine["holds"]
    assert claims(store) == []


def test_a_lease_that_is_over_is_taken(store):
    claim(store, expires=time.time() - 1)
    with lock.hold(store):
        assert [one["host"] for one in claims(store)] == [HERE]


def test_a_lease_elsewhere_is_respected(store):
    before = store.read(claim(store))
    with pytest.raises(LockedError, match="on elsewhere"), lock.hold(store):
        pass
    assert store.names(lock.FOLDER) == [f"{OTHER}.json"]
    assert store.read(f"{lock.FOLDER}/{OTHER}.json") == before


def test_the_lock_of_a_dead_process_is_taken(store):
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    claim(store, host=HERE, pid=int(done.stdout), place=processes.place())
    with lock.hold(store):
        assert [one["pid"] for one in claims(store)] == [os.getpid()]


def test_a_lost_lock_is_found_out_and_that_of_the_winner_stays(store):
    with lock.hold(store) as held:
        held.check()
        claim(store)
        with pytest.raises(LockedError, match="nothing was published"):
            held.check()
    assert store.names(lock.FOLDER) == [f"{OTHER}.json"]


def test_a_claim_that_only_asks_is_waited_for_and_not_for_ever(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    path = claim(store, token=LAST, holds=False)
    threading.Timer(0.5, store.remove, [path]).start()
    with lock.hold(store):
        pass
    claim(store, token=LAST, holds=False)
    monkeypatch.setattr(lock, "ASKING_SECONDS", 0.5)
    with pytest.raises(LockedError), lock.hold(store):
        pass


def test_storage_that_fails_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    claim(store)

    def away(self, folder):
        raise InfrastructureError("storage is away")

    monkeypatch.setattr(Store, "entries", away)
    with pytest.raises(InfrastructureError, match="away"), lock.hold(store):
        pass


def test_of_many_at_once_one_holds(store):
    for _ in range(3):
        barrier, decided, inside = threading.Barrier(4), threading.Barrier(4, timeout=60), []

        def contend(barrier=barrier, decided=decided, inside=inside):
            barrier.wait()
            try:
                with lock.hold(store) as held:
                    inside.append(1)
                    decided.wait()
                    held.check()
                    return True
            except LockedError:
                decided.wait()
                return False

        with ThreadPoolExecutor(4) as pool:
            held = [future.result() for future in [pool.submit(contend) for _ in range(4)]]
        assert sum(held) == len(inside) == 1
        assert claims(store) == []


class Stepped(Store):
    """A store whose operations wait for their turn."""

    def entries(self, folder):
        turn.wait()
        return super().entries(folder)

    def read(self, path):
        turn.wait()
        return super().read(path)

    def write(self, path, data):
        turn.wait()
        return super().write(path, data)

    def remove(self, path):
        turn.wait()
        return super().remove(path)


class Turn:
    """Lets one of several threads go on at a time, drawn by a seed: between two steps any other may take many."""

    def __init__(self):
        self.condition, self.waiting, self.running, self.chosen = threading.Condition(), set(), 0, None
        self.random = random.Random()

    def start(self, threads, seed):
        self.waiting, self.running, self.chosen = set(), threads, None
        self.random = random.Random(seed)

    def wait(self):
        if threading.current_thread() is threading.main_thread():
            return
        me = threading.get_ident()
        with self.condition:
            self.waiting.add(me)
            self.choose()
            self.condition.wait_for(lambda: self.chosen == me, timeout=30)
            self.chosen = None
            self.waiting.discard(me)

    def done(self):
        with self.condition:
            self.running -= 1
            self.choose()

    def choose(self):
        if self.chosen is None and self.waiting and len(self.waiting) == self.running:
            self.chosen = self.random.choice(sorted(self.waiting))
            self.condition.notify_all()


turn = Turn()


def test_in_any_order_of_steps_exactly_one_holds(monkeypatch):
    """Each read, write, list and removal of three runs is a step, and steps of all are shuffled."""
    monkeypatch.setattr(lock, "LOOK_SECONDS", 0.0)
    winners = []
    for seed in range(150):
        store = Stepped(f"memory://lock-{uuid.uuid4().hex}", {})
        turn.start(3, seed)

        def contend(store=store):
            asking = Claim.mine(60)
            try:
                lock._acquire(store, asking)
            except LockedError:
                store.remove(asking.path)
                return False
            else:
                return True
            finally:
                turn.done()

        with ThreadPoolExecutor(3) as pool:
            winners.append(sum(future.result() for future in [pool.submit(contend) for _ in range(3)]))
    assert winners == [1] * 150


def test_a_full_disk_says_how_to_make_room(tmp_path, monkeypatch):
    def write(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(ConfigurationError, match=r"No space left on device; make a little room there by hand"):
        lock.hold(Store(str(tmp_path / "out"))).__enter__()
