"""Claims that are damaged, hostile or of a wrong clock, and leases that end while their holder sleeps."""

from __future__ import annotations

import json
import os
import socket
import threading
import time

import pytest

from featflow.errors import LockedError
from featflow.storage import lock
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
    return Store(f"s3://lake/leases-{time.monotonic_ns()}", options)


def claim(store, token=OTHER, **changes):
    """Write the claim of another run and return its path."""
    said = {"token": token, "host": "elsewhere", "pid": 1, "expires": time.time() + 60, "holds": True} | changes
    store.write(f"{lock.FOLDER}/{token}.json", json.dumps(said).encode())
    return f"{lock.FOLDER}/{token}.json"


def claims(store):
    return [json.loads(store.read(f"{lock.FOLDER}/{name}")) for name in store.names(lock.FOLDER)]


@pytest.mark.parametrize(
    "change",
    [
        {"expires": float("nan")},
        {"expires": float("inf")},
        {"expires": 1e300},
        {"expires": "soon"},
        {"token": "../../LATEST"},
        {"token": LAST},
        {"pid": -1},
        {"pid": 2**70},
        {"host": "\x1b]0;owned\x07"},
        {"holds": "yes"},
        {"run": "../../data"},
        {"host": "x" * 10_000},
    ],
)
def test_what_is_no_claim_is_nobodys_and_goes_once_it_is_old(tmp_path, change):
    store = Store(str(tmp_path))
    store.write("LATEST", b"kept")
    path = tmp_path / claim(store)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    assert lock.holder(store) is None
    with lock.hold(store):
        assert path.exists()
    os.utime(path, (0, time.time() - lock.LEASE_SECONDS - 60))
    with lock.hold(store) as held:
        held.check()
        assert not path.exists()
    assert store.read("LATEST") == b"kept"


@pytest.mark.parametrize("data", [b"", b"null", b"[" * 3000, b"\xff", b'{"token": 1}'])
def test_bytes_that_are_no_claim_belong_to_nobody(tmp_path, data):
    store = Store(str(tmp_path))
    for name in (f"{OTHER}.json", "notes.txt", f".{OTHER}.json.12345678.partial"):
        store.write(f"{lock.FOLDER}/{name}", data)
        os.utime(tmp_path / lock.FOLDER / name, (0, 0))
    with lock.hold(store):
        assert len(store.names(lock.FOLDER)) == 2
    assert store.names(lock.FOLDER) == ["notes.txt"]


def test_a_clock_that_is_a_year_ahead_holds_an_output_for_a_lease(tmp_path):
    store = Store(str(tmp_path))
    path = tmp_path / claim(store, expires=time.time() + 365 * 86_400, since=time.time() + 365 * 86_400)
    assert lock.claim(store).expires <= time.time() + lock.LEASE_SECONDS
    with pytest.raises(LockedError, match="lease ends in 300 s"), lock.hold(store):
        pass
    os.utime(path, (0, time.time() - lock.LEASE_SECONDS - 60))
    with lock.hold(store):
        assert not path.exists()


def test_a_process_is_dead_where_its_number_means_something(tmp_path):
    store, mine = Store(str(tmp_path)), Claim.mine(60)
    here = {"host": HERE, "pid": mine.pid, "place": mine.place, "start": mine.start}
    elsewhere = {"place": "another boot/pid:[1]", "pid": 2**22 + 1}
    for alive in (here, here | {"start": 0}, here | elsewhere, here | {"pid": 2**22 + 1, "place": ""}):
        claim(store, **alive)
        with pytest.raises(LockedError), lock.hold(store):
            pass
    for dead in (here | {"start": mine.start + 1}, here | {"pid": 2**22 + 1}):
        path = claim(store, **dead)
        with lock.hold(store):
            assert path not in store.sizes(lock.FOLDER)


def over(held):
    """Let the lease of a holder be over, as after a sleep."""
    held._claim = held._claim.model_copy(update={"expires": time.time() - 1})
    held._store.write(held._claim.path, held._claim.dump())


def test_a_lease_that_ended_is_taken_again_by_its_holder(store):
    with lock.hold(store, "20260101T000000Z-000000") as held:
        over(held)
        assert lock.claim(store) is None
        held.check()
        assert lock.claim(store).run == "20260101T000000Z-000000"
        assert len(claims(store)) == 1
        with pytest.raises(LockedError), lock.hold(store):
            pass
        held.check()
    assert claims(store) == []


def test_a_lease_that_ended_is_lost_if_another_had_the_lock_since(store):
    with lock.hold(store) as held:
        over(held)
        with lock.hold(store):
            pass
        with pytest.raises(LockedError, match="was lost to another run"):
            held.check()
        with pytest.raises(LockedError, match="was lost to another run"):
            held.stop_if_lost()
    assert claims(store) == []


def test_a_claim_that_comes_back_does_not_cost_the_later_holder_its_lock(tmp_path):
    """As by a renewal that was under way when its process was halted."""
    store = Store(str(tmp_path))
    with lock.hold(store) as first:
        back = first._claim.renewed(60)
        over(first)
        with lock.hold(store) as second:
            store.write(back.path, back.dump())
            second.check()
            with pytest.raises(LockedError):
                first.check()


def test_a_renewal_that_outlasts_its_lease_counts_as_lost(tmp_path, monkeypatch):
    store, write = Store(str(tmp_path)), Store.write
    with lock.hold(store) as held:

        def slow(self, path, data):
            held._claim = held._claim.model_copy(update={"expires": time.time() - 1})
            return write(self, path, data)

        held._claim = held._claim.model_copy(update={"expires": time.time() + 60})
        monkeypatch.setattr(Store, "write", slow)
        with pytest.raises(LockedError):
            held.check()


def test_a_removal_gives_way_to_a_run_and_to_nothing_else(store, monkeypatch):
    monkeypatch.setattr(lock, "LOOK_SECONDS", 0.01)
    done = threading.Event()

    def run():
        with lock.hold(store, "20260101T000000Z-000000"):
            done.set()

    thread = threading.Thread(target=run)
    with lock.hold(store, kind=lock.REMOVAL) as removal:
        with pytest.raises(LockedError, match="'featflow gc' holds"), lock.hold(store, kind=lock.REMOVAL):
            pass
        removal.check()
        assert not removal.is_asked
        thread.start()
        while not removal.is_asked:
            removal.check()
        assert not done.is_set()
    thread.join(60)
    assert done.is_set()
    with lock.hold(store), pytest.raises(LockedError), lock.hold(store, kind=lock.REMOVAL):
        pass


def test_who_reads_keeps_removals_out_and_nobody_else(tmp_path):
    store = Store(str(tmp_path))
    with lock.reading(store), lock.reading(store), lock.hold(store):
        assert lock.claim(store).kind == "run"
    with lock.reading(store):
        assert lock.holder(store) is None
        with pytest.raises(LockedError, match="an export holds"), lock.hold(store, kind=lock.REMOVAL):
            pass
    with lock.hold(store, kind=lock.REMOVAL):
        pass
