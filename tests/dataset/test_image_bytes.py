"""Image columns as bytes: every way to hold them, and paths that lead where they may not."""

from __future__ import annotations

import base64
import os
import socket

import pyarrow as pa
import pytest
import s3fs

from featflow.dataset import image_files
from featflow.dataset.files import DataFile
from featflow.dataset.image_bytes import images_of, stored_by_path
from featflow.dataset.image_places import ANYWHERE, ImagePlaces
from featflow.errors import InfrastructureError

BYTES = [b"one", b"", None, b"two"]


def found(array, file="file:///nowhere/a.parquet", options=None, below="/"):
    """Bytes and faults of images in a file, whose rows may name all that lies in a folder."""
    places = ImagePlaces(DataFile(str(file), 1, "", images_below=(str(below),)))
    images = images_of(array, places, options or {})
    return [(value["bytes"], value["error"]) for value in images.to_pylist()]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_are_taken_as_they_are(kind):
    array = pa.array(BYTES, kind)
    assert found(array) == [(value, None) for value in BYTES]
    assert stored_by_path(array).to_pylist() == [False] * 4


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_bytes_may_stand_in_a_dictionary(kind):
    array = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 2, 1], pa.int8()), pa.array([b"a", b"b", None], kind))
    assert found(array) == [(value, None) for value in (b"b", b"a", None, None, b"b")]
    assert stored_by_path(array).to_pylist() == [False] * 5


def test_bytes_of_one_length_and_columns_of_nothing():
    assert found(pa.array([b"abc", None], pa.binary(3))) == [(b"abc", None), (None, None)]
    assert found(pa.nulls(2)) == [(None, None)] * 2


@pytest.mark.parametrize(
    "paths", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
@pytest.mark.parametrize("data", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.null()])
def test_structs_hold_any_types_of_bytes_and_texts(paths, data, tmp_path):
    (tmp_path / "b.png").write_bytes(b"from the path")
    parts = [
        pa.array(["b.png", None, "b.png"]).cast(paths),
        pa.array([None, None, None if data == pa.null() else b"own"], data),
    ]
    array = pa.StructArray.from_arrays(parts, ["path", "bytes"])
    last = b"from the path" if data == pa.null() else b"own"
    assert found(array, tmp_path / "a.parquet") == [(b"from the path", None), (None, None), (last, None)]


def test_structs_go_by_name_and_bytes_go_first(tmp_path):
    (tmp_path / "b.png").write_bytes(b"from the path")
    kind = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
    values = [
        {"bytes": b"one", "path": "no/such"},
        {"bytes": None, "path": "b.png"},
        {"bytes": None, "path": None},
        None,
    ]
    expected = [(b"one", None), (b"from the path", None), (None, None), (None, None)]
    array = pa.array(values, kind)
    assert found(array, tmp_path / "a.parquet") == expected
    assert found(array[1:], tmp_path / "a.parquet") == expected[1:]
    assert stored_by_path(array).to_pylist() == [False, True, False, False]
    assert stored_by_path(array[1:]).to_pylist() == [True, False, False]


def test_what_hides_below_a_struct_that_is_null_is_not_read():
    parts = [pa.array([b"one", None]), pa.array([None, "a.png"])]
    array = pa.StructArray.from_arrays(parts, ["bytes", "path"], mask=pa.array([True, True]))
    assert found(array) == [(None, None), (None, None)]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_uris_are_read_beside_the_file(kind, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "b c.png").write_bytes(b"data")
    paths = ["pictures/b c.png", f"{tmp_path}/pictures/b c.png", None, "pictures/none.png"]
    first, second, missing, none = found(pa.array(paths).cast(kind), tmp_path / "a.parquet")
    assert first == second == (b"data", None)
    assert missing == (None, None)
    assert none[0] is None
    assert "none.png" in none[1]


def test_storage_that_fails_is_no_fault_of_the_row(monkeypatch):
    """Else a night's outage would stay in the states as images that cannot be read."""

    def outage(location):
        raise TimeoutError("no answer")

    monkeypatch.setattr(image_files, "_read_local", outage)
    monkeypatch.setattr("featflow.storage.retries.LONGEST_WAIT", 0)
    with pytest.raises(InfrastructureError, match=r"a\.png: cannot read it: no answer; retry"):
        found(pa.array(["a.png"]))


@pytest.mark.parametrize("path", ["/etc/hosts", "file:///etc/hosts", "http://127.0.0.1/a.png"])
def test_a_row_cannot_name_another_storage(path):
    ((data, error),) = found(pa.array([path]), "s3://lake/a.parquet", below="s3://lake")
    assert data is None
    assert error == f"{path} is not on the dataset's storage, s3; allow in dataset.images names more that rows may read"


# --- what may stand in a row ----------------------------------------------------------------------------------------

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def odd_files(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "ok.png").write_bytes(b"data")
    (tmp_path / "beside.png").write_bytes(b"beside")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "link.png").symlink_to(tmp_path / "beside.png")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    return tmp_path


