"""Delta and Iceberg tables that tests make, what the packages cannot write included, and what profiles must say."""

from __future__ import annotations

import base64
import json
import math
import struct
import uuid
import zlib
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import featflow

B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
DELTA_MAGIC, PUFFIN_MAGIC = 1681511377, b"\xd1\xd3\x39\x64"


def rows(count, seed=0):
    """Rows of all kinds that matter, missing values among them."""
    random = np.random.default_rng(seed)
    days = [date(2026, 1, 1 + int(day)) for day in random.integers(0, 3, count)]
    return pa.table(
        {
            "x": pa.array(random.normal(size=count), mask=random.random(count) < 0.1),
            "level": pa.array([f"level {value}" for value in random.integers(0, 5, count)]),
            "count": pa.array(random.integers(0, 100, count), pa.int32()),
            "at": pa.array(1_700_000_000_000_000 + random.integers(0, 10**12, count), pa.timestamp("us", "UTC")),
            "day": pa.array(days, mask=random.random(count) < 0.1),
            "nested": pa.array([{"a": int(value), "b": float(value)} for value in random.integers(0, 9, count)]),
        }
    )


def run(source, output, engine="serial", **options):
    return featflow.run({"dataset": {"source": source} | options, "output": str(output), "engine": {"kind": engine}})


def columns_of(table):
    """Every column of a table as an array, those of structs by dotted name."""
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return {name: table[name].combine_chunks() for name in table.column_names}


def numbers(array):
    """The values of a column of numbers, or of times in microseconds; none for others."""
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    return array.drop_null().to_numpy().astype(float) if is_number else ()


def check_profile(run, table):
    """Hold the profile of a run against the rows that the table's own library gives."""
    profile = {row["column"]: row for row in run.table("profile").to_dicts()}
    expected = columns_of(table)
    assert set(profile) == set(expected)
    for name, array in expected.items():
        row = profile[name]
        assert (row["rows"], row["missing"]) == (table.num_rows, array.null_count), name
        assert row["distinct"] == pc.count_distinct(array).as_py(), name
        values = numbers(array)
        if len(values):
            assert (row["min"], row["max"]) == (values.min(), values.max()), name
            assert math.isclose(row["mean"], math.fsum(values) / len(values), rel_tol=1e-12, abs_tol=1e-12), name
    assert run.manifest["rows"]["read"] == table.num_rows
    assert [source["rows"] for source in run.manifest["sources"]] == [table.num_rows]


def z85(data):
    padded = data + b"\0" * (-len(data) % 4)
    return base64.b85encode(padded).decode().translate(str.maketrans(B85, Z85))


def bitmap_array(positions):
    """A 64-bit roaring bitmap, as Delta and Iceberg keep it behind their magic numbers."""
    from pyroaring import BitMap

    high = sorted({position >> 32 for position in positions})
    maps = (
        struct.pack("<i", key) + BitMap([p & 0xFFFFFFFF for p in positions if p >> 32 == key]).serialize()
        for key in high
    )
    return struct.pack("<q", len(high)) + b"".join(maps)


class DeltaLog:
    """The log of a table on this machine, for commits that the package deltalake does not write."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def actions(self):
        paths = sorted((self.folder / "_delta_log").glob("*.json"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def adds(self):
        """The files of the table, by path."""
        files = {}
        for action in self.actions():
            if "add" in action:
                files[action["add"]["path"]] = action["add"]
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
        return files

    def commit(self, *actions):
        version = len(list((self.folder / "_delta_log").glob("*.json")))
        text = "\n".join(json.dumps(action) for action in actions)
        (self.folder / f"_delta_log/{version:020d}.json").write_text(text + "\n")

    def protocol(self, *features, reader=3, writer=7):
        listed = {"readerFeatures": list(features), "writerFeatures": list(features)} if reader == 3 else {}
        self.commit({"protocol": {"minReaderVersion": reader, "minWriterVersion": writer} | listed})

    def change_schema(self, change):
        """Commit the table's metadata with another schema."""
        metadata = next(action for action in reversed(self.actions()) if "metaData" in action)["metaData"]
        schema = json.loads(metadata["schemaString"])
        change(schema["fields"])
        self.commit({"metaData": metadata | {"schemaString": json.dumps(schema)}})

    def delete_rows(self, path, positions, kind):
        """Commit a deletion vector of a file: inline (i), or in a file of its own by relative (u) or full path (p)."""
        add = self.adds()[path]
        data = struct.pack("<i", DELTA_MAGIC) + bitmap_array(positions)
        vector = {"storageType": kind, "sizeInBytes": len(data), "cardinality": len(positions)}
        if kind == "i":
            vector["pathOrInlineDv"] = z85(data)
        else:
            name = uuid.uuid4()
            place = self.folder / f"deletion_vector_{name}.bin"
            place.write_bytes(b"\1" + struct.pack(">i", len(data)) + data + struct.pack(">I", zlib.crc32(data)))
            vector |= {"offset": 1, "pathOrInlineDv": z85(name.bytes) if kind == "u" else place.as_uri()}
        remove = {"path": path, "deletionTimestamp": 1, "dataChange": True}
        if add.get("deletionVector"):
            remove["deletionVector"] = add["deletionVector"]
        self.commit({"remove": remove}, {"add": add | {"deletionVector": vector}})


