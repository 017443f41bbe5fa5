"""Images in a whole run: their descriptors beside the table's columns, with planted truths and real pictures."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import measured_again
from PIL import Image

import featflow
from featflow.config import parse
from featflow.dataset.image_options import DESCRIPTORS
from featflow.errors import SchemaError
from featflow.pipeline.plan import plan
from featflow.transforms.images.descriptors import Descriptors
from featflow.transforms.images.pictures import THUMBNAIL, reduced

ROWS = 1_500
TIME = pa.timestamp("us", "UTC")


def png(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture(scope="module")
def planted():
    """The label is whether a picture is bright, the other way round where a switch of the table says so."""
    random = np.random.default_rng(11)
    bright, switch = random.integers(0, 2, (2, ROWS)).astype(bool)
    level = np.where(bright, 150, 60)[:, None, None, None]
    pixels = (level + random.integers(0, 40, (ROWS, 12, 16, 3))).astype(np.uint8)
    noise = random.random(ROWS) < 0.05
    return pa.table(
        {
            "photo": [png(each) for each in pixels],
            "switch": np.where(switch, "on", "off"),
            "other": random.normal(size=ROWS),
            "label": (bright ^ switch ^ noise).astype(np.int8),
        }
    )


def features(images):
    """Descriptors of upright pictures, from nothing but the pictures."""
    encoder, images = Descriptors(), [image.convert("RGB") for image in images]
    prepared = [encoder.prepare(image, reduced(image, THUMBNAIL)) for image in images]
    return encoder.encode(prepared, np.array([image.size for image in images]))


def run(table, folder, kind="serial", parts=1, **dataset):
    (folder / "data").mkdir(parents=True)
    for part in range(parts):
        rows = table.slice(part * len(table) // parts, (part + 1) * len(table) // parts - part * len(table) // parts)
        pq.write_table(rows, folder / "data" / f"{part}.parquet")
    config = {
        "dataset": {"source": str(folder / "data"), "targets": ["label"], "images": ["photo"]} | dataset,
        "output": str(folder / "out"),
        "engine": {"kind": kind},
    }
    return featflow.run(config)


@pytest.mark.parametrize("kind", ["serial", "ray"])
def test_a_pixel_and_a_column_that_matter_together(kind, planted, tmp_path, request):
    if kind == "ray":
        request.getfixturevalue("local_ray")
    done = run(planted, tmp_path, kind, parts=3)
    first = done.table("interaction").row(0, named=True)
    assert {first["feature_a"], first["feature_b"]} == {"photo.brightness", "switch"}
    assert first["ci_low"] > 0
    alone = done.table("ranking").filter(pl.col("feature").is_in(["photo.brightness", "switch"]))
    assert alone.height == 2
    assert not alone["significant"].any()
    pairs = done.table("correlation").select("feature_a", "feature_b").unique().rows()
    assert any({"other", "photo.sharpness"} == set(pair) for pair in pairs)
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}


def test_a_second_run_encodes_nothing(planted, tmp_path, monkeypatch):
    first = run(planted, tmp_path)
    monkeypatch.setattr("featflow.transforms.images.decoders.decode", None)
    again = featflow.run(measured_again(first.manifest["config"]))
    assert again.manifest["passes"]
    assert again.manifest["shards"]["computed"] == 0
    planned = plan(parse(first.manifest["config"]))
    assert (planned.profile_shards, planned.relation_shards) == (0, 0)
    for name in first.tables.keys() - {"drift"}:  # it names the runs
        assert again.table(name).equals(first.table(name), null_equal=True)


def test_any_sharding_gives_the_same_features(planted, tmp_path):
    one, three = (run(planted, tmp_path / str(parts), parts=parts) for parts in (1, 3))
    for name in ("ranking", "interaction"):
        keys = ["target", "rank"]
        ours, theirs = (
            each.table(name).sort(keys).select(pl.col("^(.*mi|synergy|feature.*)$")) for each in (one, three)
        )
        assert ours.equals(theirs, null_equal=True)


def test_failed_images_are_missing_values(planted, tmp_path):
    """Their rows stay, in every statistic of the other columns."""
    photos = planted["photo"].to_pylist()
    photos[10], photos[20], photos[30] = None, b"", photos[30][:60]
    done = run(planted.set_column(0, "photo", pa.array(photos, pa.binary())), tmp_path)
    profile = {row["column"]: row for row in done.table("profile").to_dicts()}
    assert profile["photo.brightness"]["missing"] == 3
    assert profile["switch"]["rows"] == ROWS
    assert profile["switch"]["missing"] == 0


@pytest.mark.parametrize("kind", ["serial", "ray"])
def test_every_image_is_a_row_with_its_key(kind, planted, tmp_path, request):
    if kind == "ray":
        request.getfixturevalue("local_ray")
    photos = planted["photo"].to_pylist()
    photos[10], photos[20], photos[30], photos[40] = None, b"", photos[30][:60], b"not an image"
    table = planted.set_column(0, "photo", pa.array(photos, pa.binary()))
    day = pa.array(np.arange(ROWS) * 10**9, pa.timestamp("us"))
    table = table.append_column("key", pa.array([f"k{i}" for i in range(ROWS)])).append_column("day", day)
    done = run(table, tmp_path, kind, parts=3, entity=["key"], event_time="day")
    found = done.arrow("embedding")
    assert found.column_names == ["key", "day", "column", "encoder", "status", "error", "embedding"]
    assert found["key"].to_pylist() == table["key"].to_pylist()
    assert found["day"].cast(pa.timestamp("us")).equals(table["day"])
    failed = found.filter(pc.not_equal(found["status"], "ok")).select(["key", "status"]).to_pylist()
    named = {"k10": "missing", "k20": "empty", "k30": "truncated", "k40": "not_an_image"}
    assert {row["key"]: row["status"] for row in failed} == named
    assert done.manifest["analyses"]["embedding"]["images"] == {
        "photo": {"ok": ROWS - 4, **dict.fromkeys(named.values(), 1)}
    }
    for row in (0, 700, ROWS - 1):
        assert found["embedding"][row].as_py() == features([Image.open(io.BytesIO(photos[row]))])[0].tolist()
    assert found["embedding"].null_count == 4


def test_keys_keep_the_types_of_the_files(planted, tmp_path):
    """Also where a file lacks a key, or two files hold it in different types."""
    day = date(2024, 2, 29)
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    keys = {
        "small": (pa.array([-5, None], pa.int16()), pa.int16(), [-5, None]),
        "large": (pa.array([2**64 - 1, 0], pa.uint64()), pa.uint64(), [2**64 - 1, 0]),
        "flag": (pa.array([True, None]), pa.bool_(), [True, None]),
        "day": (pa.array([day, None]), pa.date32(), [day, None]),
        "moment": (pa.array([moment, None], pa.timestamp("us", "Asia/Tokyo")), TIME, [moment, None]),
        "id": (pa.array([UUID(int=7).bytes, None], pa.uuid()), pa.string(), [str(UUID(int=7)), None]),
        "hash": (pa.array([b"\xff\0", None], pa.binary(2)), pa.string(), ["ff00", None]),
        "code": (pa.array([b"PT", None]), pa.string(), ["PT", None]),
        "name": (pa.array(["é", None]).dictionary_encode(), pa.string(), ["é", None]),
        "amount": (pa.array([Decimal("1.50"), None]), pa.string(), ["1.5", None]),
        "wider": (pa.array([1, None], pa.int32()), pa.int64(), [1, None]),
        "at": (pa.array([1, 2], pa.int32()), pa.int64(), [1, 2]),
    }
    table = planted.slice(0, 2)
    for name, (array, _, _) in keys.items():
        table = table.append_column(name, array)
    other = planted.slice(2, 1).append_column("wider", pa.array([2**40]))
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    pq.write_table(other, tmp_path / "data" / "b.parquet")
    dataset = {"source": str(tmp_path / "data"), "images": ["photo"], "entity": [*keys][:-1], "event_time": "at"}
    done = featflow.run({"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}})
    found = done.arrow("embedding")
    for name, (_, kind, values) in keys.items():
        assert found.schema.field(name).type == kind, name
        assert found[name].to_pylist() == [*values, 2**40 if name == "wider" else None], name
    parts = [pq.read_schema(path) for path in sorted((tmp_path / "out").rglob("tables/embedding*/*.parquet"))]
    assert len(parts) == 2
    assert parts[0].equals(parts[1])


NANOSECONDS = pa.array([-1, 0, None, 1_700_000_000_123_456_789], pa.int64())


def test_times_of_keys_keep_their_nanoseconds(planted, tmp_path):
    """As a key, as event_time, in another zone, and where a file has other units: there the key is text."""
    table = planted.slice(0, 4)
    for name, kind in {
        "utc": pa.timestamp("ns"),
        "tokyo": pa.timestamp("ns", "Asia/Tokyo"),
        "mixed": pa.timestamp("ns"),
        "at": pa.timestamp("ns"),
    }.items():
        table = table.append_column(name, NANOSECONDS.cast(kind))
    far = pa.array([253_402_300_799 * 10**6] * 4, pa.timestamp("us"))
    other = table.set_column(table.column_names.index("mixed"), "mixed", far)
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    pq.write_table(other, tmp_path / "data" / "b.parquet")
    dataset = {
        "source": str(tmp_path / "data"),
        "images": ["photo"],
        "entity": ["utc", "tokyo", "mixed"],
        "event_time": "at",
    }
    done = featflow.run({"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}})
    found = done.arrow("embedding")
    for name in ("utc", "tokyo", "at"):
        assert found.schema.field(name).type == pa.timestamp("ns", "UTC"), name
        assert found[name].cast(pa.int64()).to_pylist() == NANOSECONDS.to_pylist() * 2, name
    assert found["mixed"].to_pylist() == [
        "1969-12-31 23:59:59.999999999",
        "1970-01-01 00:00:00.000000",
        None,
        "2023-11-14 22:13:20.123456789",
        *["9999-12-31 23:59:59.000000"] * 4,
    ]


def as_struct(photos, data=None):
    data = pa.binary() if data is None else data
    return pa.StructArray.from_arrays([pa.nulls(len(photos), pa.string_view()), photos.cast(data)], ["path", "bytes"])


@pytest.mark.parametrize(
    "forms",
    [
        (lambda p: p.cast(pa.large_binary()), lambda p: p.cast(pa.binary_view()), lambda p: pa.nulls(len(p))),
        (lambda p: p.dictionary_encode(), lambda p: pa.nulls(len(p)), lambda p: p),
        (lambda p: pa.nulls(len(p)), as_struct, lambda p: as_struct(p, pa.large_binary())),
    ],
)
def test_files_may_hold_images_in_different_types(forms, planted, tmp_path):
    """And where all are missing, a file may have a column of no type."""
    (tmp_path / "data").mkdir()
    expected = []
    for place, form in enumerate(forms):
        part = planted.slice(10 * place, 10)
        photos = form(part["photo"].combine_chunks().cast(pa.binary()))
        expected += ["missing" if photos.type == pa.null() else "ok"] * 10
        pq.write_table(
            part.set_column(part.column_names.index("photo"), "photo", photos), tmp_path / "data" / f"{place}.parquet"
        )
    dataset = {"source": str(tmp_path / "data"), "images": ["photo"], "targets": ["label"]}
    done = featflow.run({"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}})
    assert done.arrow("embedding")["status"].to_pylist() == expected


@pytest.mark.parametrize(
    ("photos", "said"),
    [
        ([[b"data"]], r"'photo' is list<element: binary> in .*data.*; images are bytes, .* and one a row"),
        (
            [{"bytes": b"data", "path": "x", "width": 1}],
            r"no column 'photo'; name a field of it: photo\.bytes, photo\.path",
        ),
        ([{"bytes": 1, "path": "x"}], r"no column 'photo'; name a field of it: photo\.bytes, photo\.path"),
        ([7], r"'photo' is int64 in .*data.*; images are bytes"),
    ],
)
def test_columns_that_are_no_images_are_refused_by_name(photos, said, tmp_path):
    with pytest.raises(SchemaError, match=rf"dataset\.images: {said}"):
        run(pa.table({"photo": photos * 4, "label": ["a", "b"] * 2}), tmp_path)


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_uris_of_images_on_s3(server, planted, tmp_path, request):
    """Beside the table, in full, gone, on another storage: a row each, as if their bytes stood in the table."""
    options = request.getfixturevalue(f"{server}_options")
    filesystem, base = s3fs.S3FileSystem(**options), "lake/uris"
    table = planted.slice(0, 80)
    photos = table["photo"].to_pylist()
    for row, photo in enumerate(photos):
        filesystem.pipe_file(f"{base}/data/images/{row}.png", photo)
    uris = [f"s3://{base}/data/images/{row}.png" if row % 2 else f"images/{row}.png" for row in range(80)]
    uris[10], uris[20], uris[30] = "images/gone.png", "https://lake.example/20.png", None
    photos[10] = photos[20] = photos[30] = None
    with filesystem.open(f"{base}/data/a.parquet", "wb") as sink:
        pq.write_table(table.set_column(0, "photo", pa.array(uris)), sink)
    config = {"targets": ["label"], "images": ["photo"], "storage_options": options}
    config = {"dataset": config | {"source": f"s3://{base}/data"}, "engine": {"kind": "serial"}}
    config |= {"output": f"s3://{base}/out", "analyses": {"correlation": False, "interaction": False}}
    found = featflow.run(config).arrow("embedding")
    expected = run(table.set_column(0, "photo", pa.array(photos, pa.binary())), tmp_path).arrow("embedding")
    assert found["embedding"].to_pylist() == expected["embedding"].to_pylist()
    failed = {row: (found["status"][row].as_py(), found["error"][row].as_py()) for row in (10, 20, 30)}
    assert failed[10][0] == failed[20][0] == "unreadable"
    assert "images/gone.png" in failed[10][1]
    assert failed[20][1].startswith("https://lake.example/20.png is not on the dataset's storage, s3; allow in")
    assert failed[30] == ("missing", None)
    assert found["status"].to_pylist().count("ok") == 77


def test_a_row_group_that_another_column_loses(planted, tmp_path):
    """Its images leave with it; those of the row groups beside it stay where they belong."""
    done = run(planted, tmp_path / "sound")
    path = tmp_path / "data.parquet"
    pq.write_table(planted, path, row_group_size=500, compression="none", use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(2)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + 30] = b"\xff" * 30
    path.write_bytes(data)
    config = done.manifest["config"]
    config["dataset"]["source"], config["output"], config["budget"]["bad_rows"] = str(path), str(tmp_path / "o"), 1.0
    less = featflow.run(config)
    assert less.manifest["rows"] == {"footers": ROWS, "read": 1_000, "quarantined": 500}
    whole = done.arrow("embedding")["embedding"].to_pylist()
    assert less.arrow("embedding")["embedding"].to_pylist() == whole[:500] + whole[1_000:]


def _damages(good):
    """Eight ways in which an image of a lake is none, each with the status that it ends in."""
    bomb, floats = io.BytesIO(), io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    Image.fromarray(np.ones((8, 8), np.float32)).save(floats, "TIFF")
    return [
        ({"bytes": None, "path": None}, "missing"),
        ({"bytes": b"", "path": None}, "empty"),
        ({"bytes": good[: len(good) // 2], "path": None}, "truncated"),
        ({"bytes": b"\0" * 400, "path": None}, "not_an_image"),
        ({"bytes": b"<html>404</html>", "path": None}, "not_an_image"),
        ({"bytes": bomb.getvalue(), "path": None}, "too_large"),
        ({"bytes": floats.getvalue(), "path": None}, "unsupported"),
        ({"bytes": None, "path": "images/gone.jpg"}, "unreadable"),
    ]


def test_one_in_a_hundred_damaged_leaves_the_rest_as_it_was(shared_data, tmp_path):
    """Real JPEGs; every damaged one is listed with its reason, and not a bit of the others moves."""
    rows = pq.read_table(shared_data / "cifar10_20k.parquet").slice(0, 1_600)
    values = rows["image"].to_pylist()
    damages = _damages(values[0]["bytes"]) * 2
    places = {100 * index + 7: damage for index, damage in enumerate(damages)}
    broken = [places[row][0] if row in places else value for row, value in enumerate(values)]
    column = rows.schema.get_field_index("image")
    tables = {
        "sound": rows,
        "damaged": rows.set_column(column, rows.schema.field(column), pa.array(broken, rows["image"].type)),
    }
    keys = {"entity": ["image_id"], "images": ["image"]}
    done = {name: run(table, tmp_path / name, parts=3, **keys) for name, table in tables.items()}
    sound, damaged = (done[name].arrow("embedding") for name in tables)
    assert sound["status"].to_pylist() == ["ok"] * len(rows)
    assert len(damaged) == len(rows)
    for row, (status, error) in enumerate(
        zip(*(damaged[name].to_pylist() for name in ("status", "error")), strict=True)
    ):
        assert status == (places[row][1] if row in places else "ok")
        assert bool(error) == (status not in {"ok", "missing", "empty"})
    kept = pa.array([row not in places for row in range(len(rows))])
    for name in ("image_id", "embedding"):
        assert damaged.filter(kept)[name].to_pylist() == sound.filter(kept)[name].to_pylist()
    assert sum(done["damaged"].manifest["analyses"]["embedding"]["images"]["image"].values()) == len(rows)


def test_profile_says_what_the_pixels_say(shared_data, tmp_path):
    """Real pictures, three of them photographs that lie on their side and are looked at six times smaller."""
    source = str(shared_data / "sign_digits.parquet")
    dataset = {"source": source, "entity": ["image_id"], "targets": ["label"], "images": ["image"]}
    done = featflow.run({"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}})
    profile = {row["column"]: row for row in done.table("profile").to_dicts()}
    width = profile["image.width"]
    assert [width[name] for name in ("rows", "missing", "distinct", "min", "max")] == [2062, 0, 2, 100, 3024]
    images = [Image.open(io.BytesIO(value["bytes"])) for value in pq.read_table(source)["image"].to_pylist()]
    large = [image for image in images if image.width > 1000]
    assert [image.getexif()[0x0112] for image in large] == [6, 6, 6]
    turned = [image.transpose(Image.Transpose.ROTATE_270) for image in large]
    means = features(turned + [image for image in images if image.width == 100]).mean(axis=0, dtype=float).tolist()
    for name, mean in zip(DESCRIPTORS, means, strict=True):
        assert profile[f"image.{name}"]["mean"] == pytest.approx(mean, rel=1e-5, abs=1e-6), name


def test_a_column_that_an_image_would_make(planted, tmp_path):
    with pytest.raises(SchemaError, match=r"column 'photo\.hue' is what dataset\.images makes; rename it"):
        run(planted.append_column("photo.hue", planted["other"]), tmp_path)


def test_a_number_is_no_image(planted, tmp_path):
    with pytest.raises(SchemaError, match=r"dataset.images: 'other' is double in .*; images are bytes, structs"):
        run(planted, tmp_path, images=["other"])
