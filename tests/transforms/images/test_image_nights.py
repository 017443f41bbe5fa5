"""Nights over images that rows name by path: those that were replaced, came, went, or were given at last."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import measured_again
from PIL import Image

import featflow
from featflow.dataset import image_files
from featflow.pipeline import garbage
from featflow.storage.store import Store

ROWS = 8
FILES = "abcd"


def png(level):
    """A picture of one grey, of as many bytes as one of another."""
    sink = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(sink, "BMP")
    return sink.getvalue()


class Disk:
    """A folder."""

    def __init__(self, folder):
        self.root, self.options = str(folder), {}

    def write(self, name, data):
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def replace(self, name, data):
        """Put other content in place, of the same size and time of modification."""
        before = Path(self.root, name).stat()
        self.write(name, data)
        os.utime(f"{self.root}/{name}", ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, name):
        Path(self.root, name).unlink()


class Bucket(Disk):
    """A prefix of an S3 server."""

    def __init__(self, options):
        self.root, self.options, self.store = "s3://lake/pictures", options, s3fs.S3FileSystem(**options)

    def write(self, name, data):
        self.store.pipe_file(f"{self.root}/{name}", data)

    replace = write

    def remove(self, name):
        self.store.rm_file(f"{self.root}/{name}")


@pytest.fixture(params=["disk", "moto"])
def lake(request, tmp_path):
    """Four files, each naming eight pictures of its own by relative path, one of which is not there."""
    lake = Disk(tmp_path) if request.param == "disk" else Bucket(request.getfixturevalue("moto_options"))
    for place, name in enumerate(FILES):
        paths = [f"photos/{name}/{row}.bmp" for row in range(ROWS)]
        for row, path in enumerate(paths):
            if (name, row) != ("b", 3):
                lake.write(f"data/{path}", png(10 * place + 5 * row))
        table = pa.table(
            {"photo": paths, "key": [f"{name}{row}" for row in range(ROWS)], "label": ["x", "y"] * (ROWS // 2)}
        )
        sink = io.BytesIO()
        pq.write_table(table, sink)
        lake.write(f"data/{name}.parquet", sink.getvalue())
    return lake


def configuration(lake, output):
    dataset = {"source": f"{lake.root}/data", "entity": ["key"], "targets": ["label"], "images": ["photo"]}
    analyses = {"correlation": False, "interaction": False, "drift": False}
    return {
        "dataset": dataset | {"storage_options": lake.options},
        "output": str(output),
        "engine": {"kind": "serial"},
        "analyses": analyses,
    }


def embedding(run):
    return run.arrow("embedding").sort_by("key").to_pylist()


def counts(run):
    return run.manifest["shards"]["computed"], run.manifest["analyses"]["embedding"]["images"]["photo"]


def test_what_changed_is_encoded_anew_and_nothing_else(lake, tmp_path, monkeypatch):
    first = featflow.run(configuration(lake, tmp_path / "out"))
    assert counts(first) == (4, {"ok": 31, "unreadable": 1})
    assert featflow.run(configuration(lake, tmp_path / "out")).manifest["unchanged_since"] == first.run_id

    read, plain = [], image_files._read

    def reading(uri, options):
        read.append(uri.rpartition("/photos/")[2])
        return plain(uri, options)

    monkeypatch.setattr(image_files, "_read", reading)
    assert counts(featflow.run(measured_again(configuration(lake, tmp_path / "out"))))[0] == 0
    lake.replace("data/photos/a/5.bmp", png(250))
    lake.write("data/photos/b/3.bmp", png(200))
    lake.remove("data/photos/d/6.bmp")
    second = featflow.run(configuration(lake, tmp_path / "out"))
    assert "unchanged_since" not in second.manifest
    assert counts(second) == (3, {"ok": 31, "unreadable": 1})
    assert {name[0] for name in read} == {"a", "b", "d"}
    assert embedding(second) == embedding(featflow.run(configuration(lake, tmp_path / "anew")))
    assert embedding(second) != embedding(first)

    # What comes back to what it was is not known by its name alone on disks, where its time of change is another.
    lake.write("data/photos/d/6.bmp", png(60))
    lake.remove("data/photos/b/3.bmp")
    read.clear()
    third = featflow.run(configuration(lake, tmp_path / "out"))
    assert counts(third)[1] == {"ok": 31, "unreadable": 1}
    assert "b" not in {name[0] for name in read}, "the states of the first night, without that picture, are there"


def test_what_storage_lists_and_does_not_give_is_asked_for_again(moto_options, tmp_path):
    """An object in an archive has the version that it will have once it is restored."""
    lake = Bucket(moto_options)
    lake.root = "s3://lake/archive"
    paths = [f"photos/{row}.bmp" for row in range(ROWS)]
    client = lake.store
    for row, path in enumerate(paths):
        lake.write(f"data/{path}", png(5 * row))
    archived = {"Bucket": "lake", "Key": "archive/data/photos/4.bmp"}
    client.call_s3("put_object", **archived, Body=png(20), StorageClass="GLACIER")
    sink = io.BytesIO()
    pq.write_table(pa.table({"photo": paths, "key": paths, "label": ["x", "y"] * (ROWS // 2)}), sink)
    lake.write("data/a.parquet", sink.getvalue())

    first = featflow.run(configuration(lake, tmp_path / "out"))
    assert counts(first) == (1, {"ok": 7, "unreadable": 1})
    (error,) = (row["error"] for row in embedding(first) if row["error"])
    assert error.startswith("storage does not give it: ")
    assert featflow.run(configuration(lake, tmp_path / "out")).manifest["unchanged_since"] == first.run_id
    garbage.remove(str(tmp_path / "out"), 1)
    client.call_s3("restore_object", **archived, RestoreRequest={"Days": 1})
    second = featflow.run(configuration(lake, tmp_path / "out"))
    assert counts(second) == (1, {"ok": 8})
    assert featflow.run(configuration(lake, tmp_path / "out")).manifest["unchanged_since"] == second.run_id


def test_a_note_that_is_damaged_costs_its_shard(tmp_path):
    lake = Disk(tmp_path)
    lake.write("data/photos/0.bmp", png(1))
    table = pa.table({"photo": ["photos/0.bmp", "x" * 300], "key": ["a", "b"], "label": ["x", "y"]})
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    assert counts(featflow.run(configuration(lake, tmp_path / "out"))) == (1, {"ok": 1, "unreadable": 1})
    ((path, _),) = Store(f"{tmp_path}/out").sizes("states/not_given").items()
    (tmp_path / "out" / path).write_bytes(b"[{")
    again = featflow.run(configuration(lake, tmp_path / "out"))
    assert counts(again) == (1, {"ok": 1, "unreadable": 1})
    assert "unchanged_since" in featflow.run(configuration(lake, tmp_path / "out")).manifest
    shutil.rmtree(tmp_path / "out" / "states" / "not_given")
    assert counts(featflow.run(measured_again(configuration(lake, tmp_path / "out"))))[1] == {"ok": 1, "unreadable": 1}
