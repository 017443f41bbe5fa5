"""Shards by the versions of the images that their rows name: which columns count, and what is asked of storage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from featflow.dataset.dataset import open_dataset
from featflow.dataset.footers import Footers
from featflow.dataset.image_versions import GONE, LISTED_FROM, UNKNOWN, image_versions
from featflow.dataset.named_images import PATH
from featflow.dataset.options import DatasetOptions
from featflow.errors import InfrastructureError
from featflow.storage.store import Store

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def opened(folder, source=None, **image):
    footers = Footers(Store(f"{folder}/out"))
    options = DatasetOptions(source=str(source or folder / "data"), images=[{"column": "photo"} | image], targets=["y"])
    dataset = open_dataset(options, f"{folder}/out", footers)
    footers.save()
    return dataset


def write(folder, photos, kind=STRUCT, **options):
    folder.mkdir(parents=True, exist_ok=True)
    labels = ["a", "b"] * (len(photos) // 2)
    pq.write_table(pa.table({"photo": pa.array(photos, kind), "y": labels}), folder / "a.parquet", **options)


def test_shards_of_bytes_have_the_names_that_they_had(tmp_path):
    """Paths beside bytes, and rows without either, name nothing: states of earlier releases stay in use."""
    write(tmp_path / "data", [{"bytes": b"1", "path": "1.png"}, None, {"bytes": b"2", "path": "no/such.png"}, None])
    (shard,) = opened(tmp_path).shards
    assert shard.images == ""
    assert "images" not in opened(tmp_path).listed()[0]
    write(tmp_path / "data", [b"1", b"2"], pa.binary())
    assert opened(tmp_path).shards[0].images == ""
    assert list(Store(f"{tmp_path}/out").sizes("states")) == ["states/footers.arrow", PATH]


def test_rows_without_bytes_among_others_with_them(tmp_path):
    write(tmp_path / "data", [{"bytes": b"1", "path": "1.png"}, {"bytes": None, "path": "2.png"}])

    def name():
        (shard,) = opened(tmp_path).shards
        return shard.images

    assert name() == ""
    (tmp_path / "data" / "2.png").write_bytes(b"2")
    there = name()
    assert there != ""
    (tmp_path / "data" / "2.png").write_bytes(b"22")
    assert name() not in {"", there}
    (tmp_path / "data" / "2.png").unlink()
    assert name() == ""


def test_parts_of_a_row_group_and_damaged_ones(tmp_path):
    """Each part is named by its own rows; where paths cannot be read the others count."""
    paths = [f"{row}.png" for row in range(1000)]
    for row in (0, 999):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / paths[row]).write_bytes(b"1")
    write(tmp_path / "data", paths, pa.string())

    def names():
        options = DatasetOptions(source=f"{tmp_path}/data", images=["photo"], targets=["y"], shard_bytes=2**25)
        footers = Footers(Store(f"{tmp_path}/out"))
        found = [shard.images for shard in open_dataset(options, f"{tmp_path}/out", footers).shards]
        footers.save()
        return found

    before = names()
    assert len(before) == len(set(before)) == 4
    (tmp_path / "data" / paths[999]).write_bytes(b"22")
    after = names()
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, True, False]

    write(tmp_path / "data", paths, pa.string(), row_group_size=500, compression="none", use_dictionary=False)
    chunk = pq.ParquetFile(tmp_path / "data" / "a.parquet").metadata.row_group(0).column(0)
    data = bytearray((tmp_path / "data" / "a.parquet").read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + 40] = b"\xff" * 40
    (tmp_path / "data" / "a.parquet").write_bytes(data)
    damaged = names()
    assert damaged[:2] == ["", ""]
    assert len(set(damaged)) == 3


def test_a_table_holds_its_images(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(f"{tmp_path}/lake", pa.table({"photo": ["1.png", "../2.png"], "y": ["a", "b"]}))
    (tmp_path / "lake" / "1.png").write_bytes(b"1")
    dataset = opened(tmp_path, f"delta:{tmp_path}/lake")
    assert {shard.file.images_below for shard in dataset.shards} == {(f"{tmp_path}/lake",)}
    assert dataset.shards[0].images != ""


# --- versions -------------------------------------------------------------------------------------------------------


def test_versions_on_a_disk(tmp_path):
    (tmp_path / "1.png").write_bytes(b"1")
    (tmp_path / "loop").symlink_to("loop")
    uris = [f"file://{tmp_path}/{name}" for name in ("1.png", "2.png", "1.png/x", "loop", "x" * 300, "")]
    found = image_versions(uris, {})
    status = Path(tmp_path, "1.png").stat()
    assert list(found.values()) == [
        f"1:{status.st_mtime_ns}:{status.st_ctime_ns}",
        GONE,
        GONE,
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
    ]


def test_folders_of_many_images_are_listed(moto_options, monkeypatch):
    store = s3fs.S3FileSystem(**moto_options)
    store.pipe({f"lake/many/{row}.png": b"1" for row in range(LISTED_FROM)} | {"lake/few/1.png": b"12"})
    many = [f"s3://lake/many/{row}.png" for row in range(1, LISTED_FROM + 1)]
    few = ["s3://lake/few/1.png", "s3://lake/few/2.png", "s3://lake/few", "s3://none/1.png", "s3://NO_bucket/1.png"]
    listed, looked_at, lsdir, call = [], [], s3fs.S3FileSystem._lsdir, s3fs.S3FileSystem._call_s3

    async def listing(self, path, *refresh, **options):
        listed.append(path)
        return await lsdir(self, path, *refresh, **options)

    async def calling(self, method, *kwargs, **options):
        if method == "head_object":
            looked_at.append(options.get("Key") or kwargs[-1]["Key"])
        return await call(self, method, *kwargs, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_lsdir", listing)
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", calling)
    found = image_versions([*many, *few], moto_options)
    assert listed == ["lake/many"]
    assert {"few/1.png", "few/2.png"} <= set(looked_at) <= {"few/1.png", "few/2.png", "few", "1.png"}
    assert [found[uri] for uri in few[1:]] == [GONE, UNKNOWN, GONE, GONE]
    assert found[many[-1]] == GONE
    assert len({found[uri] for uri in many[:-1]}) == 1
    assert found[few[0]].startswith("2:")

    def refused(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(s3fs.S3FileSystem, "_lsdir", refused)
    assert image_versions([*many, *few], moto_options) == found, "who may not list may look at each"


def test_storage_that_does_not_answer_is_no_version(monkeypatch):
    """An omission would make other shards of all that it holds, without their images."""
    monkeypatch.setattr("featflow.storage.retries.ATTEMPTS", 1)
    options = {"key": "a", "secret": "b", "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    options |= {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    for count in (1, LISTED_FROM):
        with pytest.raises(InfrastructureError, match="s3://lake/many"):
            image_versions([f"s3://lake/many/{row}.png" for row in range(count)], options)
