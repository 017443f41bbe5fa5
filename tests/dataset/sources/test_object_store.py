"""Tables on an object store: what a night after an append asks for, counted at the wire."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest
from faulty_proxy import faulty_proxy
from lake_tables import DeltaLog, check_profile, delete_positions, delta_rows, rows, run, sql_catalog

from featflow.dataset.dataset import open_dataset
from featflow.dataset.options import DatasetOptions
from featflow.dataset.sources.storage import delta_options, iceberg_options


@pytest.fixture
def counted(moto_options):
    """A proxy before the store, which knows the paths that were asked for, and options that go through it."""
    with faulty_proxy(moto_options, 0) as (proxy, options):
        yield proxy, options


def asked(proxy, files):
    """How many requests there were for each of some files since the last call."""
    counts = {file: sum(file.rpartition("/")[2] in path for path in proxy.paths) for file in files}
    proxy.paths.clear()
    return counts


def test_a_night_of_a_delta_table_asks_for_new_files_only(moto_options, counted, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    proxy, options = counted
    uri, store = "s3://lake/delta/flights", delta_options(moto_options)
    deltalake.write_deltalake(uri, rows(200), storage_options=store, partition_by=["level"])
    known = deltalake.DeltaTable(uri, storage_options=store).file_uris()

    def night(name="out"):
        return run(f"delta:{uri}", tmp_path / name, storage_options=options)

    check_profile(night(), delta_rows(uri, storage_options=store))
    assert all(asked(proxy, known).values())
    deltalake.write_deltalake(uri, rows(100, 1), storage_options=store, mode="append", partition_by=["level"])
    new = set(deltalake.DeltaTable(uri, storage_options=store).file_uris()) - set(known)
    second = night()
    assert second.manifest["shards"] == {"total": 10, "computed": 5, "reused": 5}
    counts = asked(proxy, [*known, *new])
    assert {counts[file] for file in known} == {0}
    assert all(counts[file] for file in new)
    check_profile(second, delta_rows(uri, storage_options=store))
    assert second.table("profile").equals(night("whole").table("profile"), null_equal=True)


def test_rows_are_deleted_of_a_delta_table_whose_paths_hold_any_text(moto_options, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    fsspec = pytest.importorskip("fsspec")
    uri, store, log = "s3://lake/sp ace/t", delta_options(moto_options), DeltaLog(tmp_path)
    table = pa.table({"x": list(range(10)), "key": ["a b", "x/y", "ü=1", "100%", "a%20b"] * 2})
    deltalake.write_deltalake(uri, table, storage_options=store, partition_by=["key"])
    bucket = fsspec.filesystem("s3", **moto_options)
    bucket.get(f"{uri}/_delta_log/", f"{tmp_path}/_delta_log/", recursive=True)
    log.protocol("deletionVectors")
    for path in log.adds():
        log.delete_rows(path, [0], "i")
    bucket.put(f"{tmp_path}/_delta_log/", f"{uri}/_delta_log/", recursive=True)
    done = run(f"delta:{uri}", tmp_path / "out", storage_options=moto_options)
    check_profile(done, delta_rows(uri, storage_options=store))
    assert done.manifest["rows"]["read"] == 5


def test_a_night_of_an_iceberg_table_asks_for_new_files_only(moto_options, counted, tmp_path):
    pytest.importorskip("pyiceberg")
    proxy, options = counted
    store = iceberg_options(moto_options) | {"s3.region": "us-east-1"}
    catalog, properties = sql_catalog(tmp_path / "catalog", "s3://lake/iceberg", **store)
    table = catalog.create_table("ns.flights", schema=rows(1).schema)
    table.append(rows(200))
    lent = properties | iceberg_options(options)

    def night(name="out"):
        return run("iceberg:lake.ns.flights", tmp_path / name, catalog=lent)  # the catalog alone knows how to get in

    (first,) = (task.file.file_path for task in table.scan().plan_files())
    delete_positions(table, {first: [1, 2]})
    check_profile(night(), table.scan().to_arrow())
    known = [first, *(each.file_path for task in table.scan().plan_files() for each in task.delete_files)]
    assert all(asked(proxy, known).values())
    table.append(rows(100, 1))
    new = {task.file.file_path for task in table.scan().plan_files()} - set(known)
    second = night()
    counts = asked(proxy, [*known, *new])
    assert {counts[file] for file in known} == {0}
    assert all(counts[file] for file in new)
    check_profile(second, table.scan().to_arrow())
    assert second.table("profile").equals(night("whole").table("profile"), null_equal=True)


@contextmanager
def rest_catalog(table, lent):
    """A REST catalog of one table, which lends credentials with it; yield its properties."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = {"defaults": {}, "overrides": {}}
            if not self.path.startswith("/v1/config"):
                metadata = json.loads(table.metadata.model_dump_json())
                answer = {"metadata-location": table.metadata_location, "metadata": metadata, "config": lent}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield {"type": "rest", "uri": f"http://127.0.0.1:{server.server_address[1]}", "token": "of the catalog"}
    finally:
        server.shutdown()
        server.server_close()


def test_credentials_that_a_catalog_lends_read_the_files_and_are_written_nowhere(moto_options, tmp_path):
    pytest.importorskip("pyiceberg")
    lent = iceberg_options(moto_options) | {"s3.region": "us-east-1"}
    catalog, _ = sql_catalog(tmp_path / "catalog", "s3://lake/lent", **lent)
    table = catalog.create_table("ns.flights", schema=rows(1).schema)
    table.append(rows(100))
    with rest_catalog(table, lent) as properties:
        done = run("iceberg:rest.ns.flights", tmp_path / "out", catalog=properties)
    check_profile(done, table.scan().to_arrow())
    for path in (tmp_path / "out").rglob("*"):
        content = b"" if path.is_dir() else path.read_bytes()
        assert lent["s3.secret-access-key"].encode() not in content, path
        assert b"of the catalog" not in content, path


@pytest.mark.parametrize("below", [False, True])
def test_credentials_that_a_catalog_lends_leave_other_options_as_they_are(moto_options, tmp_path, below):
    pytest.importorskip("pyiceberg")
    lent = iceberg_options(moto_options) | {"s3.region": "us-east-1"}
    catalog, _ = sql_catalog(tmp_path / "catalog", "s3://lake/kept", **lent)
    catalog.create_table("ns.flights", schema=rows(1).schema).append(rows(10))
    own = {"default_block_size": 2**20, "key": "another", "client_kwargs": {"verify": False}}
    with rest_catalog(catalog.load_table("ns.flights"), lent) as properties:
        options = {"source": "iceberg:rest.ns.flights", "catalog": properties}
        dataset = open_dataset(DatasetOptions(**options, storage_options={"s3": own} if below else own))
    (used,) = (shard.file.options for shard in dataset.shards)
    assert used["default_block_size"] == 2**20
    assert used["client_kwargs"]["verify"] is False
    assert used["client_kwargs"]["endpoint_url"] == lent["s3.endpoint"]
    assert used["client_kwargs"]["aws_access_key_id"] == lent["s3.access-key-id"]
    assert "key" not in used  # of another account
