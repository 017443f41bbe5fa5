"""Iceberg tables: every profile equals that of the rows that the package pyiceberg reads itself."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_tables import check_profile, commit_deletes, delete_positions, rows, run, sql_catalog

from featflow.config import parse
from featflow.dataset import footers
from featflow.dataset.dataset import open_dataset
from featflow.dataset.options import DatasetOptions
from featflow.dataset.sources.storage import delta_options, failure
from featflow.errors import ConfigurationError, DatasetError, InfrastructureError

pytest.importorskip("pyiceberg")
SOURCE = "iceberg:lake.ns.flights"


class Lake:
    """A table in a catalog, and runs over it."""

    def __init__(self, folder):
        self.folder = folder
        self.catalog, self.properties = sql_catalog(folder / "lake")

    def create(self, schema, **options):
        return self.catalog.create_table("ns.flights", schema=schema, **options)

    def run(self, name="out", **options):
        return run(SOURCE, self.folder / name, catalog=self.properties, **options)

    def check(self, **options):
        """A run, a run from nothing and the library agree."""
        done = self.run(**options)
        check_profile(done, self.catalog.load_table("ns.flights").scan().to_arrow())
        whole = self.run(f"whole {done.run_id}", **options)
        assert done.table("profile").equals(whole.table("profile"), null_equal=True)
        return done


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


@pytest.fixture
def read_footers(monkeypatch):
    """URIs of the files whose footers are read."""
    uris, read = [], footers.read_footer

    def noted(file, options):
        uris.append(file.uri)
        return read(file, options)

    monkeypatch.setattr(footers, "read_footer", noted)
    return uris


def test_appended_overwritten_and_deleted_rows(lake, read_footers):
    table = lake.create(rows(1).schema)
    table.append(rows(200))
    lake.check()
    table.append(rows(150, 1))
    assert lake.check().manifest["shards"] == {"total": 2, "computed": 1, "reused": 1}
    table.delete("x > 1")
    lake.check()
    table.overwrite(rows(90, 2))
    assert lake.check().manifest["rows"]["read"] == 90
    assert read_footers == []  # manifests say all


def test_partitioned_by_value_and_by_transform(lake):
    from pyiceberg.transforms import BucketTransform, IdentityTransform

    table = lake.create(rows(1).schema)
    with table.update_spec() as update:
        update.add_field("level", IdentityTransform())
        update.add_field("count", BucketTransform(2))
    table.append(rows(100))
    with table.update_spec() as update:
        update.remove_field("level")
        update.add_field("day", IdentityTransform())
    table.append(rows(50, 1))
    lake.check()


@pytest.mark.parametrize("vectors", [False, True])
def test_positional_deletes_and_deletion_vectors(lake, vectors):
    table = lake.create(rows(1).schema)
    table.append(rows(300))
    table.append(rows(40, 1))
    lake.run()
    first, second = (task.file.file_path for task in table.scan().plan_files())
    delete_positions(table, {first: [0, 5], second: [39]}, vectors=vectors)
    delete_positions(table, {second: [1, 2]}, vectors=vectors)
    done = lake.check()
    assert done.manifest["rows"]["read"] == 335
    assert done.manifest["shards"] == {"total": 2, "computed": 2, "reused": 0}
    table.append(rows(10, 2))  # deletes do not reach rows that come later
    assert lake.check().manifest["shards"] == {"total": 3, "computed": 1, "reused": 2}


def test_deletes_over_several_row_groups(lake, read_footers):
    table = lake.create(rows(1).schema, properties={"write.parquet.row-group-limit": "100"})
    table.append(rows(350))
    (path,) = (task.file.file_path for task in table.scan().plan_files())
    delete_positions(table, {path: [0, 99, 100, *range(150, 250), 349]})
    options = DatasetOptions(source=SOURCE, catalog=lake.properties)
    (shard,) = open_dataset(options).shards
    assert shard.group_rows == (98, 49, 50, 49)
    lake.check(shard_bytes=1)
    assert len(read_footers) == 3  # its groups are not in the manifest


def test_deletes_beyond_the_file_are_refused(lake):
    table = lake.create(rows(1).schema)
    table.append(rows(5))
    (path,) = (task.file.file_path for task in table.scan().plan_files())
    delete_positions(table, {path: [2, 5]})
    with pytest.raises(DatasetError, match="row 5 is deleted, and the file has 5 rows"):
        lake.run()


def test_renamed_added_dropped_and_promoted_columns(lake):
    from pyiceberg.types import DoubleType, LongType

    schema = pa.schema(
        [("a", pa.int32()), ("b", pa.float32()), ("gone", pa.string()), ("s", pa.struct([("u", pa.int32())]))]
    )
    piece = {"a": [1, 2, None], "b": [1.5, 2.5, 2.5], "gone": ["x", "y", "y"], "s": [{"u": 1}, {"u": 2}, {"u": 2}]}
    table = lake.create(schema)
    table.append(pa.table(piece, schema=schema))
    lake.run()
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.rename_column("a", "first")
        update.rename_column("s.u", "inner")
        update.update_column("b", DoubleType())
        update.update_column("a", LongType())
        update.delete_column("gone")
    with table.update_schema() as update:
        update.add_column("a", LongType())
        update.add_column("gone", DoubleType())
    done = lake.check()
    missing = {row["column"]: row["missing"] for row in done.table("profile").to_dicts()}
    assert missing == {"first": 1, "b": 0, "s.inner": 0, "a": 3, "gone": 3}
    table.append(
        pa.table({"first": [2**40], "b": [0.1], "s": [{"inner": 5}], "a": [1], "gone": [0.5]}).cast(
            table.schema().as_arrow()
        )
    )
    lake.check()


def test_an_added_column_asks_no_footer_of_known_files(lake, read_footers):
    from pyiceberg.types import LongType

    table = lake.create(rows(1).schema)
    table.append(rows(30))
    lake.run()
    with table.update_schema() as update:
        update.add_column("late", LongType())
    table.append(rows(20, 1).append_column("late", pa.array(range(20))))
    first = lake.run()
    assert read_footers == []
    whole = lake.run("another")
    assert len(read_footers) == 1
    assert first.manifest["inputs"] == whole.manifest["inputs"]
    lake.check()


def test_a_default_stands_in_files_that_lack_the_column(lake):
    from pyiceberg.types import DateType, LongType, StringType

    table = lake.create(rows(1).schema)
    table.append(rows(30))
    with table.update_schema() as update:
        update.add_column("number", LongType(), default_value=5)
        update.add_column("word", StringType(), default_value="none")
        update.add_column("date", DateType(), default_value=date(2026, 1, 2))
    table.append(rows(10, 1).append_column("number", pa.array(range(10))))
    done = lake.check()
    assert done.table("profile").filter(column="number")["max"].item() == 9


def test_files_without_field_ids_by_name_mapping(lake, tmp_path):
    table = lake.create(pa.schema([("a", pa.int64()), ("p", pa.string())]))
    path = tmp_path / "lake/plain.parquet"
    pq.write_table(pa.table({"a": [1, 2, 2], "p": ["x", "y", "y"]}), path)
    table.add_files([str(path)])
    lake.check()
    with table.update_schema() as update:
        update.rename_column("a", "b")
    table.append(pa.table({"b": [7], "p": ["z"]}))
    lake.check()


def test_every_name_that_a_mapping_gives_a_column_is_looked_for(lake, tmp_path):
    inner = pa.struct([("u", pa.int64())])
    table = lake.create(pa.schema([("a", pa.int64()), ("s", inner)]))

    def move_in(**columns):
        path = tmp_path / f"lake/{'-'.join(columns)}.parquet"
        pq.write_table(pa.table(columns), path)
        table.add_files([str(path)])

    move_in(a=[1, 2, 2], s=[{"u": 1}, {"u": 2}, {"u": 3}])
    with table.update_schema() as update:
        update.rename_column("a", "b")
        update.rename_column("s.u", "v")
        update.rename_column("s", "t")
    move_in(b=[7, 8], t=[{"v": 4}, {"v": 5}])
    done = lake.check()
    assert {row["column"]: row["missing"] for row in done.table("profile").to_dicts()} == {"b": 0, "t.v": 0}


def add_file(table, piece, **description):
    """Commit a file whose manifest entry says no more of its content than this."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    sink = pa.BufferOutputStream()
    pq.write_table(piece, sink)
    path = Path(table.location().removeprefix("file://")) / "data/moved in.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sink.getvalue().to_pybytes())
    facts = {"record_count": piece.num_rows, "file_size_in_bytes": path.stat().st_size, "split_offsets": [4]}
    place = {"file_path": f"file://{path}", "file_format": FileFormat.PARQUET}
    file = DataFile.from_args(content=DataFileContent.DATA, **place, **facts | description)
    file.spec_id = table.spec().spec_id
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        append.append_data_file(file)


