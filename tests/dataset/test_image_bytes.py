"""Image columns as bytes: every way to hold them, and paths that lead where they may not."""

from __future__ import annotations

import pyarrow as pa
import pytest

from featflow.dataset.image_bytes import images_of, stored_by_path
from featflow.errors import InfrastructureError

BYTES = [b"one", b"", None, b"two"]


def found(array, file="file:///nowhere/a.parquet"):
    images = images_of(array, str(file), {})
    return [(value["bytes"], value["error"]) for value in images.to_pylist()]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_bytes_are_taken_as_they_are(kind):
    assert found(pa.array(BYTES, kind)) == [(value, None) for value in BYTES]


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

    def outage(uri, options):
        raise TimeoutError("no answer")

    monkeypatch.setattr("featflow.dataset.image_bytes.read_object", outage)
    with pytest.raises(InfrastructureError, match=r"a\.png: cannot read it: no answer; retry"):
        found(pa.array(["a.png"]))


@pytest.mark.parametrize("path", ["/etc/hosts", "file:///etc/hosts", "http://127.0.0.1/a.png"])
def test_a_row_cannot_name_another_storage(path):
    ((data, error),) = found(pa.array([path]), "s3://lake/a.parquet")
    assert data is None
    assert error == f"{path} is not on the dataset's storage, s3"