AT_FAULT = {
    "\0.png": "null byte",
    "a" * 300: "too long",
    "b/" * 3000: "too long",
    "../loop": "symbolic links",
    "../pipe": "no regular file",
    "../socket": "",
    "/dev/zero": "no regular file",
    "/dev/tty": "",
    "..": "is a folder",
    "": "is a folder",
    "ok.png/x": "Not a directory",
    "/dev/null": "no regular file",
    "/dev/stdin": "",
    "/proc/self/fd/0/x": "",
    "file://": "is a folder",
    "file://ok.png": "No such file",
    "~/ok.png": "No such file",
    "ok.png\n": "No such file",
    "*.png": "No such file",
    ".": "is a folder",
    "../../../../../../../../../../none.png": "No such file",
    base64.b64encode(PICTURE).decode(): "it is base64 text of a PNG and no path",
    base64.b64encode(b"\xff\xd8\xff\xe0" + PICTURE).decode(): "it is base64 text of a JPEG and no path",
    "data:image/png;base64,iVBORw0KGgo=": "it is a data: URI and no path",
}


@pytest.mark.parametrize("path", AT_FAULT)
def test_a_path_that_leads_to_no_image_is_the_fault_of_its_row(path, odd_files):
    (data, error), sound = found(pa.array([path, "ok.png"]), odd_files / "tables" / "a.parquet")
    assert sound == (b"data", None)
    assert data is None
    assert AT_FAULT[path] in error


def test_paths_of_disks(odd_files):
    os.close(os.open(os.fsencode(odd_files) + b"/caf\xe9.png", os.O_CREAT))
    paths = [b"../beside.png", b"../link.png", b"../caf\xe9.png", f"file://{odd_files}/beside.png".encode()]
    array = pa.array(paths).view(pa.string())
    expected = [(b"beside", None), (b"beside", None), (b"", None), (b"beside", None)]
    assert found(array, odd_files / "tables" / "a.parquet") == expected
    assert found(array, f"file://{odd_files}/tables/a.parquet") == expected
    # The kernel says that a process's memory is a file of no bytes: nothing is read of it.
    assert found(pa.array(["/proc/self/mem"]), odd_files / "a.parquet") == [(b"", None)]


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_BYTES", 3)
    (tmp_path / "three").write_bytes(b"123")
    with (tmp_path / "vast").open("wb") as vast:
        vast.truncate(2**40)
    assert found(pa.array(["three", "vast"]), tmp_path / "a.parquet") == [
        (b"123", None),
        (None, "it has more than 3 bytes"),
    ]


ELSEWHERE = {"http://127.0.0.1/a.png", "gs://lake/b.png", "file:///etc/hosts"}
"""What is on other storage, which would answer."""
ODD_ON_S3 = [
    *(
        "s3://lake",
        "s3://lake/",
        "s3://",
        "s3:///",
        "s3://NO_bucket/k",
        "s3://lake/k:s@",
        "s3://arn:aws:s3:::lake/a.png",
    ),
    *(
        "a.png?versionId=x",
        "s3://lake/pets/a.png?versionId=x",
        "../../b.png",
        "../../../b.png",
        "../vast.png",
        "none.png",
    ),
    *(
        "x" * 1100,
        "x" * 2000,
        "s3://none/a.png",
        "s3://a/b.png",
        "s3://..",
        "s3://../lake/b.png",
        "s3://lake/../../b.png",
    ),
    *(
        "s3://key:secret@lake/b.png",
        "s3://la ke/b.png",
        "s3://lake\\b.png",
        "\0",
        "",
        ".",
        "..",
        "/",
        "//lake/b.png",
        "#",
    ),
    *("a.png#x", "a.png\n", "%61.png", "\ud800.png".encode("utf-8", "surrogatepass"), "pets", "*.png", "s3:lake/b.png"),
    *(
        "http://127.0.0.1/a.png",
        "file:///etc/hosts",
        "gs://lake/b.png",
        "s3://" + "b" * 64 + "/a.png",
        "s3://127.0.0.1/a",
    ),
]


@pytest.mark.parametrize("below", ["s3://lake", ANYWHERE])
def test_names_that_an_object_store_refuses_are_the_fault_of_their_row(below, moto_options, monkeypatch):
    """Each of forty, whether rows may name what they like or not."""
    store = s3fs.S3FileSystem(**moto_options)
    store.pipe({"lake/pets/a.png": b"data", "lake/b.png": b"beside", "lake/empty.png": b"", "lake/vast.png": b"1" * 20})
    monkeypatch.setattr(image_files, "MOST_BYTES", 10)
    monkeypatch.setattr("featflow.storage.retries.count", lambda _: pytest.fail("a request was repeated"))
    sound = ["a.png", "../b.png", "s3://lake/b.png", "s3://lake/empty.png"]
    odd = ODD_ON_S3 if below != ANYWHERE else [path for path in ODD_ON_S3 if path not in ELSEWHERE]
    array = pa.array([path.encode() if isinstance(path, str) else path for path in [*sound, *odd]]).view(pa.string())
    results = found(array, "s3://lake/pets/a.parquet", moto_options, below)
    assert results[: len(sound)] == [(b"data", None), (b"beside", None), (b"beside", None), (b"", None)]
    assert [
        path for path, (data, error) in zip(odd, results[len(sound) :], strict=True) if data is not None or not error
    ] == []
