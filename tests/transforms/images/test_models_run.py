"""Models' vectors in whole runs, and all that is made of them: on real pictures, and on some with planted truths."""

from __future__ import annotations

import io
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from datasets import write_parts
from PIL import Image, ImageOps
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from sklearn.neighbors import NearestCentroid
from transforms.images import model_runs, models
from transforms.images.model_runs import by_model, configuration, said, vectors
from transforms.images.models import convnext_processor, save, spec_of, vit_processor

import featflow
from featflow.config import parse
from featflow.dataset.dataset import open_dataset
from featflow.pipeline.plan import plan
from featflow.storage.store import Store
from featflow.transforms.images.pixels import prepare

ENCODERS = ("descriptors", "vit", "resnet")
SHARDINGS = {"row_groups": ("200KiB", 2 + 9), "files": ("128MiB", 2)}
ROWS, FILES, FOLDS = 600, 6, 5
KEYS = {"entity": ["key"], "targets": ["label", "permuted"]}
PREFIXES = [1, 2, 4, 8, 16, 32]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small gain nothing by threads, which wait for each other where others work, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    made = {"vit": (models.vit(), vit_processor()), "resnet": (models.resnet(), convnext_processor())}
    return {name: save(model, tmp_path_factory.mktemp(name), how) for name, (model, how) in made.items()}


def placed(run, column):
    """Return what the states of a run hold of the columns made of an image's vectors: directions, then the cluster."""
    config = parse(run.manifest["config"])
    dataset, store = open_dataset(config.dataset, config.output), Store(config.output, {})
    folders = [path.name for path in Path(config.output, "states", "columns").iterdir()]
    paths = ([f"states/columns/{folder}/{shard.digest}.arrow" for shard in dataset.shards] for folder in folders)
    tables = (pa.concat_tables(map(store.read_arrow, each)) for each in paths)
    table = next(table for table in tables if f"{column}.direction_1" in table.column_names)
    return np.column_stack([each.to_numpy().astype(np.float32) for each in table.columns])


# --- real pictures --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    """Pictures from two places, in three columns, one an encoder: the folder, the keys, and what Pillow reads."""
    folder, tables = tmp_path_factory.mktemp("real"), []
    for name, rows in (("cifar10_20k", 500), ("sign_digits", 2_062)):
        table = pq.read_table(shared_data / f"{name}.parquet").slice(0, rows)
        columns = {key: table[key] for key in ("image_id", "label")} | dict.fromkeys(ENCODERS, table["image"])
        tables.append(pa.table(columns))
        pq.write_table(tables[-1], folder / f"{name}.parquet", row_group_size=256)
    table = pa.concat_tables(tables)
    pictures = [Image.open(io.BytesIO(value["bytes"])) for value in table["vit"].to_pylist()]
    return folder, table["image_id"].to_pylist(), pictures


@pytest.fixture(scope="module")
def runs(real, sources, local_ray, tmp_path_factory):
    """Runs by engine and sharding."""
    images, found = ["descriptors", *(by_model(folder, name) for name, folder in sources.items())], {}
    for kind, sharding in (("serial", "row_groups"), ("serial", "files"), ("ray", "row_groups")):
        keys = {"entity": ["image_id"], "targets": ["label"], "shard_bytes": SHARDINGS[sharding][0], "kind": kind}
        found[kind, sharding] = featflow.run(configuration(real[0], tmp_path_factory.mktemp("out"), images, **keys))
    return found


