"""Every Arrow type met in practice, hive partitions, nested fields, widening."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.columns.column import POSITION, Column, Kind, Role
from featflow.config import parse
from featflow.dataset.batches import BATCH_CELLS, batch_rows, read_batches
from featflow.dataset.dataset import open_dataset
from featflow.errors import ConfigurationError, InputError, SchemaError

NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)
MICROSECONDS = int(NOON.timestamp() * 1_000_000)
CASES = {
    "bool": (pa.array([True, None]), Kind.CATEGORY, ["true", None]),
    "int8": (pa.array([-1, None], pa.int8()), Kind.NUMBER, [-1, None]),
    "int64": (pa.array([2**62 + 1, None], pa.int64()), Kind.NUMBER, [2**62 + 1, None]),
    "uint32": (pa.array([2**32 - 1, None], pa.uint32()), Kind.NUMBER, [2**32 - 1, None]),
    "uint64": (pa.array([2**64 - 1, None], pa.uint64()), Kind.NUMBER, [2**64 - 1, None]),
    "float16": (pa.array(np.array([0.5, 1.0], np.float16)), Kind.NUMBER, [0.5, 1.0]),
    "float32": (pa.array([0.5, None], pa.float32()), Kind.NUMBER, [0.5, None]),
    "float64": (pa.array([0.1, None]), Kind.NUMBER, [0.1, None]),
    "decimal": (pa.array([Decimal("12.50"), None]), Kind.NUMBER, [12.5, None]),
    "string": (pa.array(["ä", None]), Kind.CATEGORY, ["ä", None]),
    "large_string": (pa.array(["x", None], pa.large_string()), Kind.CATEGORY, ["x", None]),
    "string_view": (pa.array(["x", None], pa.string_view()), Kind.CATEGORY, ["x", None]),
    "dictionary": (pa.array(["x", None]).dictionary_encode(), Kind.CATEGORY, ["x", None]),
    "date32": (pa.array([date(1970, 1, 2), None]), Kind.TIME, [86_400_000_000, None]),
    "date64": (pa.array([date(1970, 1, 2), None], pa.date64()), Kind.TIME, [86_400_000_000, None]),
    "timestamp_ns": (pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("ns")), Kind.TIME, [MICROSECONDS, None]),
    "timestamp_zone": (pa.array([NOON, None], pa.timestamp("ms", "Asia/Tokyo")), Kind.TIME, [MICROSECONDS, None]),
    "time32": (pa.array([time(0, 0, 1), None], pa.time32("s")), Kind.TIME, [1_000_000, None]),
    "duration": (pa.array([timedelta(seconds=2), None], pa.duration("ms")), Kind.NUMBER, [2_000_000, None]),
    "null": (pa.nulls(2), Kind.CATEGORY, [None, None]),
}


HOLD_IMAGES = {"blob": "binary", "image": "struct<bytes: binary, path: string>"}


def dataset_of(path, **options):
    return open_dataset(parse({"dataset": {"source": str(path)} | options, "output": "out"}).dataset)


def values(dataset, name):
    found = []
    for shard in dataset.shards:
        for batch in read_batches(shard, dataset.columns, {}, 1_000):
            found += batch.column(name).to_pylist()
    return found


@pytest.mark.parametrize("name", CASES)
def test_types(name, tmp_path):
    array, kind, expected = CASES[name]
    pq.write_table(pa.table({"x": array}), tmp_path / "x.parquet")
    dataset = dataset_of(tmp_path / "x.parquet")
    assert dataset.columns[0].kind is kind
    assert values(dataset, "x") == expected


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int16(), pa.string())]
)
@pytest.mark.parametrize("written", [{}, {"use_dictionary": False}, {"dictionary_pagesize_limit": 64}], ids=str)
def test_strings_are_read_however_they_are_encoded(kind, written, tmp_path):
    """As a dictionary, plain, or as both in one row group, in batches shorter than the dictionary."""
    texts = [None if i % 7 == 0 else f"v{i * i % 1_009}" for i in range(5_000)]
    array = pa.array(texts) if pa.types.is_dictionary(kind) else pa.array(texts, kind)
    table = pa.table({"x": array.cast(kind), "s": pa.StructArray.from_arrays([pa.array(texts)], ["t"])})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2_100, data_page_size=512, **written)
    dataset = dataset_of(tmp_path)
    for rows in (300, 5_000):
        batches = [batch for shard in dataset.shards for batch in read_batches(shard, dataset.columns, {}, rows)]
        assert all(len(batch.column("x").dictionary) <= batch.num_rows <= rows for batch in batches)
        for name in ("x", "s.t"):
            assert [text for batch in batches for text in batch.column(name).to_pylist()] == texts


def test_an_integer_category_keeps_its_identity(tmp_path):
    ids = [2**53, 2**53 + 1, -(2**63), None]
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), tmp_path / "x.parquet")
    dataset = dataset_of(tmp_path, kinds={"id": "category"})
    assert values(dataset, "id") == [None if i is None else str(i) for i in ids]


@pytest.mark.parametrize("other", ["float64", "decimal", "bool", "date32", "duration", "timestamp_zone"])
def test_anything_may_be_a_category(other, tmp_path):
    array, _, _ = CASES[other]
    pq.write_table(pa.table({"x": array}), tmp_path / "x.parquet")
    found = values(dataset_of(tmp_path, kinds={"x": "category"}), "x")
    assert isinstance(found[0], str)
    assert found[1] is None


def test_strings_may_be_numbers_or_times(tmp_path):
    pq.write_table(pa.table({"x": ["1.5", None, "?"], "t": ["2020-01-02T12:00:00", None, "?"]}), tmp_path / "x.parquet")
    dataset = dataset_of(tmp_path, kinds={"x": "number", "t": "time"}, null_values=["?"])
    assert values(dataset, "x") == [1.5, None, None]
    assert values(dataset, "t") == [MICROSECONDS, None, None]


def test_null_values_are_missing(tmp_path):
    pq.write_table(pa.table({"x": ["", "?", "a", None]}), tmp_path / "x.parquet")
    assert values(dataset_of(tmp_path, null_values=["", "?"]), "x") == [None, None, "a", None]
    assert values(dataset_of(tmp_path), "x") == ["", "?", "a", None]


def test_struct_fields_are_dotted_and_other_nesting_is_noted(tmp_path):
    table = pa.table(
        {
            "s": pa.array([{"a": 1, "t": {"b": "x"}}, None]),
            "list": pa.array([[1], [2]]),
            "blob": pa.array([b"1", b"2"]),
            "image": pa.array([{"bytes": b"1", "path": "p"}, None]),
            "a.dot": [1.0, 2.0],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    dataset = dataset_of(tmp_path)
    assert [column.name for column in dataset.columns] == ["s.a", "s.t.b", "a.dot"]
    assert values(dataset, "s.a") == [1, None]
    assert values(dataset, "s.t.b") == ["x", None]
    assert values(dataset, "a.dot") == [1.0, 2.0]
    notes = " ".join(dataset.notes)
    hint = "; if it holds images, name it in dataset.images"
    assert "'list' skipped: list<element: int64> is not analysed " in f"{notes} "
    assert all(f"'{name}' skipped: {kind} is not analysed{hint}" in notes for name, kind in HOLD_IMAGES.items())


def test_hive_partitions_are_columns(tmp_path):
    for day, number in (("2020-01-01", 1), ("2020-01-02", 2), ("__HIVE_DEFAULT_PARTITION__", 3)):
        folder = tmp_path / f"day={day}" / f"n={number}" / "site=a b"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [float(number)]}), folder / "part.parquet")
    dataset = dataset_of(tmp_path)
    kinds = {column.name: column.kind for column in dataset.columns}
    assert kinds == {"x": Kind.NUMBER, "day": Kind.TIME, "n": Kind.NUMBER, "site": Kind.CATEGORY}
    assert values(dataset, "n") == [1, 2, 3]
    assert values(dataset, "day") == [18262 * 86_400_000_000, 18263 * 86_400_000_000, None]
    assert set(values(dataset, "site")) == {"a b"}


def test_a_partition_column_alone_is_read_without_the_file(tmp_path):
    (tmp_path / "part=a").mkdir()
    path = tmp_path / "part=a" / "x.parquet"
    pq.write_table(pa.table({"photo": [bytes(100)] * 50}), path, use_dictionary=False, compression="none")
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 30] = b"\xff" * 30
    path.write_bytes(data)
    dataset = dataset_of(tmp_path, images=["photo"])
    batches = list(read_batches(dataset.shards[0], dataset.columns, {}, 20))
    assert [batch.column("part").to_pylist() for batch in batches] == [["a"] * 20, ["a"] * 20, ["a"] * 10]


def test_globs_lists_and_hidden_files(tmp_path):
    for name in ("a.parquet", "b.parquet", "_hidden.parquet", ".also.parquet"):
        pq.write_table(pa.table({"x": [1.0]}), tmp_path / name)
    assert dataset_of(tmp_path).files == 2
    assert dataset_of(tmp_path / "a*.parquet").files == 1
    assert dataset_of(tmp_path, source=[str(tmp_path / "a.parquet"), str(tmp_path / "?.parquet")]).files == 2


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (pa.int32(), pa.int64(), "int64"),
        (pa.int32(), pa.uint16(), "int64"),
        (pa.float32(), pa.float64(), "float64"),
        (pa.int64(), pa.float32(), "float64"),
        (pa.int64(), pa.uint64(), "float64"),
        (pa.float32(), pa.float32(), "float32"),
    ],
)
def test_numbers_widen(left, right, expected, tmp_path):
    pq.write_table(pa.table({"x": pa.array([1], left)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": pa.array([2, 3], right)}), tmp_path / "b.parquet")
    dataset = dataset_of(tmp_path)
    assert dataset.columns[0].type == expected
    assert values(dataset, "x") == [1, 2, 3]


def test_a_column_that_a_file_lacks_is_missing_there(tmp_path):
    pq.write_table(pa.table({"x": [1.0], "y": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [2.0, 3.0]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"z": [4]}), tmp_path / "c.parquet")
    dataset = dataset_of(tmp_path)
    assert values(dataset, "y") == ["a", None, None, None]
    assert values(dataset, "z") == [None, None, None, 4]


def test_shards_are_runs_of_row_groups_of_about_a_size(tmp_path):
    pq.write_table(pa.table({"x": np.arange(10_000.0)}), tmp_path / "x.parquet", row_group_size=1_000)
    assert [len(s.row_groups) for s in dataset_of(tmp_path, shard_bytes=24_000).shards] == [3, 3, 3, 1]
    assert len(dataset_of(tmp_path, shard_bytes=1).shards) == 10
    assert len(dataset_of(tmp_path).shards) == 1
    dataset = dataset_of(tmp_path, shard_bytes=24_000)
    assert values(dataset, "x") == list(range(10_000))
    assert len({shard.digest for shard in dataset.shards}) == 4


def test_a_shard_names_its_content(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [1.0, 2.0]}), path)
    before = dataset_of(path).shards[0].digest
    assert dataset_of(path).shards[0].digest == before
    pq.write_table(pa.table({"x": [1.0, 2.5, 4.0]}), path)
    assert dataset_of(path).shards[0].digest != before


def test_only_wanted_columns_are_decoded(tmp_path):
    pq.write_table(pa.table({"x": [1.0], "y": ["a"], "z": [2]}), tmp_path / "x.parquet")
    dataset = dataset_of(tmp_path)
    (batch,) = read_batches(dataset.shards[0], dataset.columns[2:], {}, 10)
    assert batch.schema.names == ["z"]


def test_batches_are_bounded_in_cells():
    of = [Column(f"x{index}", "float64", Kind.NUMBER) for index in range(100_000)]
    assert batch_rows(of[:1]) == 2**17
    assert batch_rows(of) == 1024
    photo = Column("p", "image", Kind.IMAGE)
    assert [batch_rows([photo, *of], size) for size in (1_000, 5 * 2**20, 10**9)] == [4096, 6, 1]
    assert all(batch_rows(of[:columns]) * columns <= BATCH_CELLS for columns in (1, 100, 8_000))


@pytest.mark.parametrize(("there", "sizes"), [(200, [200]), (168, [200]), (167, [32] * 6 + [8]), (0, [32] * 6 + [8])])
def test_batches_of_images_that_lie_elsewhere_are_short(there, sizes, tmp_path):
    """Where most images lie in the file, a few that do not cost nothing; either way no row is lost or moved."""
    (tmp_path / "a.png").write_bytes(b"a")
    images = [{"bytes": b"b", "path": "no"} if row < there else {"bytes": None, "path": "a.png"} for row in range(200)]
    pq.write_table(
        pa.table({"s": pa.array([{"image": image} for image in images]), "x": range(200)}), tmp_path / "x.pq"
    )
    dataset = dataset_of(tmp_path, images=["s.image"])
    columns = (*dataset.images, *dataset.columns, POSITION)
    batches = list(read_batches(dataset.shards[0], columns, {}, 1_000))
    assert [len(batch) for batch in batches] == sizes
    table = pa.Table.from_batches(batches)
    expected = [{"bytes": b"b" if row < there else b"a", "error": None} for row in range(200)]
    assert table["s.image"].to_pylist() == expected
    assert table["x"].to_pylist() == list(range(200))
    (alone,) = read_batches(dataset.shards[0], (POSITION,), {}, 1_000)
    assert table[POSITION.name].to_pylist() == alone.column(0).to_pylist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": ["phto"]}, "dataset.images: no column 'phto'; the nearest is 'photo'"),
        ({"images": ["x"]}, "dataset.images: 'x' is int64 in .*; images are bytes, structs of bytes and path, or URIs"),
        ({"targets": ["photo"]}, "'photo' stands in dataset.targets and in dataset.images; take it out of one"),
        ({"entity": ["photo"]}, "'photo' stands in dataset.entity and in dataset.images; take it out of one"),
        ({"exclude": ["photo"]}, "'photo' stands in dataset.exclude and in dataset.images; take it out of one"),
        ({"exclude": ["s"], "images": ["s.photo"]}, "dataset.exclude leaves out what 's.photo' is a field of"),
        ({"kinds": {"photo": "text"}}, "'photo' stands in dataset.images and is text in dataset.kinds"),
        ({"targets": ["photo"], "images": []}, "dataset.targets: 'photo' is binary, which is not analysed; choose"),
    ],
)
def test_columns_that_cannot_be_images(options, said, tmp_path):
    photo = pa.array([b"1"])
    table = pa.table({"photo": photo, "x": [1], "s": pa.StructArray.from_arrays([photo], ["photo"])})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InputError, match=said):
        dataset_of(tmp_path, **{"images": ["photo"]} | options)


def test_roles(tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "at": [1, 2], "x": [1, 2], "y": [0, 1]}), tmp_path / "x.parquet")
    dataset = dataset_of(tmp_path, entity=["id"], event_time="at", targets=["y"])
    assert {c.name: c.role for c in dataset.columns} == {"at": Role.EVENT_TIME, "x": Role.FEATURE, "y": Role.TARGET}
    with pytest.raises(ConfigurationError, match=r"'y' stands in dataset\.targets and in dataset\.exclude"):
        dataset_of(tmp_path, targets=["y"], exclude=["y"])
    with pytest.raises(SchemaError, match="no column is left"):
        dataset_of(tmp_path, exclude=["id", "at", "x", "y"])
