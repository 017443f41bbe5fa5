"""Storage and lock on two real S3 servers and on disk."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from featflow.dataset.listing import list_data_files
from featflow.errors import ConfigurationError, DatasetError, InfrastructureError
from featflow.storage.store import Store


@pytest.fixture(params=["disk", "moto", "rclone"])
def store(request, tmp_path):
    if request.param == "disk":
        return Store(str(tmp_path / "out"))
    options = request.getfixturevalue(f"{request.param}_options")
    return Store(f"s3://lake/out-{time.monotonic_ns()}", options)


def test_bytes_round_trip(store):
    store.write("a/b.bin", b"1")
    store.write("a/b.bin", b"2")
    assert store.read("a/b.bin") == b"2"
    assert store.names("a") == ["b.bin"]
    store.remove("a/b.bin")
    store.remove("a/b.bin")
    assert store.names("a") == []
    with pytest.raises(FileNotFoundError):
        store.read("a/b.bin")


def test_arrow_round_trip_and_projection(store):
    table = pa.table({"x": [1, 2], "y": ["a", None]}).replace_schema_metadata({"version": "1"})
    store.write_arrow("t.arrow", table)
    assert store.read_arrow("t.arrow").equals(table, check_metadata=True)
    (batch,) = store.read_arrow_batches("t.arrow", ["y"])
    assert batch.to_pydict() == {"y": ["a", None]}


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("harm", [flipped, lambda data: data[:-1], lambda data: data[:40], lambda data: data[:1]])
def test_a_damaged_state_is_told(store, harm):
    store.write_arrow("t.arrow", pa.table({"x": range(1_000)}))
    store.write("t.arrow", harm(store.read("t.arrow")))
    for read in (store.read_arrow, lambda path: list(store.read_arrow_batches(path, ["x"]))):
        with pytest.raises(InfrastructureError, match=r"t\.arrow: damaged: .*remove it and run again"):
            read("t.arrow")


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd"])
def test_paths_stay_below_the_root(store, path):
    with pytest.raises(ConfigurationError, match="leaves the output"):
        store.write(path, b"")


def test_listing_on_s3(moto_options):
    store = Store("s3://lake/listing", moto_options)
    table = pa.table({"x": [1]})
    for path in ("day=1/a.parquet", "day=2/b.parquet", "_tmp/c.parquet", "notes.txt"):
        store.write_parquet(path, table)
    files = list_data_files(["s3://lake/listing"], moto_options).files
    assert [file.uri for file in files] == ["s3://lake/listing/day=1/a.parquet", "s3://lake/listing/day=2/b.parquet"]
    assert [file.partitions for file in files] == [(("day", "1"),), (("day", "2"),)]
    assert all(file.version for file in files)
    assert len(list_data_files(["s3://lake/listing/*/b.parquet"], moto_options).files) == 1
    with pytest.raises(DatasetError, match="no such file"):
        list_data_files(["s3://lake/absent"], moto_options)


def test_a_missing_server_is_an_infrastructure_error(free_port):
    options = {"key": "k", "secret": "s3cr3t", "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{free_port}"}}
    options["config_kwargs"] = {"retries": {"max_attempts": 1}, "connect_timeout": 1}
    with pytest.raises(InfrastructureError) as caught:
        list_data_files(["s3://lake/x"], options)
    assert "s3cr3t" not in str(caught.value)


def test_no_such_storage():
    with pytest.raises(ConfigurationError, match="nosuch"):
        list_data_files(["nosuch://x/y"], {})