def test_a_partition_value_that_files_lack_comes_from_metadata(lake):
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.typedef import Record
    from pyiceberg.types import DateType, LongType, NestedField

    schema = Schema(NestedField(1, "a", LongType(), required=False), NestedField(2, "d", DateType(), required=False))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="d"))
    table = lake.catalog.create_table("ns.flights", schema=schema, partition_spec=spec)
    table.append(pa.table({"a": [1, 2], "d": pa.array([date(2026, 1, 2)] * 2)}))
    field = pa.field("a", pa.int64(), metadata={"PARQUET:field_id": "1"})  # as files that were moved in from Hive
    add_file(table, pa.table([pa.array([1, 2])], schema=pa.schema([field])), partition=Record(20_000))
    done = lake.run(event_time="d")
    check_profile(done, pa.table({"a": [1, 2, 1, 2], "d": [date(2026, 1, 2)] * 2 + [date(2024, 10, 4)] * 2}))
    assert lake.run("last", event_time="d", window="last 1 day").manifest["rows"]["read"] == 2


def test_a_file_that_is_not_as_its_manifest_says_is_named(lake):
    from pyiceberg.typedef import Record

    table = lake.create(pa.schema([("a", pa.int64())]))
    field = pa.field("a", pa.int64(), metadata={"PARQUET:field_id": "1"})
    piece = pa.table([pa.array([1, 2])], schema=pa.schema([field]))
    add_file(table, piece, partition=Record(), record_count=3)
    with pytest.raises(DatasetError, match="2 rows in its footer where the table's metadata counts 3"):
        lake.run()


