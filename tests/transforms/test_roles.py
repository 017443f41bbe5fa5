"""Made columns in every place where a configuration names columns."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from datasets import write_parts
from PIL import Image
from sklearn.metrics import mutual_info_score

import featflow
from featflow.config import parse
from featflow.dataset.dataset import open_dataset
from featflow.errors import SchemaError

ROWS = 600


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Grey pictures of few shades, and a column that is the shade but for noise."""
    random = np.random.default_rng(0)
    shade = random.integers(0, 4, ROWS)
    photos = []
    for each in shade:
        sink = io.BytesIO()
        Image.new("L", (8, 8), int(60 * each)).save(sink, "PNG")
        photos.append(sink.getvalue())
    like = np.where(random.random(ROWS) < 0.8, shade, random.integers(0, 4, ROWS))
    columns = {"photo": photos, "like": like.astype(str), "noise": random.normal(size=ROWS)}
    columns |= {
        "group": random.choice(["a", "b"], ROWS),
        "created": pa.array(np.arange(ROWS) * 10**9, pa.timestamp("us")),
    }
    folder = tmp_path_factory.mktemp("pictures")
    return write_parts(pa.table(columns), folder / "data", 3), shade, like, folder


def run(pictures, name, analyses=None, **dataset):
    source, *_, folder = pictures
    derive = [{"parts": "created"}]
    values = {"source": str(source), "images": ["photo"], "derive": derive} | dataset
    rest = {"output": str(folder / name), "engine": {"kind": "serial"}}
    return featflow.run(
        {"dataset": values, **rest, "analyses": {"correlation": False, "interaction": False} | (analyses or {})}
    )


def test_a_descriptor_may_be_the_target(pictures):
    _, shade, like, _ = pictures
    found = run(pictures, "target", targets=["photo.brightness"])
    row = found.table("ranking").filter(pl.col("feature") == "like").row(0, named=True)
    assert row["target"] == "photo.brightness"
    assert row["mi"] == pytest.approx(mutual_info_score(shade, like), rel=1e-9)
    assert "photo.brightness" not in found.table("ranking")["feature"].to_list()


def test_a_descriptor_may_be_a_stratum(pictures):
    found = run(pictures, "stratum", {"ranking": {"strata": ["photo.brightness"]}}, targets=["group"])
    plain = run(pictures, "plain", targets=["group"])
    there, here = ({row["feature"]: row["mi"] for row in each.table("ranking").to_dicts()} for each in (found, plain))
    assert "within each joint level of photo.brightness" in found.manifest["assumptions"]
    assert there["noise"] > here["noise"], "four levels of the shade have more cells"


def test_kinds_say_how_a_made_column_is_understood(pictures):
    found = run(
        pictures, "kinds", kinds={"photo.brightness": "category", "created.weekday": "category"}, targets=["like"]
    )
    profile = {row["column"]: row for row in found.table("profile").to_dicts()}
    assert profile["photo.brightness"]["kind"] == profile["created.weekday"]["kind"] == "category"
    assert profile["photo.brightness"]["distinct"] == 4
    assert {each["value"] for each in profile["created.weekday"]["top_values"]} == {str(day) for day in range(1, 8)}
    counts = sorted(each["count"] for each in profile["photo.brightness"]["top_values"])
    assert counts == sorted(np.bincount(pictures[1]).tolist())


def test_made_columns_may_be_excluded(pictures):
    found = run(pictures, "exclude", exclude=["photo.brightness", "created.hour"])
    columns = found.table("profile")["column"].to_list()
    assert "photo.contrast" in columns
    assert "created.day" in columns
    assert not {"photo.brightness", "created.hour"} & set(columns)


def test_a_made_column_may_be_the_weight(pictures):
    """A part of a time from 1 to 7 weighs rows: sums of weights are those of the calendar."""
    found = run(pictures, "weight", weight="created.weekday", targets=["group"])
    profile = {row["column"]: row for row in found.table("profile").to_dicts()}
    assert "created.weekday" not in profile
    weekday = (np.arange(ROWS) * 1_000 // 86_400 + 3) % 7 + 1
    brightness = np.array([60 * each / 255 for each in pictures[1]])
    assert profile["photo.brightness"]["mean"] == pytest.approx(np.average(brightness, weights=weekday), rel=1e-6)


def test_made_columns_may_be_clusters_and_event_time(pictures):
    found = run(
        pictures,
        "clusters",
        {"ranking": {"clusters": "photo.brightness"}},
        targets=["group"],
        event_time="created.days",
    )
    assert "by equal photo.brightness" in found.manifest["assumptions"]
    assert "created.days" not in found.table("ranking")["feature"].to_list()
    assert found.table("ranking_window").height


@pytest.mark.parametrize(
    "dataset",
    [
        {"targets": ["photo.brightnes"]},
        {"exclude": ["photo.brightnes"]},
        {"kinds": {"photo.brightnes": "category"}},
        {"weight": "photo.brightnes"},
    ],
)
def test_a_misspelt_made_column_has_a_nearest_one(dataset, pictures):
    values = {"source": str(pictures[0]), "images": ["photo"]} | dataset
    with pytest.raises(SchemaError, match=r"no column 'photo\.brightnes'; the nearest is 'photo\.brightness'"):
        open_dataset(parse({"dataset": values, "output": "out"}).dataset)
