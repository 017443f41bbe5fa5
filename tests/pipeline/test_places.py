"""What decides about rows is where they lie in the dataset: files that are touched or copied give the same tables."""

from __future__ import annotations

import io
import os
import shutil

import numpy as np
import pyarrow as pa
import pytest
from datasets import mixed_table, write_parts
from PIL import Image

import featflow
from featflow.analyses.interaction import search

FILES, ROWS, PICTURES, SAMPLED = 12, 2_400, 240, 400
METHODS = ("pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information")
COLUMNS = {
    "dataset": {"targets": ["target", "count"], "exclude": ["when", "big_id"], "shard_bytes": 1},
    "analyses": {
        "uncertainty": {"groups": 8},
        "interaction": {"search": "sample", "keep": 3},
        "correlation": {"dense": True, "methods": list(METHODS)},
        "profile": {"sketches": True},
    },
}
IMAGES = {
    "dataset": {
        "targets": ["label", "light"],
        "kinds": {"label": "category"},
        "images": [{"column": "photo", "split": "part"}],
        "shard_bytes": 1,
    },
    "analyses": {"uncertainty": {"groups": 8}},
}


def columns():
    """Numbers whose sums depend on their order, and pairs of columns that say about equally little."""
    table, random = mixed_table(ROWS), np.random.default_rng(3)
    for name in ("p", "q", "r"):
        table = table.append_column(name, pa.array(random.choice(["a", "b", "c", "d"], ROWS)))
    return table


def pictures():
    random = np.random.default_rng(4)
    label = random.integers(0, 3, PICTURES)
    pixels = random.integers(0, 200, (PICTURES, 9, 8, 3)) + 20 * label[:, None, None, None]
    pixels[::7] = pixels[0]
    return pa.table(
        {
            "photo": [png(each.astype(np.uint8)) for each in pixels],
            "label": label,
            "light": pixels.mean(axis=(1, 2, 3)),
            "part": random.choice(["train", "test"], PICTURES),
        }
    )


def png(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def run(config, source, output):
    dataset = config["dataset"] | {"source": str(source)}
    return featflow.run(config | {"dataset": dataset, "output": str(output), "engine": {"kind": "serial"}})


@pytest.fixture(autouse=True, scope="module")
def small_samples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "FEWEST_ROWS", SAMPLED)
        yield


@pytest.fixture(params=[(columns, COLUMNS), (pictures, IMAGES)], ids=["columns", "pictures"], scope="module")
def first(request, tmp_path_factory):
    """A configuration and a run of it over twelve files of two row groups, a shard each: three a group of rows."""
    table, config = request.param
    folder, rows = tmp_path_factory.mktemp("first"), table()
    write_parts(rows, folder / "data", FILES, group_rows=len(rows) // FILES // 2)
    return config, run(config, folder / "data", folder / "out")


def test_files_that_are_copied_and_touched_change_no_table(first, tmp_path):
    config, before = first
    source = shutil.copytree(
        *before.manifest["config"]["dataset"]["source"], tmp_path / "elsewhere" / "deeper" / "copy"
    )
    for place, path in enumerate(sorted(source.iterdir())):
        os.utime(path, (1_500_000_000 + 86_400 * place,) * 2)
    after = run(config, source, tmp_path / "out")
    assert after.tables.keys() == before.tables.keys()
    assert [name for name in before.tables if not comparable(after, name).equals(comparable(before, name))] == []
    for method in config["analyses"].get("correlation", {}).get("methods", []):
        assert np.array_equal(after.matrix(method)[1], before.matrix(method)[1], equal_nan=True)
    for key in ("codebook", "fitted", "shards", "warnings"):
        assert after.manifest[key] == before.manifest[key]
    names = [{name for used in each.manifest["state_references"] for name in used["names"]} for each in (before, after)]
    assert names[0].isdisjoint(names[1]), "states go on being named by their content"


def comparable(done, name):
    """Return a table without the bytes of KLL sketches, whose coin flips cannot be seeded."""
    return done.arrow(name).drop(["quantile_sketch"] if name == "profile" else [])


def test_the_rows_of_a_sample_do_not_depend_on_shards(tmp_path):
    source = write_parts(columns(), tmp_path / "data", FILES, group_rows=50)
    search_alone = {"interaction": COLUMNS["analyses"]["interaction"], "correlation": False}
    found = []
    for size in (1, "128MiB"):
        config = {"dataset": COLUMNS["dataset"] | {"shard_bytes": size}, "analyses": search_alone}
        done = run(config, source, tmp_path / str(size))
        # Synergy is the jackknife's estimate, whose groups are the shards here.
        table = done.arrow("interaction").select(["target", "feature_a", "feature_b", "joint_mi", "rows_used"])
        table = table.sort_by([(name, "ascending") for name in ("target", "feature_a", "feature_b")])
        found.append((done.manifest["shards"]["total"], table, done.manifest["analyses"]["interaction"]))
    assert [shards for shards, *_ in found] == [48, 12]
    assert found[0][1:] == found[1][1:]