def delta_rows(uri, **options):
    """The rows that the package deltalake reads itself."""
    from deltalake import DeltaTable, QueryBuilder

    table = DeltaTable(uri, **options)
    names = ", ".join(f'"{field.name}"' for field in table.schema().fields)
    read = pa.table(QueryBuilder().register("lake", table).execute(f"select {names} from lake"))
    return read.cast(
        pa.schema([f.with_type(pa.string()) if pa.types.is_string_view(f.type) else f for f in read.schema])
    )


def sql_catalog(folder, warehouse=None, **properties):
    """An Iceberg catalog on SQLite, with a namespace, and the properties that reach it."""
    from pyiceberg.catalog import load_catalog

    folder.mkdir(parents=True, exist_ok=True)
    properties |= {
        "type": "sql",
        "uri": f"sqlite:///{folder}/catalog.db",
        "warehouse": warehouse or f"file://{folder}/warehouse",
    }
    catalog = load_catalog("lake", **properties)
    catalog.create_namespace_if_not_exists("ns")
    return catalog, properties


def delete_positions(table, positions, *, vectors=False):
    """Commit positional deletes, by data file, which pyiceberg does not write: a file of them, or Puffin."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    folder, number = table.location(), uuid.uuid4()
    if vectors:
        path, content = f"{folder}/data/{number}.puffin", puffin(positions)
    else:
        path, content = f"{folder}/data/{number}-deletes.parquet", position_deletes(positions)
    with table.io.new_output(path).create() as sink:
        sink.write(content)
    commit_deletes(
        table,
        DataFile.from_args(
            content=DataFileContent.POSITION_DELETES,
            file_path=path,
            file_format=FileFormat.PUFFIN if vectors else FileFormat.PARQUET,
            partition=next(iter(table.scan().plan_files())).file.partition,
            record_count=sum(len(each) for each in positions.values()),
            file_size_in_bytes=len(content),
        ),
    )


def position_deletes(positions):
    pairs = sorted((path, position) for path, each in positions.items() for position in each)
    fields = [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "2147483545"}),
    ]
    sink = pa.BufferOutputStream()
    paths, rows = zip(*pairs, strict=True)
    pq.write_table(pa.table([pa.array(paths), pa.array(rows)], schema=pa.schema(fields)), sink)
    return sink.getvalue().to_pybytes()


def puffin(positions):
    """A Puffin file of deletion vectors, a blob a data file."""
    content, blobs = b"PFA1", []
    for path, each in positions.items():
        data = PUFFIN_MAGIC + bitmap_array(each)
        blob = struct.pack(">i", len(data)) + data + struct.pack(">I", zlib.crc32(data))
        properties = {"referenced-data-file": path, "cardinality": str(len(each))}
        place = {"offset": len(content), "length": len(blob), "snapshot-id": -1, "sequence-number": -1}
        blobs.append({"type": "deletion-vector-v1", "fields": [], "properties": properties} | place)
        content += blob
    footer = json.dumps({"blobs": blobs}).encode()
    return content + b"PFA1" + footer + struct.pack("<i", len(footer)) + b"\0\0\0\0PFA1"


def commit_deletes(table, file):
    """Commit a delete file."""
    from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestWriterV2
    from pyiceberg.table.update.snapshot import _FastAppendFiles

    class DeletesWriter(ManifestWriterV2):
        def content(self):
            return ManifestContent.DELETES

        @property
        def _meta(self):
            return super()._meta | {"content": "deletes"}

    class AppendDeletes(_FastAppendFiles):
        def _manifests(self):
            spec, schema = self._transaction.table_metadata.spec(), self._transaction.table_metadata.schema()
            output = self.new_manifest_output()
            with DeletesWriter(spec, schema, output, self._snapshot_id, "null") as writer:
                entry = ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, data_file=file
                )
                writer.add(entry)
            return [writer.to_manifest_file(), *self._existing_manifests()]

    from pyiceberg.table.snapshots import Operation

    file.spec_id = table.spec().spec_id
    with table.transaction() as transaction:
        AppendDeletes(operation=Operation.APPEND, transaction=transaction, io=table.io).commit()
