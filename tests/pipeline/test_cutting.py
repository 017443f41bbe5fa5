"""Runs over one file that is cut into many shards: by the days of a window, and in parts of one row group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import measured_again, mixed_table
from PIL import Image

import featflow
from featflow.analyses.embedding.pictures import images, pieces
from featflow.config import parse
from featflow.dataset import contents, shards
from featflow.dataset.dataset import open_dataset
from featflow.export.feast.source import open_source
from featflow.pipeline.garbage import remove
from featflow.pipeline.plan import plan

ROWS, DAY_ROWS, WINDOW = 6_000, 40, 30
START = datetime(2026, 1, 1, tzinfo=UTC)
EXACT = ["column", "rows", "missing", "nonfinite", "distinct_low", "distinct_high", "min", "max", "histogram"]


def run(folder, output, engine="serial", **dataset):
    config = {"dataset": {"source": str(folder / "data")} | dataset, "output": str(folder / output)}
    return featflow.run(config | {"engine": {"kind": engine}, "budget": {"bad_rows": 0.99}})


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(shards, "FEWEST_BYTES", 1)


# --- a window over one file -----------------------------------------------------------------------------------------


def write_days(folder, days, changed=None):
    """One file with a row group for each day; one of them may have other values between the same ends."""
    (folder / "data").mkdir(exist_ok=True)
    schema = pa.schema({"at": pa.timestamp("us"), "x": pa.float64(), "y": pa.int64()})
    with pq.ParquetWriter(folder / "data/all.parquet", schema) as writer:
        for day in range(days):
            random = np.random.default_rng(day)
            times = [START + timedelta(days=day, minutes=int(m)) for m in random.integers(0, 1440, DAY_ROWS)]
            x = random.normal(day, 1, DAY_ROWS)
            if day == changed:
                first = np.flatnonzero((x > x.min()) & (x < x.max()))[0]
                x[first] = x[first] / 2 + x.max() / 2
            writer.write_table(
                pa.table({"at": pa.array(times, pa.timestamp("us")), "x": x, "y": (x > day).astype(int)}, schema)
            )


def test_the_next_day_of_a_file_of_days_costs_one_shard(tmp_path):
    write_days(tmp_path, WINDOW + 5)
    options = {"event_time": "at", "targets": ["y"], "window": f"last {WINDOW} days"}
    for night in range(3):
        as_of = (START + timedelta(days=WINDOW + night - 1)).date()
        done = run(tmp_path, "out", **options, as_of=as_of)
        computed = 1 if night else WINDOW
        assert done.manifest["shards"] == {"total": WINDOW, "computed": computed, "reused": WINDOW - computed}
    alone = run(tmp_path, "alone", **options, as_of=as_of)
    assert alone.table("profile").select(EXACT).equals(done.table("profile").select(EXACT), null_equal=True)
    table = pq.read_table(tmp_path / "data/all.parquet").slice(2 * DAY_ROWS, WINDOW * DAY_ROWS)
    x = done.table("profile").row(by_predicate=pl.col("column") == "x", named=True)
    assert (x["rows"], x["min"], x["max"]) == (len(table), min(table["x"].to_pylist()), max(table["x"].to_pylist()))


def test_a_file_rewritten_with_one_more_day_costs_that_day(tmp_path):
    """Row groups are known by their bytes: by their footers, a day with another value would look the same."""
    options = {"event_time": "at", "targets": ["y"], "window": f"last {WINDOW} days"}
    computed = []
    for days, changed in ((WINDOW, None), (WINDOW + 1, None), (WINDOW + 2, 20), (WINDOW + 2, 20)):
        write_days(tmp_path, days, changed)
        config = {"dataset": {"source": str(tmp_path / "data")} | options, "output": str(tmp_path / "out")}
        planned = plan(parse(config)).profile_shards
        done = run(tmp_path, "out", **options)
        assert done.manifest["shards"]["total"] == WINDOW
        assert planned == done.manifest["shards"]["computed"]
        computed.append(planned)
    assert computed == [WINDOW, 1, 2, 0]
    alone = run(tmp_path, "alone", **options)
    assert alone.table("profile").select(EXACT).equals(done.table("profile").select(EXACT), null_equal=True)


def test_a_rewritten_file_on_object_storage_costs_its_new_day(tmp_path, moto_options):
    filesystem = s3fs.S3FileSystem(**moto_options, use_listings_cache=False)
    dataset = {"source": "s3://lake/cutting/data", "storage_options": moto_options}
    dataset |= {"event_time": "at", "window": "last 5 days"}
    config = {"dataset": dataset, "output": "s3://lake/cutting/out", "engine": {"kind": "serial"}}
    for days, computed in ((5, 5), (6, 1)):
        write_days(tmp_path, days)
        filesystem.put(str(tmp_path / "data/all.parquet"), "lake/cutting/data/all.parquet")
        assert featflow.run(config).manifest["shards"]["computed"] == computed


def test_row_groups_are_read_once_a_version_of_their_file(tmp_path, monkeypatch):
    options = {"event_time": "at", "window": f"last {WINDOW - 1} days"}
    read = []
    plain = contents._read_digests
    monkeypatch.setattr(
        contents, "_read_digests", lambda footer, groups, how: read.append(list(groups)) or plain(footer, groups, how)
    )
    write_days(tmp_path, WINDOW)
    run(tmp_path, "out", **options, as_of=START + timedelta(days=WINDOW - 1, microseconds=-1))
    last = run(tmp_path, "out", **options)
    assert read == [list(range(WINDOW - 1)), [WINDOW - 1]]
    collected = remove(str(tmp_path / "out"), keep=1)
    assert contents.PATH not in collected.files
    (tmp_path / "out" / contents.PATH).write_bytes(b"{")
    again = featflow.run(measured_again(last.manifest["config"]))
    assert (len(read), again.manifest["shards"]["computed"]) == (3, 0)
    run(tmp_path, "out", event_time="at")
    assert len(read) == 3, "without a window, files are known by their versions"


# --- parts of a row group -------------------------------------------------------------------------------------------


def write_one_group(folder, **how):
    """A row group of `ROWS` rows, and a small one."""
    (folder / "data").mkdir(exist_ok=True)
    table = mixed_table(ROWS + 300)
    pq.write_table(table, folder / "data/all.parquet", row_group_size=ROWS, **how)
    return table


PARTS = {"targets": ["target"], "exclude": ["when"], "shard_bytes": 12_000}


def test_parts_of_a_row_group_say_what_the_whole_says(tmp_path, small_parts, engine_kind):
    write_one_group(tmp_path)
    whole = run(tmp_path, "whole", **PARTS | {"shard_bytes": "128MiB"})
    done = run(tmp_path, "out", engine_kind, **PARTS)
    assert (whole.manifest["shards"]["total"], done.manifest["shards"]["total"]) == (1, shards.MOST_PARTS + 1)
    assert done.table("profile").select(EXACT).equals(whole.table("profile").select(EXACT), null_equal=True)
    scores = [each.table("ranking").sort("feature")["mi"] for each in (done, whole)]
    assert scores[0].equals(scores[1])
    again = featflow.run(measured_again(done.manifest["config"]))
    assert again.manifest["shards"] == {"total": 9, "computed": 0, "reused": 9}
    assert "unchanged_since" in featflow.run(measured_again(done.manifest["config"])).manifest


def damage(path, column):
    """Overwrite values of a column late in the first row group; pages are checked by their sums."""
    chunks = pq.ParquetFile(path).metadata.row_group(0)
    chunk = next(c for c in map(chunks.column, range(chunks.num_columns)) if c.path_in_schema == column)
    at = chunk.data_page_offset + chunk.total_compressed_size * 3 // 4
    data = bytearray(path.read_bytes())
    data[at : at + 20] = b"\xff" * 20
    path.write_bytes(data)


def test_a_damaged_row_group_is_lost_whole_and_counted_once(tmp_path, small_parts):
    """As where it is read at once: what is lost does not depend on how it is cut."""
    write_one_group(tmp_path, use_dictionary=False, compression="none", data_page_size=4_000, write_page_checksum=True)
    damage(tmp_path / "data/all.parquet", "x")
    whole = run(tmp_path, "whole", **PARTS | {"shard_bytes": "128MiB"})
    done = run(tmp_path, "out", **PARTS)
    assert done.manifest["rows"] == {"footers": ROWS + 300, "read": 300, "quarantined": ROWS}
    assert done.manifest["rows"] == whole.manifest["rows"]
    (lost,) = done.table("quarantine").to_dicts()
    assert (lost["row_group"], lost["column"], lost["rows"]) == (0, "x", ROWS)
    assert done.table("profile").select(EXACT).equals(whole.table("profile").select(EXACT), null_equal=True)
    assert [entry["row_groups"] for entry in done.inputs()] == [[1]]
    again = featflow.run(measured_again(done.manifest["config"]))
    assert again.manifest["rows"] == done.manifest["rows"]
    assert again.manifest["shards"] == {"total": 1, "computed": 0, "reused": 1}
    sound = run(tmp_path, "out", **PARTS | {"exclude": ["when", "x"]})
    assert sound.manifest["rows"] == {"footers": ROWS + 300, "read": ROWS + 300, "quarantined": 0}


def test_exports_and_reports_read_the_parts_that_the_run_read(tmp_path, small_parts):
    write_one_group(tmp_path)
    done = run(tmp_path, "out", **PARTS | {"exclude": [], "entity": ["user"], "event_time": "when"})
    dataset = open_dataset(parse(done.manifest["config"]).dataset)
    assert len(dataset.shards) == 9
    assert [shard.digest for shard in open_source(done).shards()] == [shard.digest for shard in dataset.shards]


# --- paths of images ------------------------------------------------------------------------------------------------


def test_a_row_group_of_paths_is_many_shards(tmp_path, monkeypatch):
    """Each part has the vectors and keys of its own rows; images are read back from it for the report."""
    monkeypatch.setattr(shards, "FEWEST_BYTES", 10 * shards.PATH_IMAGE_BYTES)
    (tmp_path / "data").mkdir()
    for number in range(60):
        Image.new("L", (8, 8), 4 * number).save(tmp_path / f"data/{number:02d}.png")
    table = pa.table({"id": range(60), "photo": [f"{number:02d}.png" for number in range(60)], "y": [0, 1] * 30})
    pq.write_table(table, tmp_path / "data/all.parquet")
    images_options = {"images": ["photo"], "entity": ["id"], "targets": ["y"]}
    done = run(tmp_path, "out", source=str(tmp_path / "data/all.parquet"), shard_bytes=1, **images_options)
    assert done.manifest["shards"] == {"total": 6, "computed": 6, "reused": 0}
    embedding = done.table("embedding")
    assert embedding["id"].cast(pl.Int64).to_list() == list(range(60))
    assert embedding["status"].unique().to_list() == ["ok"]
    whole = run(tmp_path, "whole", source=str(tmp_path / "data/all.parquet"), **images_options)
    assert whole.manifest["shards"]["total"] == 1
    assert whole.table("embedding").equals(embedding)
    chosen, count = pieces(done)
    assert (len(chosen), count) == (6, 6)
    for number, piece in enumerate(chosen):
        found = images(piece, "photo", [3], {})
        assert found == {3: (tmp_path / f"data/{10 * number + 3:02d}.png").read_bytes()}