def test_earlier_snapshots(lake):
    table = lake.create(rows(1).schema)
    table.append(rows(30))
    first, read = table.current_snapshot().snapshot_id, table.scan().to_arrow()
    table.append(rows(20, 1))
    done = lake.run(version=first)
    check_profile(done, read)
    assert done.manifest["sources"][0]["version"] == first
    check_profile(lake.run("later", version=datetime.now(UTC) + timedelta(hours=1)), table.scan().to_arrow())
    with pytest.raises(DatasetError, match=f"no snapshot 7; .*{first}"):
        lake.run(version=7)
    with pytest.raises(DatasetError, match="younger than 1999"):
        lake.run(version=datetime(1999, 1, 1, tzinfo=UTC))


def test_equality_deletes_are_refused_by_name(lake):
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    table = lake.create(rows(1).schema)
    table.append(rows(30))
    place = {"file_path": f"{table.location()}/data/equal.parquet", "file_format": FileFormat.PARQUET}
    counts = {"record_count": 1, "file_size_in_bytes": 9, "equality_ids": [1], "partition": Record()}
    commit_deletes(table, DataFile.from_args(content=DataFileContent.EQUALITY_DELETES, **place, **counts))
    with pytest.raises(DatasetError, match=r"equal\.parquet deletes rows by the values of columns"):
        lake.run()


