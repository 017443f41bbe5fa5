"""Nights of made columns: what was fitted stays, so one new file costs its own, and columns keep their meaning."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transforms.images import models
from transforms.images.models import save, vit_processor

import featflow
from featflow.execution import shard_tasks
from featflow.pipeline import garbage

FILES, ROWS = 10, 60


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A model this small gains nothing by threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(models.vit(), tmp_path_factory.mktemp("vit"), vit_processor())


def write(folder, number, dark, seed=0):
    """Write a file of pictures of two tight groups, so many of which are dark."""
    random = np.random.default_rng([seed, number])
    is_dark = np.arange(ROWS) < dark
    pixels = np.where(is_dark, 40, 215)[:, None, None, None] + random.integers(-9, 10, (ROWS, 8, 8, 3))
    photos = []
    for each in pixels.repeat(4, 1).repeat(4, 2).astype(np.uint8):
        sink = io.BytesIO()
        Image.fromarray(each).save(sink, "PNG")
        photos.append(sink.getvalue())
    label = np.where(random.random(ROWS) < 0.9, is_dark, ~is_dark)
    columns = {"key": number * ROWS + np.arange(ROWS), "photo": photos, "dark": is_dark.astype(str)}
    table = pa.table(columns | {"label": np.where(label, "night", "day")})
    pq.write_table(table, folder / f"{number:02d}.parquet")


def configuration(folder, model, **more):
    images = [{"column": "photo", "encoder": f"transformers:{model}", "directions": 2, "clusters": 2}]
    dataset = {"source": str(folder / "data"), "entity": ["key"], "targets": ["label"], "images": images}
    analyses = {"correlation": False, "interaction": False}
    return {
        "dataset": dataset,
        "output": str(folder / "out"),
        "engine": {"kind": "serial"},
        "analyses": analyses,
        **more,
    }


@pytest.fixture(scope="module")
def nights(model, tmp_path_factory):
    """A run over ten files, of which more pictures are dark, and one over one file more, which turns that round."""
    folder = tmp_path_factory.mktemp("nights")
    (folder / "data").mkdir()
    for number in range(FILES):
        write(folder / "data", number, dark=32)
    first = featflow.run(configuration(folder, model))
    write(folder / "data", FILES, dark=0)
    read, plain = [], shard_tasks.summarize

    def summarize(work, item):
        names = [work.specs[index].name for index in item.specs]
        read.extend((name, shard.file.uri) for name in names for shard in item.shards)
        return plain(work, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("featflow.execution.shard_tasks.summarize", summarize)
        patch.setattr("featflow.execution.passes.summarize", summarize)
        second = featflow.run(configuration(folder, model))
    return folder, first, second, read


def clusters(run):
    """Which cluster dark pictures lie in, and bright ones."""
    ranking = run.table("profile")
    row = ranking.row(by_predicate=pl.col("column") == "photo.cluster", named=True)
    return {each["value"]: each["count"] for each in row["top_values"]}


def test_a_night_costs_one_shard(nights):
    _, first, second, read = nights
    assert first.manifest["shards"] == {"total": FILES, "computed": FILES, "reused": 0}
    assert second.manifest["shards"] == {"total": FILES + 1, "computed": 1, "reused": FILES}
    assert second.manifest["codebook"] == first.manifest["codebook"]
    assert second.manifest["frozen"] == first.manifest["frozen"] != {}
    assert {uri.rpartition("/")[2] for _, uri in read} == {f"{FILES:02d}.parquet"}
    assert {"columns", "vector_moments", "class_moments", "vector_sample"} <= {name for name, _ in read}


def test_clusters_keep_their_meaning_and_nothing_is_alarming(nights):
    _, first, second, _ = nights
    before, now = clusters(first), clusters(second)
    dark = max(before, key=before.get)
    assert before[dark] == now[dark] == 32 * FILES, "there are no more dark pictures"
    assert now == before | {value: count + ROWS for value, count in before.items() if value != dark}
    alerts = second.table("drift").filter(pl.col("alert"), pl.col("feature").str.starts_with("photo"))
    assert alerts.height == 0


def test_accuracies_are_held_out(nights):
    """Labels say which group a picture is of, nine times out of ten: no honest classifier does better."""
    for run in nights[1:3]:
        (target,) = run.table("embedding_profile")["targets"][0]
        rows = run.manifest["rows"]["read"]
        error = np.sqrt(0.9 * 0.1 / rows)
        assert target["held_out_rows"] == rows
        for name in ("nearest_mean", "linear_probe"):
            assert target[f"{name}_accuracy"] == pytest.approx(0.9, abs=4 * error)


def test_what_was_fitted_stays_while_a_kept_run_rests_on_it(nights):
    folder, _, second, _ = nights
    found = garbage.find(str(folder / "out"), keep=1)
    assert not any(path.startswith("states/frozen/") for path in found.files)
    assert [path.stem for path in (folder / "out/states/frozen").iterdir()] == list(second.manifest["frozen"].values())


def test_fitted_anew_old_clusters_keep_their_numbers(nights, model):
    folder, first, _, _ = nights
    before = clusters(first)
    dark = max(before, key=before.get)
    for number in range(3):  # a third group, and most pictures bright
        write(folder / "data", FILES + 1 + number, dark=0, seed=1)
    config = configuration(folder, model, codebook={"frozen": False})
    config["dataset"]["images"][0]["clusters"] = 2
    again = featflow.run(config)
    assert again.manifest["frozen"] != first.manifest["frozen"]
    now = clusters(again)
    assert set(now) == set(before)
    assert now[dark] == 32 * FILES
