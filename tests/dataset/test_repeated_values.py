"""Values that a file stores once and repeats: batches are bounded by what they are once they are read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.config import parse
from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import open_dataset
from featflow.dataset.repeated_values import longest_repeated
from featflow.dataset.row_groups import REPEATED_BYTES

PICTURE = np.random.default_rng(11).bytes(2**18)
ROWS = 300
"""Some 75 MiB of the picture, beyond two batches."""


def batches_of(path, rows=4096, **options):
    dataset = open_dataset(parse({"dataset": {"source": str(path)} | options, "output": "out"}).dataset)
    columns = (*dataset.images, *dataset.columns)
    return [batch for shard in dataset.shards for batch in read_batches(shard, columns, {}, rows)]


def bytes_and_path(data):
    return [{"bytes": each, "path": None} for each in data]


@pytest.mark.parametrize("stored", [pa.array, bytes_and_path, lambda data: pa.array(data).dictionary_encode()])
@pytest.mark.parametrize("others", [[], [b"another"] * ROWS], ids=["repeated alone", "after short ones"])
def test_a_repeated_picture_does_not_outgrow_a_batch(stored, others, tmp_path):
    """In 0.3 MB of file; short rows that come before it say nothing of those to come."""
    data = [*others, *[PICTURE] * ROWS]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"photo": stored(data)}), path)
    assert path.stat().st_size < 2 * len(PICTURE)
    batches = batches_of(path, images=["photo"])
    assert max(batch.nbytes for batch in batches) < 1.1 * REPEATED_BYTES
    assert [row for batch in batches for row in batch["photo"].field("bytes").to_pylist()] == data


@pytest.mark.parametrize("stored", [pa.array, lambda data: pa.array(data, pa.binary(len(PICTURE))), bytes_and_path])
def test_a_picture_repeated_as_a_prefix_or_of_fixed_length_does_not_outgrow_a_batch(stored, tmp_path):
    """Each is the whole prefix of the next; or all values have one length, which the schema says."""
    data = [PICTURE] * ROWS
    column = stored(data)
    is_fixed = isinstance(column, pa.Array) and pa.types.is_fixed_size_binary(column.type)
    leaf = "photo" if isinstance(column, pa.Array) else "photo.bytes"
    written = {} if is_fixed else {"use_dictionary": False, "column_encoding": {leaf: "DELTA_BYTE_ARRAY"}}
    pq.write_table(pa.table({"photo": column}), tmp_path / "x.parquet", **written)
    assert (tmp_path / "x.parquet").stat().st_size < 2 * len(PICTURE)
    batches = batches_of(tmp_path, images=["photo"])
    assert max(batch.nbytes for batch in batches) < 1.1 * REPEATED_BYTES
    assert sum(batch.num_rows for batch in batches) == ROWS


@pytest.mark.parametrize("kinds", [{"text": "number"}, {}], ids=["read as numbers", "beside text in another encoding"])
def test_a_repeated_text_does_not_outgrow_a_batch(kinds, tmp_path, monkeypatch):
    """Where text is no dictionary: it is to be a number, or other text of its file cannot be read as one."""
    monkeypatch.setattr("featflow.dataset.row_groups.REPEATED_BYTES", 2**20)
    long = "7" * 2**14
    table = pa.table({"text": [long] * 1_000, "other": [f"level {row % 11}" for row in range(1_000)]})
    written = {"use_dictionary": ["text"], "column_encoding": {"other": "DELTA_BYTE_ARRAY"}}
    pq.write_table(table, tmp_path / "x.parquet", **written)
    batches = batches_of(tmp_path, kinds=kinds, exclude=["other"] if kinds else [])
    assert max(batch.num_rows for batch in batches) == 2**20 // len(long)
    assert sum(batch.num_rows for batch in batches) == 1_000


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_the_longest_value_is_found_in_every_compression(compression, tmp_path):
    path = tmp_path / "x.parquet"
    values = pa.array([b"", b"ab" * 700, None, b"c"])
    table = pa.table({"a": values, "b": pa.array([b"much longer than it"] * 4), "n": [1, 2, 3, 4]})
    table = table.append_column("plain", pa.array([bytes(2_000)] * 4))
    pq.write_table(table, path, compression=compression, use_dictionary=["a", "b", "n"], row_group_size=3)
    found = [longest_repeated(str(path), {}, 0, columns) for columns in ([0], [1], [0, 1, 3], [3], [])]
    assert found == [1_400, 19, 1_400, 0, 0]
    assert longest_repeated(str(path), {}, 1, [0]) == 1


def test_short_values_leave_batches_as_they_are(tmp_path):
    """A dictionary of a megabyte of short values is as large as one of a single long one."""
    pq.write_table(pa.table({"photo": [f"{row:>500}".encode() for row in range(2_000)] * 10}), tmp_path / "x.parquet")
    assert [batch.num_rows for batch in batches_of(tmp_path, images=["photo"])] == [4_096] * 4 + [3_616]


def test_a_page_that_cannot_be_looked_at_counts_by_its_size(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [bytes(range(200))] * 5}), path, compression="none")
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).dictionary_page_offset
    data = bytearray(path.read_bytes())
    value = data.index(bytes(range(200)), start)
    for place, changed in ((value - 4, 204), (start + 2, 0xFF)):  # the value's length; the header
        damaged = data[:place] + bytes([changed]) + data[place + 1 :]
        path.write_bytes(damaged)
        assert longest_repeated(str(path), {}, 0, [0]) >= 200
    path.write_bytes(b"PAR1" + bytes(20) + b"\4\0\0\0PAR1")
    assert longest_repeated(str(path), {}, 0, [0]) == 0
