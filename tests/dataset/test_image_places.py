"""What rows may name as their images: what lies below the dataset's folder, and what is allowed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import featflow
from featflow.analyses.embedding.pictures import images, pieces
from featflow.dataset import image_files, image_places
from featflow.dataset.files import DataFile
from featflow.dataset.formats import FRAME
from featflow.dataset.image_places import MORE, ImagePathError, ImagePlaces, folder_uri
from featflow.dataset.listing import list_data_files
from featflow.dataset.options import DatasetOptions


def said(places, path):
    """The URI of a path, or why there is none."""
    try:
        return places.uri(path)
    except ImagePathError as error:
        return f"refused: {error}"


@pytest.fixture
def disk(tmp_path):
    """A dataset beside what its rows must not name, with links that lead there and back."""
    for name in ("data/pets/cats/1.png", "data/pets-secret/1.png", "secret/1.png", "photos/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"data")
    pets = tmp_path / "data" / "pets"
    (pets / "out").symlink_to(tmp_path / "secret")
    (pets / "out.png").symlink_to(tmp_path / "secret" / "1.png")
    (pets / "in.png").symlink_to("cats/1.png")
    (pets / "deep").symlink_to(pets / "cats")
    (tmp_path / "alias").symlink_to(pets)
    return tmp_path


OUTSIDE = [
    *("../../secret/{}", "../pets-secret/{}", "{root}/secret/{}", "file://{root}/secret/{}", "FILE://{root}/secret/{}"),
    *("local://{root}/secret/{}", "cats/../../../secret/{}", "out/{}", "deep/../../../secret/{}", "/etc/{}"),
    *("file:///proc/self/{}", "{root}/data/pets/../pets-secret/{}", "{root}/data/pets/out/../secret/{}", "//etc/{}"),
    *("out/../secret/{}", "file://../secret/{}", "{root}/data/pets/./../../secret/{}", "./out/./{}"),
]


@pytest.mark.parametrize("form", OUTSIDE)
def test_what_lies_outside_is_refused_whether_it_is_there_or_not(form, disk, monkeypatch):
    places = ImagePlaces(DataFile(f"{disk}/data/pets/a.parquet", 1, "", images_below=(f"{disk}/data/pets",)))
    monkeypatch.setattr(image_files, "_read", lambda *_: pytest.fail("it was opened"))
    there, absent = (said(places, form.format(name, root=disk)) for name in ("1.png", "2.png"))
    assert there.startswith("refused: ")
    assert there.endswith(MORE)
    assert there.replace("1.png", "2.png") == absent


def test_names_alone_decide_about_what_is_outside(disk, monkeypatch):
    """An answer, or the time that it takes, would tell what is there."""
    places = ImagePlaces(DataFile(f"{disk}/data/pets/a.parquet", 1, "", images_below=(f"{disk}/data/pets",)))
    monkeypatch.setattr(image_places.os.path, "realpath", lambda _: pytest.fail("it was looked at"))
    monkeypatch.setattr(image_places.os.path, "islink", lambda _: pytest.fail("it was looked at"))
    for path in ("../../secret/1.png", f"{disk}/secret/1.png", "file:///etc/passwd", "../pets-secret/1.png"):
        assert said(places, path).startswith("refused: ")


def test_what_lies_inside_is_found_by_any_name(disk):
    places = ImagePlaces(DataFile(f"{disk}/alias/a.parquet", 1, "", images_below=(f"{disk}/alias",)))
    cat = f"file://{os.path.realpath(disk)}/data/pets/cats/1.png"
    inside = ["cats/1.png", "in.png", "deep/1.png", "deep/../cats/1.png", "./cats/./1.png", f"{disk}/alias/in.png"]
    inside += [f"{disk}/data/pets/cats/1.png", f"file://{disk}/alias/cats/1.png"]
    assert [said(places, path) for path in inside] == [cat] * len(inside)
    assert said(places, "out.png").startswith("refused: ")
    below = DataFile(f"{disk}/alias/a.parquet", 1, "", images_below=(f"{disk}/alias",))
    assert said(ImagePlaces(below, [folder_uri(f"{disk}/secret/")]), "out.png") == cat.replace(
        "data/pets/cats", "secret"
    )


ALLOWED_ON_S3 = {
    "1.png": "s3://lake/pets/day/1.png",
    "../1.png": "s3://lake/pets/1.png",
    "./a//1.png": "s3://lake/pets/day/a//1.png",
    "s3://lake/pets/1.png": "s3://lake/pets/1.png",
    "S3A://lake/pets/1.png": "s3://lake/pets/1.png",
    "s3://photos/2026/1.png": "s3://photos/2026/1.png",
    "https://photos.example/2026/1.png": "https://photos.example/2026/1.png",
}
REFUSED_ON_S3 = [
    *("s3://payroll/1.png", "s3://lake/1.png", "s3://lake/pets-secret/1.png", "../../1.png", "../../../payroll/1.png"),
    *("s3://lake/pets/../1.png", "s3://lake/pets/../../payroll/1.png", "s3://lake", "s3://", "s3:///lake/pets/1.png"),
    *("s3://photos/2025/1.png", "s3://photos/20261/1.png", "s3://photos/2026/../2025/1.png", "gs://lake/pets/1.png"),
    *(
        "https://photos.example/2026/../1.png",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "/lake/pets/1.png",
    ),
    *("simplecache::s3://lake/pets/1.png", "s3://x@lake/pets/1.png", "s3://lake.evil/pets/1.png", "hdfs://evil:1/lake"),
]


def on_s3():
    allowed = map(folder_uri, ["s3a://photos/2026/", "https://photos.example/2026"])
    return ImagePlaces(DataFile("s3://lake/pets/day/a.parquet", 1, "", images_below=("s3://lake/pets",)), allowed)


@pytest.mark.parametrize("path", ALLOWED_ON_S3)
def test_prefixes_that_rows_may_name(path):
    assert said(on_s3(), path) == ALLOWED_ON_S3[path]


@pytest.mark.parametrize("path", REFUSED_ON_S3)
def test_prefixes_that_rows_may_not_name(path):
    found = said(on_s3(), path)
    # What is no URI is a name below the folder of the file.
    assert found.startswith(("refused: ", "s3://lake/pets/day/simplecache::"))


def test_frames_lie_in_no_folder(tmp_path):
    (tmp_path / "1.png").write_bytes(b"data")
    frame = DataFile(f"{FRAME}0f0f", 1, "")
    assert "write whole paths" in said(ImagePlaces(frame, [folder_uri(str(tmp_path))]), "1.png")
    assert said(ImagePlaces(frame), f"{tmp_path}/1.png").endswith(MORE)
    allowed = ImagePlaces(frame, [folder_uri(str(tmp_path))])
    assert said(allowed, f"{tmp_path}/1.png") == f"file://{os.path.realpath(tmp_path)}/1.png"


def test_the_folder_above_all_sources_holds_the_images(tmp_path):
    for name in ("a/day=1/x.parquet", "a/day=2/x.parquet"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"PAR1")
    days = [str(tmp_path / "a" / f"day={day}") for day in (1, 2)]

    def below(*sources):
        return {file.images_below for file in list_data_files(list(sources), {}).files}

    assert below(days[0]) == {(days[0],)}
    assert below(*days) == below(str(tmp_path / "a")) == {(str(tmp_path / "a"),)}
    assert below(f"{days[0]}/x.parquet") == {(days[0],)}


@pytest.mark.parametrize("folder", ["", "s3://", "s3://photos/*", "s3://key:secret@photos/"])
def test_folders_that_cannot_be_allowed(folder):
    with pytest.raises(ValueError, match="images"):
        DatasetOptions(source="lake", images=[{"column": "photo", "allow": folder}])


# --- in a run -------------------------------------------------------------------------------------------------------


def save(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(path)
    return str(path)


def test_a_run_says_what_rows_may_not_name(tmp_path):
    """Three rows name what is elsewhere, one of which does not exist; allowing it makes their vectors."""
    own = [save(tmp_path / "data" / f"{row}.png", 20 * row) for row in range(5)]
    secret = save(tmp_path / "secret" / "0.png", 222)
    paths = [*(Path(path).name for path in own), secret, "../secret/0.png", f"{tmp_path}/secret/none.png"]
    table = pa.table({"photo": paths, "key": [f"{row}" for row in range(8)], "label": ["x", "y"] * 4})
    pq.write_table(table, tmp_path / "data" / "a.parquet")

    def run(**image):
        dataset = {"source": f"{tmp_path}/data", "entity": ["key"], "targets": ["label"]}
        analyses = {"correlation": False, "interaction": False, "drift": False}
        dataset |= {"images": [{"column": "photo"} | image]}
        engine = {"kind": "serial"}
        return featflow.run({"dataset": dataset, "output": f"{tmp_path}/out", "engine": engine, "analyses": analyses})

    first = run()
    found = first.arrow("embedding").sort_by("key").to_pylist()
    assert [row["status"] for row in found] == ["ok"] * 5 + ["unreadable"] * 3
    assert {row["error"].replace(row_path, "P") for row, row_path in zip(found[5:], paths[5:], strict=True)} == {
        f"P lies outside the dataset's folder{MORE}"
    }
    (warning,) = (each for each in first.manifest["warnings"] if "outside" in each)
    assert warning.startswith("3 rows of 'photo' name images outside the dataset's folder, which were not looked at; ")
    assert "allow of its entry in dataset.images" in warning
    (piece,), _ = pieces(first)
    assert set(images(piece, "photo", range(8), {})) == {0, 1, 2, 3, 4}

    second = run(allow=[f"{tmp_path}/secret"])
    found = second.arrow("embedding").sort_by("key").to_pylist()
    assert [row["status"] for row in found] == ["ok"] * 7 + ["unreadable"]
    assert found[5]["embedding"] == found[6]["embedding"] != found[0]["embedding"]
    assert not any("outside" in each for each in second.manifest["warnings"])
    (piece,), _ = pieces(second)
    assert set(images(piece, "photo", range(8), {})) == {0, 1, 2, 3, 4, 5, 6}


def test_a_folder_of_pictures_names_its_own(tmp_path):
    """Links in it are followed, as its listing follows them."""
    (tmp_path / "pets").mkdir()
    for row in range(4):
        (tmp_path / "pets" / f"{row}.png").symlink_to(save(tmp_path / "store" / f"{row}.png", 50 * row))
    done = featflow.run(f"pictures:{tmp_path}/pets", engine={"kind": "serial"}, output=tmp_path / "out")
    assert done.manifest["analyses"]["embedding"]["images"]["picture"] == {"ok": 4}
