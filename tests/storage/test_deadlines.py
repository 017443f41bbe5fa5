"""Operations on storage that trickles: each ends in its time and names what it was at; a slow link is no stall."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import mixed_table
from faulty_proxy import faulty_proxy
from fsspec.implementations.memory import MemoryFileSystem

import featflow
from featflow.dataset.listing import list_data_files
from featflow.dataset.parquet import open_parquet, read_footer_bytes
from featflow.errors import InfrastructureError
from featflow.storage import deadlines, retries
from featflow.storage.deadlines import StalledError, bound, within
from featflow.storage.store import Store

TRICKLE = (1, 0.05)
"""A byte each 50 ms: no read waits as long as a client's own limit, and an answer takes a minute."""


@contextmanager
def trickling(proxy):
    """Let answers come a byte each 50 ms, where an operation has half a second."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deadlines, "FIXED_SECONDS", 0.5)
        patched.setattr(deadlines, "LISTING_SECONDS", 0.5)
        patched.setattr(retries, "PATIENCE", 0.2)
        patched.setattr(retries, "FIRST_WAIT", 0.001)
        proxy.pace = TRICKLE
        yield
        proxy.pace = None
    retries.reset()


@pytest.fixture(scope="module")
def lake(moto_options):
    """A file of Parquet on S3, its size, and options that reach it."""
    filesystem = s3fs.S3FileSystem(**moto_options)
    with filesystem.open("lake/trickle/data/a.parquet", "wb") as sink:
        pq.write_table(mixed_table(2_000).select(["x", "target"]), sink)
    return filesystem.size("lake/trickle/data/a.parquet"), moto_options


OPERATIONS = {
    "read": lambda store, _: store.read("data/a.parquet"),
    "write": lambda store, _: store.write("a/b", bytes(1000)),
    "adopt": lambda store, file: store.adopt("a/b", file),
    "names": lambda store, _: store.names("data"),
    "sizes": lambda store, _: store.sizes("data"),
    "remove": lambda store, _: store.remove("a/b"),
    "list": lambda store, _: list_data_files([f"{store.root}/data"], store.options),
    "glob": lambda store, _: list_data_files([f"{store.root}/d*/*.parquet"], store.options),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_on_storage_that_trickles_ends_and_names_the_file(lake, tmp_path, operation):
    _, options = lake
    file = tmp_path / "file"
    file.write_bytes(bytes(1000))
    with faulty_proxy(options, 0.0) as (proxy, through):
        store = Store("s3://lake/trickle", through)
        assert store.names("data") == ["a.parquet"]  # the client is there
        stalled = r"s3://lake/trickle\S*: cannot \w+ it: .*not done after"
        with trickling(proxy), pytest.raises(InfrastructureError, match=stalled) as said:
            OPERATIONS[operation](store, file)
        assert said.value.exit_code == 4
        assert store.names("data") == ["a.parquet"]  # the client serves the next one


def test_ranges_that_pyarrow_reads_end_too(lake):
    size, options = lake
    with faulty_proxy(options, 0.0) as (proxy, through):
        uri = "s3://lake/trickle/data/a.parquet"
        assert read_footer_bytes(uri, size, through)
        with open_parquet(uri, through) as file:
            with trickling(proxy):
                with pytest.raises(InfrastructureError, match=r"a\.parquet: cannot read it: .*not done after"):
                    file.read_row_group(0)
                with pytest.raises(StalledError):
                    read_footer_bytes(uri, size, through)
            assert file.read_row_group(0).num_rows == 2_000  # it was opened anew


def test_a_run_on_storage_that_trickles_ends_and_names_the_file(lake, tmp_path):
    _, options = lake
    with faulty_proxy(options, 0.0) as (proxy, through):
        dataset = {"source": "s3://lake/trickle/data/a.parquet", "targets": ["target"], "storage_options": through}
        config = {"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}}
        with trickling(proxy), pytest.raises(InfrastructureError, match=r"trickle/data/a\.parquet: .*not done") as said:
            featflow.run(config)
        assert said.value.exit_code == 4
        assert featflow.run(config).manifest["rows"]["read"] == 2_000


def test_a_slow_link_is_no_stall(lake, monkeypatch):
    """What takes longer than an operation's fixed time, and not longer than its bytes at the lowest rate, is read."""
    size, options = lake
    with faulty_proxy(options, 0.0) as (proxy, through):
        store = Store("s3://lake/trickle", through)
        expected = store.read("data/a.parquet")
        monkeypatch.setattr(deadlines, "FIXED_SECONDS", 0.3)
        monkeypatch.setattr(deadlines, "LOWEST_RATE", 1024)
        retries.reset()
        proxy.pace = size // 10, 0.1
        assert store.read("data/a.parquet") == expected
        assert retries.counts()["storage"] == 0


class Slow(MemoryFileSystem):
    """A filesystem whose calls nothing can cancel."""

    protocol = "slow"
    cachable = False
    halted = threading.Event()

    def cat_file(self, *_, **__):
        self.halted.wait(60)
        return b"late"

    def info(self, *_, **__):
        return {"size": 100 * 2**10}


def test_calls_that_cannot_be_cancelled_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(deadlines, "FIXED_SECONDS", 0.05)
    monkeypatch.setattr(deadlines, "LOWEST_RATE", 2**21)
    filesystem = Slow()
    bound(filesystem)
    bound(filesystem)
    for asked in ({}, {"start": 0, "end": 10}):
        with pytest.raises(StalledError):
            filesystem.cat_file("a", **asked)
    Slow.halted.set()
    assert filesystem.cat_file("a") == b"late"
    assert within(0, lambda: 3) == 3
    with pytest.raises(TimeoutError, match="its own"):
        within(0, lambda: (_ for _ in ()).throw(TimeoutError("its own")))
