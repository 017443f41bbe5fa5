"""Where shards end: at days of a window, within row groups that are too large, and by the number of images' paths."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.columns.column import POSITION
from featflow.dataset import row_groups, shards
from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import open_dataset
from featflow.dataset.footers import Footers
from featflow.dataset.options import DatasetOptions
from featflow.storage.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)


def write_groups(path, groups):
    """Write a row group for each list of hours since the start."""
    schema = pa.schema({"at": pa.timestamp("us"), "x": pa.float64()})
    with pq.ParquetWriter(path, schema) as writer:
        for hours in groups:
            times = [START + timedelta(hours=float(hour)) for hour in hours]
            writer.write_table(pa.table({"at": pa.array(times, pa.timestamp("us")), "x": np.arange(len(times)) * 1.0}))


def cut(path, **options):
    return open_dataset(DatasetOptions(source=[str(path)], **options)).shards


def groups_of(path, **options):
    return [shard.row_groups for shard in cut(path, event_time="at", **options)]


def rows_of(dataset, name="x", rows=1_000):
    columns = (*(column for column in dataset.columns if column.name == name), POSITION)
    read = [batch for shard in dataset.shards for batch in read_batches(shard, columns, {}, rows)]
    assert all(isinstance(batch, pa.RecordBatch) for batch in read), read
    return pa.Table.from_batches(read)


# --- windows --------------------------------------------------------------------------------------------------------


def test_row_groups_of_other_days_are_other_shards_where_there_is_a_window(tmp_path):
    """Two row groups a day in one file; without a window they are one shard as ever."""
    write_groups(tmp_path / "x.parquet", [range(12 * half, 12 * half + 12) for half in range(20)])
    assert groups_of(tmp_path) == [tuple(range(20))]
    assert groups_of(tmp_path, window="last 3 days") == [(14, 15), (16, 17), (18, 19)]
    assert groups_of(tmp_path, window="last 3 days", shard_bytes=1) == [(group,) for group in range(14, 20)]
    assert groups_of(tmp_path, window="last 24 hours") == [(18,), (19,)]


@pytest.mark.parametrize(("window", "step"), [("last 4 days", 24), ("last 12 hours", 1)])
def test_a_window_that_moves_keeps_the_shards_that_stay_in_it(tmp_path, window, step):
    """Also where its days begin at another hour than in UTC: as_of says when they end."""
    write_groups(tmp_path / "x.parquet", [[step * n, step * n + step / 3, step * (n + 1) - 0.5] for n in range(20)])
    found = []
    for night in (14, 15):
        as_of = START + timedelta(hours=step * night, microseconds=-1)
        found.append(cut(tmp_path, event_time="at", window=window, as_of=as_of))
    before, after = found
    assert [shard.row_groups for shard in after] == [(group,) for group in range(15 - len(after), 15)]
    assert len(after) == int(window.split()[1])
    assert [shard.digest for shard in before[1:]] == [shard.digest for shard in after[:-1]]
    assert [shard.place for shard in before[1:]] == [shard.place for shard in after[:-1]]


def test_days_that_do_not_begin_at_midnight(tmp_path):
    write_groups(tmp_path / "x.parquet", [[24 * n - 2, 24 * n, 24 * n + 21] for n in range(6)])
    as_of = START + timedelta(days=4, hours=21, minutes=59)
    assert groups_of(tmp_path, window="last 3 days", as_of=as_of) == [(2,), (3,), (4,)]


def test_row_groups_of_weeks_and_of_the_same_days(tmp_path):
    """A row group of a week is a shard; row groups that all hold the same days leave the window together."""
    week = 24 * 7
    write_groups(tmp_path / "a.parquet", [[week * n, week * (n + 1) - 1] for n in range(3)])
    assert groups_of(tmp_path, window="last 3 weeks") == [(0,), (1,), (2,)]
    write_groups(tmp_path / "a.parquet", [[0, 10, 200], [5, 300], [40, 500]])
    assert groups_of(tmp_path, window="last 30 days") == [(0, 1, 2)]


# --- row groups that are too large ----------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch):
    """Row groups are cut from a few KiB on."""
    monkeypatch.setattr(shards, "FEWEST_BYTES", 1)


def test_ordinary_row_groups_stay_whole_and_keep_their_names(tmp_path):
    """States of earlier runs are named by these digests."""
    pq.write_table(pa.table({"x": np.arange(10_000.0)}), tmp_path / "x.parquet", row_group_size=5_000)
    (shard,) = cut(tmp_path)
    for name, value in ((shard.digest, shard.file), (shard.place, shard.file.place)):
        assert name == hashlib.sha256(repr((value, (0, 1))).encode()).hexdigest()[:24]
    assert [each.part for each in cut(tmp_path, shard_bytes=1)] == [None, None]


def test_a_large_row_group_is_read_in_parts(tmp_path, small_parts):
    values = np.arange(10_000.0)
    table = pa.table({"x": values, "s": np.char.add("v", (values % 97).astype(int).astype(str))})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=9_000)
    whole = open_dataset(DatasetOptions(source=[str(tmp_path)]))
    cut_up = open_dataset(DatasetOptions(source=[str(tmp_path)], shard_bytes=10_000))
    assert [(each.row_groups, each.group_rows, each.part) for each in cut_up.shards] == [
        *(((0,), (9_000,), range(2_250 * n, 2_250 * (n + 1))) for n in range(4)),
        ((1,), (1_000,), None),
    ]
    assert cut_up.rows == whole.rows == 10_000
    assert sum(each.nbytes for each in cut_up.shards) == sum(each.nbytes for each in whole.shards)
    for name in ("x", "s"):
        for rows in (700, 1_000, 50_000):
            assert rows_of(cut_up, name, rows)[name].to_pylist() == table[name].to_pylist()
    assert len({each.digest for each in cut_up.shards}) == len({each.place for each in cut_up.shards}) == 5
    positions = rows_of(cut_up)[POSITION.name].to_numpy()
    of_shard = [set(positions[each.start : each.stop] >> 16) for each in [range(2_250), range(2_250, 4_500)]]
    assert [len(each) for each in of_shard] == [1, 1]
    assert of_shard[0] != of_shard[1]
    assert [entry["part"] for entry in cut_up.listed()] == [*([2_250 * n, 2_250 * (n + 1)] for n in range(4)), None]


def test_a_row_group_is_decoded_a_few_times_at_most(tmp_path, small_parts):
    pq.write_table(pa.table({"x": np.arange(100_000.0)}), tmp_path / "x.parquet")
    found = cut(tmp_path, shard_bytes=1)
    assert len(found) == shards.MOST_PARTS
    assert sum(each.rows for each in found) == 100_000
    pq.write_table(pa.table({"x": np.arange(3.0)}), tmp_path / "x.parquet")
    assert [each.rows for each in cut(tmp_path, shard_bytes=1)] == [1, 1, 1]


# --- images ---------------------------------------------------------------------------------------------------------


def test_paths_of_images_are_cut_by_their_number(tmp_path):
    table = pa.table({"photo": [f"{n:05d}.jpg" for n in range(20_000)], "y": np.arange(20_000) % 2})
    pq.write_table(table, tmp_path / "x.parquet")
    found = cut(tmp_path, images=["photo"])
    assert {each.row_groups for each in found} == {(0,)}
    assert [row for each in found for row in each.part] == list(range(20_000))
    assert len(found) == 20
    assert len({len(each.part) for each in found}) == 1
    assert len(cut(tmp_path)) == 1, "no column of images: a megabyte is one shard"
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    assert {len(each.row_groups) for each in cut(tmp_path, images=["photo"])} <= {11, 2}
    pq.write_table(table.slice(0, 500), tmp_path / "x.parquet")
    assert [each.part for each in cut(tmp_path, images=["photo"], shard_bytes=1)] == [range(250), range(250, 500)]


@pytest.mark.parametrize(("bytes_", "count"), [(None, 5), (b"1", 1)])
def test_structs_of_paths_alone_are_cut_by_their_number(tmp_path, bytes_, count):
    """As Hugging Face writes images that it does not embed; a column of which one image lies in the file is not."""
    images = [{"bytes": None, "path": f"{n:05d}.jpg"} for n in range(5_000)]
    images[7]["bytes"] = bytes_
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    nested = pa.StructArray.from_arrays([pa.array(images, kind)], ["photo"])
    pq.write_table(pa.table({"s": nested, "y": np.arange(5_000) % 2}), tmp_path / "x.parquet")
    store = Store(str(tmp_path / "out"), {})
    for _ in range(2):  # the second time from the footers that were kept
        footers = Footers(store)
        dataset = open_dataset(DatasetOptions(source=[str(tmp_path / "x.parquet")], images=["s.photo"]), None, footers)
        assert len(dataset.shards) == count
        footers.save()


def test_images_in_the_file_are_cut_by_their_bytes(tmp_path):
    pq.write_table(pa.table({"photo": [bytes([n % 256]) * 100 for n in range(5_000)]}), tmp_path / "x.parquet")
    assert [each.part for each in cut(tmp_path, images=["photo"])] == [None]


# --- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [pa.string(), pa.large_string()], ids=str)
def test_batches_are_bounded_by_the_bytes_of_their_texts(tmp_path, monkeypatch, text):
    """Batches of numbers alone are as long as ever."""
    monkeypatch.setattr(row_groups, "TEXT_BYTES", 10_000)
    monkeypatch.setattr(row_groups, "DICTIONARY_BYTES", 50_000)
    texts = [f"{n:04d}" + "x" * 96 for n in range(1_000)]
    table = pa.table({"t": pa.array(texts, text), "few": pa.array(["a", "b"] * 500, text), "x": np.arange(1_000.0)})
    pq.write_table(table, tmp_path / "x.parquet", use_dictionary=["few"])
    dataset = open_dataset(DatasetOptions(source=[str(tmp_path)]))
    columns = {column.name: column for column in dataset.columns}
    sizes = {}
    for names in (("t", "x"), ("few",), ("x",)):
        read = list(read_batches(dataset.shards[0], tuple(columns[name] for name in names), {}, 500))
        sizes[names] = max(batch.num_rows for batch in read)
        for name in names:
            assert [value for batch in read for value in batch.column(name).to_pylist()] == table[name].to_pylist()
    assert 80 <= sizes["t", "x"] <= 110
    assert sizes["x",] == 500


class Longest:
    """A reader and its file, whose rows from 100 to 130 are so long that an array holds four of them."""

    def __init__(self):
        self.sizes, self.file = [], self

    def give_up_dictionaries(self):
        return False

    def iter_batches(self, batch_size, row_groups, columns):  # noqa: ARG002  as pyarrow calls them
        for start in range(0, 200, batch_size):
            rows = range(start, min(start + batch_size, 200))
            if sum(100 <= row < 130 for row in rows) > 4:
                raise pa.ArrowCapacityError("array cannot contain more than 2147483646 bytes")
            self.sizes.append(len(rows))
            yield pa.record_batch({"x": pa.array(rows)})


@pytest.mark.parametrize("part", [range(200), range(90, 120), range(150, 200)])
def test_rows_far_longer_than_others_are_read_in_shorter_batches(part):
    file = Longest()
    selection = row_groups.Selection(0, ["x"], part.start, part.stop if part.stop < 200 else None)
    read = list(row_groups._raw_batches(None, file, selection, 64))
    assert [row for batch in read for row in batch.column(0).to_pylist()] == list(part)
    assert set(file.sizes) >= {64, 1}