def test_what_is_not_there_is_named(lake, monkeypatch):
    with pytest.raises(DatasetError, match=r"has no table 'ns\.flights'"):
        lake.run()
    lake.create(rows(1).schema)
    with pytest.raises(DatasetError, match="no snapshot, and so no rows"):
        lake.run()
    with pytest.raises(ConfigurationError, match=r"write iceberg:CATALOG\.NAMESPACE\.TABLE"):
        run("iceberg:flights", lake.folder / "out")
    with pytest.raises(ConfigurationError, match=r"'nowhere'.*configure it in \.pyiceberg\.yaml"):
        run("iceberg:nowhere.ns.flights", lake.folder / "out")
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'featflow\[iceberg\]'"):
        lake.run()


def test_secrets_of_a_catalog_are_written_nowhere(lake, free_port):
    secret = "s3cr3t-of-the-catalog"
    lake.create(rows(1).schema).append(rows(30))
    lake.properties |= {"token": secret, "s3.secret-access-key": secret}
    done = lake.run()
    assert secret not in repr(parse({"dataset": {"source": SOURCE, "catalog": lake.properties}, "output": "out"}))
    for path in (lake.folder / "out").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    assert "catalog" not in done.manifest["config"]["dataset"]
    rest = {"type": "rest", "uri": f"http://me:{secret}@127.0.0.1:{free_port}", "token": secret}
    with pytest.raises(InfrastructureError) as error:
        run(SOURCE, lake.folder / "other", catalog=rest)
    assert secret not in str(error.value)


def test_references_in_properties_of_a_catalog(lake, monkeypatch):
    lake.create(rows(1).schema).append(rows(30))
    lake.properties["uri"], uri = "${env:CATALOG_URI}", lake.properties["uri"]
    with pytest.raises(ConfigurationError, match=r"dataset\.catalog\.uri: .*CATALOG_URI is not set"):
        lake.run()
    monkeypatch.setenv("CATALOG_URI", uri)
    assert lake.run().manifest["rows"]["read"] == 30
    monkeypatch.setenv("KEY", "me")
    assert delta_options({"s3": {"key": "${env:KEY}"}}) == {"AWS_ACCESS_KEY_ID": "me"}


def test_a_window_by_bounds_in_manifests(lake):
    table = lake.create(pa.schema([("x", pa.int64()), ("at", pa.timestamp("us", "UTC"))]))
    for day in range(1, 5):
        table.append(
            pa.table({"x": range(day), "at": [datetime(2026, 1, day, hour, tzinfo=UTC) for hour in range(day)]})
        )
    done = lake.run(event_time="at", window="last 2 days")
    assert done.manifest["rows"]["read"] == 3 + 4


@pytest.mark.parametrize("damaged", ["*.metadata.json", "snap-*.avro", "*-deletes.parquet"])
def test_damaged_metadata_is_no_matter_of_a_retry(lake, damaged):
    table = lake.create(rows(1).schema)
    table.append(rows(30))
    (path,) = (task.file.file_path for task in table.scan().plan_files())
    delete_positions(table, {path: [1]})
    for found in Path(table.location().removeprefix("file://")).rglob(damaged):
        found.write_bytes(found.read_bytes()[:40])
    with pytest.raises(DatasetError, match=r"cannot be read|damaged"):
        lake.run()


def test_a_store_that_lets_nobody_in_is_a_matter_of_the_configuration():
    error = failure(
        "iceberg:lake.ns.flights", OSError("AWS Error ACCESS_DENIED for s3cr3t-token"), {"token": "s3cr3t-token"}
    )
    assert isinstance(error, ConfigurationError)
    assert "s3cr3t-token" not in str(error)
    assert isinstance(failure("delta:x", OSError("tcp connect error"), {}), InfrastructureError)
