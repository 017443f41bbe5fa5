"""Images in a whole run: their descriptors beside the table's columns, with planted truths and real pictures."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import featflow
from featflow.embedding.descriptors import NAMES, descriptors
from featflow.errors import SchemaError

ROWS = 1_500


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
    monkeypatch.setattr("featflow.embedding.encoding.decode", None)
    again = featflow.run(first.manifest["config"])
    assert again.manifest["shards"]["computed"] == 0
    for name in first.tables:
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
    turned = [np.asarray(image.transpose(Image.Transpose.ROTATE_270).reduce(6).convert("RGB")) for image in large]
    small = [np.asarray(image.convert("RGB")) for image in images if image.width == 100]
    found = [
        descriptors(torch.from_numpy(np.stack(pictures)), np.full((len(pictures), 2), side))
        for pictures, side in ((turned, 3024), (small, 100))
    ]
    means = torch.cat(found).mean(dim=0).tolist()
    for name, mean in zip(NAMES, means, strict=True):
        assert profile[f"image.{name}"]["mean"] == pytest.approx(mean, rel=1e-5, abs=1e-6), name


def test_a_number_is_no_image(planted, tmp_path):
    with pytest.raises(SchemaError, match=r"dataset.images: 'other' is double in .*; images are bytes, structs"):
        run(planted, tmp_path, images=["other"])