def bare(source, images):
    """Return what the model that transformers loads from a directory says of pictures, in plain batches."""
    network, how = transformers.AutoModel.from_pretrained(source, local_files_only=True).eval(), spec_of(source)
    found = []
    for start in range(0, len(images), 100):
        some = [image.convert("RGB") for image in images[start : start + 100]]
        some = [np.asarray(image.reduce(-(-max(image.size) // how.longest))) for image in some]
        with torch.inference_mode():
            output = network(pixel_values=prepare(some, how.preprocessing, len(some), torch.device("cpu")))
        found.append(output.pooler_output.flatten(1).numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_every_vector_is_that_of_the_bare_model(name, runs, sources, real):
    """On both engines and for two shardings; three pictures are photographs that lie on their side."""
    pictures = real[2]
    expected = bare(sources[name], [ImageOps.exif_transpose(picture) for picture in pictures])
    lying = [row for row, picture in enumerate(pictures) if picture.width > 1000]
    assert [pictures[row].getexif()[0x0112] for row in lying] == [6, 6, 6]
    as_they_lie = bare(sources[name], [pictures[row] for row in lying])
    assert np.abs(as_they_lie - expected[lying]).max(axis=1).min() > 1e-2
    assert np.abs(expected - expected[0]).max(axis=1)[1:].min() > 1e-3, "pictures differ"
    found = np.stack([vectors(run, name) for run in runs.values()])
    assert found.shape == (3, *expected.shape)
    assert np.abs(found - expected).max() < 1e-4
    assert np.ptp(found, axis=0).max() < 1e-4


def test_rows_in_are_rows_out(runs, real):
    keys = real[1]
    features = vectors(runs["serial", "files"], "descriptors")
    for (kind, sharding), run in runs.items():
        assert (run.manifest["engine"], run.manifest["shards"]["total"]) == (kind, SHARDINGS[sharding][1])
        assert run.manifest["analyses"]["embedding"]["images"] == {name: {"ok": len(keys)} for name in ENCODERS}
        assert all(said(run, name, "image_id") == keys for name in ENCODERS)
        assert np.array_equal(vectors(run, "descriptors"), features)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_directions_are_principal_components(name, runs):
    run = runs["serial", "row_groups"]
    x = vectors(run, name).astype(float)
    expected = PCA(8, svd_solver="full").fit(x)
    signs = [np.sign(axis[np.abs(axis).argmax()]) for axis in expected.components_]
    components, spread = expected.transform(x) * signs, np.sqrt(expected.explained_variance_)
    found = placed(run, name)
    assert found.shape == (len(x), 8 + 1), "and the cluster"
    assert (np.abs(found[:, :8] - components) / spread).max() < 1e-4
    profile = {row["column"]: row for row in run.table("profile").to_dicts()}
    for place in range(8):
        row, values = profile[f"{name}.direction_{place + 1}"], components[:, place]
        ends = [values.min(), values.mean(), values.max()]
        assert [row["min"], row["mean"], row["max"]] == pytest.approx(ends, abs=1e-4 * spread[place])


# --- planted truths -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    return model_runs.planted(ROWS)


@pytest.fixture(scope="module")
def done(planted, sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    images = [by_model(sources["vit"], clusters=4, directions=5, split="part")]
    source = write_parts(planted.table, folder / "data", FILES)
    return featflow.run(configuration(source, folder / "out", images, **KEYS))


@pytest.fixture(scope="module")
def x(done, planted):
    """The vectors of the rows that have a picture."""
    found = vectors(done)
    assert np.array_equal(np.flatnonzero(np.isfinite(found).all(axis=1)), planted.there)
    return found[planted.there].astype(float)


def test_clusters_are_the_planted_groups(done, planted, x):
    cluster = placed(done, "photo")[planted.there, 5].astype(int)
    assert adjusted_rand_score(planted.group[planted.there], cluster) == 1
    assert adjusted_rand_score(KMeans(4, n_init=5, random_state=0).fit_predict(x), cluster) == 1
    centres = np.stack([x[cluster == each].mean(axis=0) for each in range(4)])
    assert np.array_equal(((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1), cluster)
    first = [placed(done, "photo")[planted.there][cluster == each, 0].mean() for each in range(4)]
    assert first == sorted(first), "numbers go by the leading direction"


def test_the_ranking_speaks_of_clusters(done, planted):
    ranking = done.table("ranking")
    found = ranking.row(by_predicate=(pl.col("target") == "label") & (pl.col("feature") == "photo.cluster"), named=True)
    assert found["significant"]
    assert ranking.filter(pl.col("target") == "label")["feature"][0].startswith("photo.")
    known = planted.table["label"].is_valid().to_numpy()
    groups = np.where(np.isin(np.arange(ROWS), planted.there), planted.group, -1)  # without a picture, one more
    labels = planted.table["label"].drop_null().to_pylist()
    assert found["mi"] == pytest.approx(mutual_info_score(labels, groups[known]), rel=1e-9)
    assert not ranking.filter(pl.col("target") == "permuted", pl.col("feature") != "part")["significant"].any()


def test_the_profile_is_that_of_the_table(done, x):
    row = done.table("embedding_profile").row(0, named=True)
    spectrum = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2 / (len(x) - 1)
    variance, shares = x.var(axis=0, ddof=1), spectrum / spectrum.sum()
    counts = "rows", "valid", "failed", "nonfinite", "dead_dimensions"
    assert [row[name] for name in counts] == [ROWS, ROWS - 4, 4, 0, 0]
    assert row["centroid"] == pytest.approx(x.mean(axis=0), rel=1e-6, abs=1e-9)
    assert row["variance"] == pytest.approx(variance, rel=1e-6)
    assert row["spectrum"] == pytest.approx(spectrum, rel=1e-6, abs=1e-9 * spectrum[0])
    assert row["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    assert row["prefix_variance"] == pytest.approx([variance[:k].sum() / variance.sum() for k in PREFIXES])
    assert row["norm_counts"] == np.histogram(np.linalg.norm(x, axis=1), row["norm_edges"])[0].tolist()


@pytest.mark.parametrize(("target", "chance"), [("label", 0.85 + 0.15 / 4), ("permuted", 1 / 4)])
def test_accuracies_are_of_shards_held_out(target, chance, done, planted, x):
    """Those of scikit-learn on the same folds, and what was planted to within four standard errors of a share."""
    labels = np.array(planted.table[target].to_pylist(), object)[planted.there]
    known = np.array([label is not None for label in labels])
    x, y, fold = x[known], labels[known].astype(str), planted.there[known] // (ROWS // FILES) % FOLDS
    right = defaultdict(int)
    for held in (fold == each for each in range(FOLDS)):
        within = np.concatenate([x[~held & (y == c)] - x[~held & (y == c)].mean(axis=0) for c in set(y)]).std(axis=0)
        models_and_widths = [(NearestCentroid(), k) for k in PREFIXES]
        models_and_widths.append((LinearDiscriminantAnalysis("lsqr", shrinkage="auto"), None))
        for place, (model, k) in enumerate(models_and_widths):
            scaled = (x / within)[:, :k]
            right[place] += (model.fit(scaled[~held], y[~held]).predict(scaled[held]) == y[held]).sum() / len(y)
    *nearest, probe = right.values()
    error = np.sqrt(chance * (1 - chance) / len(y))
    (found,) = (each for each in done.table("embedding_profile")["targets"][0] if each["target"] == target)
    assert found["held_out_rows"] == len(y)
    assert found["prefix_accuracy"] == pytest.approx(nearest)
    assert found["nearest_mean_accuracy"] == found["prefix_accuracy"][-1] == pytest.approx(chance, abs=4 * error)
    assert found["linear_probe_accuracy"] == pytest.approx(chance, abs=4 * error)
    assert found["linear_probe_accuracy"] == pytest.approx(probe, abs=error), "whose shrinkage is another"


def test_one_shard_has_nothing_to_hold_out(planted, sources, tmp_path):
    source = write_parts(planted.table.slice(0, 100), tmp_path / "data", 1)
    run = featflow.run(configuration(source, tmp_path / "out", [by_model(sources["vit"])], **KEYS))
    for target in run.table("embedding_profile")["targets"][0]:
        accuracies = [target[f"{name}_accuracy"] for name in ("nearest_mean", "linear_probe", "prefix")]
        assert accuracies == [None, None, None]
        assert target["held_out_rows"] == 0 < target["fisher_ratio"]
    assert "accuracies are of shards held out; there is one, lower dataset.shard_bytes" in run.manifest["warnings"][0]


def test_copies_and_what_leaks_across_a_split(done, planted):
    """Every image against every other, by the bytes and the looks that were planted."""
    rows = planted.table.select(["photo", "part"]).to_pylist()
    images = [(rows[row]["photo"], int(planted.look[row]), rows[row]["part"]) for row in planted.there]
    found = done.table("embedding_profile").row(0, named=True)
    photos_of = defaultdict(set)
    for photo, look, _ in images:
        photos_of[look].add(photo)
    assert found["exact_duplicates"] == len(images) - len({photo for photo, *_ in images}) >= 40
    assert found["near_duplicates"] == sum(len(photos_of[look]) > 1 for _, look, _ in images) >= 30
    pairs = sorted((leak["first"], leak["second"]) for leak in found["leakage"])
    assert pairs == list(permutations(["test", "train", "valid"], 2))
    for leak in found["leakage"]:
        photos, looks = ({image[place] for image in images if image[2] == leak["first"]} for place in (0, 1))
        second = [(photo in photos, look in looks) for photo, look, part in images if part == leak["second"]]
        assert leak["exact"] == sum(same for same, _ in second)
        assert leak["near"] == sum(alike and not same for same, alike in second)


def test_forms_of_vectors_are_what_numpy_makes_of_them(planted, sources, tmp_path):
    short, unit = {"prefix": 8}, {"prefix": 8, "normalize": True}
    forms = {"whole": {}, "short": short, "unit": unit, "half": {"dtype": "float16"} | unit | {"prefix": 5}}
    columns = {"key": planted.table["key"]} | dict.fromkeys(forms, planted.table["photo"])
    source = write_parts(pa.table(columns | {"part": planted.table["part"]}), tmp_path / "data", 2)
    images = [by_model(sources["vit"], name, clusters=0, directions=0, **how) for name, how in forms.items()]
    run = featflow.run(configuration(source, tmp_path / "out", images, entity=["key"]))
    whole = vectors(run, "whole")
    units = {k: whole[:, :k] / np.linalg.norm(whole[:, :k].astype(float), axis=1)[:, None] for k in (5, 8)}
    assert np.array_equal(vectors(run, "short"), whole[:, :8], equal_nan=True)
    assert vectors(run, "unit") == pytest.approx(units[8], rel=1e-6, nan_ok=True)
    assert np.array_equal(vectors(run, "half"), units[5].astype(np.float16), equal_nan=True)
    (plain,), *others = (set(said(run, name, "encoder")) for name in forms)
    assert others == [{plain + end} for end in (";prefix=8", ";prefix=8;normalized", ";prefix=5;normalized;float16")]
    profile = run.table("embedding_profile")
    assert profile["width"].to_list() == [32, 8, 8, 5]
    assert profile["prefix"].to_list() == [PREFIXES, PREFIXES[:4], PREFIXES[:4], [1, 2, 4, 5]]
    assert run.table("profile")["column"].to_list() == ["part"], "no directions and no clusters were asked for"


def test_plans_before_and_after(planted, sources, tmp_path, monkeypatch):
    source = write_parts(planted.table.slice(0, 200), tmp_path / "data", 2)
    config = configuration(source, tmp_path / "out", [by_model(sources["vit"])], **KEYS)
    before = plan(parse(config))
    assert before.notes == ["columns made of 'photo' are known once a run has read it"]
    assert (before.profile_shards, before.relation_shards) == (2, None)
    first, after = featflow.run(config), plan(parse(config))
    assert (after.notes, after.profile_shards, after.relation_shards) == ([], 0, 0)
    assert sum(after.columns.values()) == sum(before.columns.values()) + 8 + 1
    monkeypatch.setattr("featflow.transforms.images.decoders.decode", None)
    again = featflow.run(config)
    assert again.manifest["shards"] == {"total": 2, "computed": 0, "reused": 2}
    for name in set(first.tables) - {"drift"}:  # which names runs
        assert again.table(name).equals(first.table(name), null_equal=True)
