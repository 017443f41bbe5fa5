"""Images beside what is measured of them: true examples, and the reason where there are none."""

from __future__ import annotations

import base64
import io

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reports import hostile_table
from transforms.images import models

from featflow.analyses.embedding import examples, pictures
from featflow.analyses.embedding.examples import Scores, image_columns
from featflow.analyses.embedding.report import section
from featflow.analyses.reporting.limits import SIZES, PageLimits
from featflow.config import parse
from featflow.dataset.image_options import DESCRIPTORS
from featflow.pipeline.job import run as run_job
from featflow.storage.run import Run

LIMITS, NOTHING = PageLimits(100), Scores(None, None)


def brightness(uri: str) -> float:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return float(np.asarray(image.convert("L")).mean() / 255)


def test_examples_look_as_they_are_said_to(hostile_run):
    (column,) = image_columns(hostile_run, Scores(hostile_run.table("ranking"), None), LIMITS)
    assert column.problem == ""
    moving = next(each for each in column.moving if each.feature == "photo.brightness")
    assert [row["feature"] for row in moving.ranks] == ["photo.brightness"]
    assert list(moving.groups) == ["low", "middle", "high"]
    examples = [example for group in moving.groups.values() for example in group]
    assert len(examples) == 15
    assert [example.value for example in examples] == sorted(example.value for example in examples)
    assert [brightness(example.uri) for example in examples] == pytest.approx(
        [example.value for example in examples], abs=0.02
    )


def test_examples_are_named_by_their_keys(hostile_run):
    (column,) = image_columns(hostile_run, Scores(hostile_run.table("ranking"), None), LIMITS)
    captions = [e.caption for moving in column.moving for group in moving.groups.values() for e in group]
    assert all("key <i> k<u>" in each for each in captions)


def test_it_is_said_why_there_are_no_examples(hostile_run):
    gone = {**hostile_run.manifest, "inputs": [{**e, "size": e["size"] + 1} for e in hostile_run.manifest["inputs"]]}
    (column,) = image_columns(Run(hostile_run.store, hostile_run.run_id, gone), NOTHING, LIMITS)
    assert "changed" in column.problem


def test_shards_that_do_not_match_the_table_are_refused(hostile_run):
    fewer = {**hostile_run.manifest, "inputs": hostile_run.manifest["inputs"][:1]}
    (column,) = image_columns(Run(hostile_run.store, hostile_run.run_id, fewer), NOTHING, LIMITS)
    assert "run again" in column.problem


def test_examples_are_of_one_encoder(tmp_path):
    """Every encoder has its own rows of the same images."""
    model = models.save(models.vit(), tmp_path / "model", models.vit_processor())
    pq.write_table(hostile_table().slice(0, 120).select(["photo"]), tmp_path / "a.parquet")
    run = run_job(
        parse(
            {
                "dataset": {
                    "source": str(tmp_path / "a.parquet"),
                    "images": ["photo", {"column": "photo", "encoder": f"transformers:{model}"}],
                },
                "output": str(tmp_path / "out"),
                "engine": {"kind": "serial"},
                "analyses": {"correlation": False, "ranking": False, "interaction": False},
            }
        )
    )
    described, encoded = image_columns(run, NOTHING, LIMITS)
    if described.profile["width"] != len(DESCRIPTORS):
        described, encoded = encoded, described
    assert (described.problem, encoded.problem) == ("", "")
    moving = next(each for each in described.moving if each.feature == "photo.brightness")
    for example in (example for group in moving.groups.values() for example in group):
        assert brightness(example.uri) == pytest.approx(example.value, abs=0.02)
    assert {moving.feature.partition("_")[0] for moving in encoded.moving} == {"photo.direction"}
    assert all(len(group) == 5 for moving in encoded.moving for group in moving.groups.values())


def test_of_many_images_the_first_of_each_shard_are_looked_at(hostile_run, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_IMAGES", 100)
    monkeypatch.setattr(examples, "MOST_IMAGES", 100)
    (column,) = image_columns(hostile_run, NOTHING, LIMITS)
    shards = len(hostile_run.inputs())
    assert column.looked_at == f"the first 100 images of each of {shards} of {shards} shards"
    some, _ = pictures.pieces(hostile_run)
    image = column.profile["column"], column.profile["encoder"]
    for piece, path in zip(some, hostile_run.paths("embedding"), strict=True):
        whole = hostile_run.part(path)
        assert pictures.first_rows(piece, image, {}).equals(whole.slice(0, 100))
    moving = next(each for each in column.moving if each.feature == "photo.brightness")
    for example in (example for group in moving.groups.values() for example in group):
        assert brightness(example.uri) == pytest.approx(example.value, abs=0.02)


def test_smaller_pages_read_no_image_again(hostile_run, monkeypatch):
    first = section(hostile_run, SIZES[0])
    monkeypatch.setattr(pictures, "read_batches", None)
    last = first.fewer(SIZES[1]).fewer(SIZES[-1])
    for larger, smaller in zip(*(made.values["images"][0].moving for made in (first, last)), strict=True):
        for group, found in larger.groups.items():
            assert smaller.groups[group] == (found[0], found[-1])


def test_what_matters_in_a_pair_alone_comes_before_noise():
    ranked = {"feature": ["p.noise", "p.sure", "p.twin", "p.other"], "rank": [2, 1, 3, 4]}
    ranking = pl.DataFrame({**ranked, "significant": [False, True, False, False]})
    pairs = pl.DataFrame({"feature_a": ["flash"], "feature_b": ["p.twin"]})
    scores = Scores(ranking, pairs)
    assert scores.order(["p.noise", "p.other", "p.twin", "p.sure"]) == ["p.sure", "p.twin", "p.noise", "p.other"]
    assert len(scores.interactions("p.twin")) == 1
    assert Scores(None, None).order(["b", "a"]) == ["b", "a"]
