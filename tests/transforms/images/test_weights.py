"""Directories of models: what they must hold, digests, and copies on the node that are checked, whoever makes them."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
import s3fs

from featflow.errors import ConfigurationError, InfrastructureError
from featflow.transforms.images.weights import cache_folder, open_model

FILES = {"config.json": b'{"a": 1}', "preprocessor_config.json": b"{}", "model.safetensors": b"weights" * 1000}
SHARDED = {
    "config.json": b"{}",
    "preprocessor_config.json": b"{}",
    "model.safetensors.index.json": json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors"}}).encode(),
    "a.safetensors": b"one",
    "b.safetensors": b"two",
}
BESIDE = {
    "README.md": b"hello",
    "pytorch_model.bin": b"pickle",
    "adapter_config.json": b"{}",
    "other.safetensors": b"x",
}


def digest(files):
    """As ``sha256sum`` of the sorted listing would have it."""
    listing = "".join(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


def listed(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "featflow" / "models"


@pytest.fixture
def remote():
    """A way to put files on a storage that is not the disk; returns their URI."""
    filesystem, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"

    def put(files):
        for name, content in files.items():
            filesystem.pipe_file(f"{root}/{name}", content)
        return f"memory:/{root}"

    yield put
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)


@pytest.mark.parametrize("files", [FILES, SHARDED])
def test_a_local_directory_is_used_in_place_and_hashed(files, tmp_path, cache):
    source = write(tmp_path / "model", files | BESIDE)
    found = open_model(source, {})
    assert (str(found.folder), found.sha256) == (source, digest(files))
    assert [path.name for path in found.weights] == sorted(name for name in files if name.endswith(".safetensors"))
    assert open_model(f"file://{source}/", {}) == found
    assert not cache.exists()


@pytest.mark.parametrize("files", [FILES, SHARDED])
def test_a_remote_directory_is_copied_once(files, remote, cache):
    source = remote(files | BESIDE)
    first = open_model(source, {})
    assert first.sha256 == digest(files)
    assert first.folder == cache / digest(files)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == files
    assert open_model(source, {}) == first
    fsspec.filesystem("memory").rm_file(f"{source.removeprefix('memory:/')}/config.json")
    assert open_model(source, {}, digest(files)) == first, "a verified copy needs no source"
    assert listed(cache) == [digest(files)], "nothing is left of partial copies"


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_copy_is_fetched_again(damage, remote, cache):
    source = remote(FILES)
    path = open_model(source, {}).folder / "model.safetensors"
    content = path.read_bytes()
    {
        "flip": lambda: path.write_bytes(b"W" + content[1:]),
        "truncate": lambda: path.write_bytes(content[:-1]),
        "remove": path.unlink,
    }[damage]()
    for expected in (digest(FILES), None):
        found = open_model(source, {}, expected)
        assert found.sha256 == digest(FILES)
        assert path.read_bytes() == content
    assert listed(cache) == [digest(FILES)]


def test_many_at_once_get_one_copy(remote, cache):
    source = remote(FILES)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: open_model(source, {}, digest(FILES) if index % 2 else None), range(24)))
    assert {each.folder for each in found} == {cache / digest(FILES)}
    assert listed(cache) == [digest(FILES)]
    assert digest({path.name: path.read_bytes() for path in (cache / digest(FILES)).iterdir()}) == digest(FILES)


def test_another_digest_is_told_by_what_is_returned(remote, cache):
    assert open_model(remote(FILES), {}, "0" * 64).sha256 == digest(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_file_that_is_lacking_is_named(name, where, tmp_path, remote, cache):
    files = {key: value for key, value in FILES.items() if key != name}
    source = write(tmp_path / "model", files) if where == "disk" else remote(files)
    with pytest.raises(ConfigurationError, match=f"{source} lacks {name};.*save_pretrained"):
        open_model(source, {})
    assert not listed(cache) if where == "memory" else not cache.exists()


def test_a_shard_that_is_lacking_is_named(tmp_path):
    files = {key: value for key, value in SHARDED.items() if key != "b.safetensors"}
    with pytest.raises(ConfigurationError, match=r"lacks b\.safetensors"):
        open_model(write(tmp_path, files), {})


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "tf_model.h5"])
def test_pickles_are_not_loaded(name, tmp_path):
    files = {key: value for key, value in FILES.items() if key != "model.safetensors"} | {name: b"cos\nsystem\n"}
    with pytest.raises(ConfigurationError, match=r"pickles.*not loaded.*save_pretrained"):
        open_model(write(tmp_path, files), {})


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors", "..", "x.bin", ""]
)
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_an_index_cannot_lead_out_of_the_directory(name, where, tmp_path, remote, cache):
    write(tmp_path, {"secret.safetensors": b"secret"})
    files = SHARDED | {"model.safetensors.index.json": json.dumps({"weight_map": {"x": name}}).encode()}
    source = write(tmp_path / "model", files) if where == "disk" else remote(files)
    with pytest.raises(ConfigurationError, match="weight_map"):
        open_model(source, {})


@pytest.mark.parametrize("content", [b"no json", b"[]", b"\xff\xfe", b"{}", b'{"weight_map": []}'])
def test_an_index_that_makes_no_sense(content, tmp_path):
    source = write(tmp_path, SHARDED | {"model.safetensors.index.json": content})
    with pytest.raises(ConfigurationError, match=r"model\.safetensors\.index\.json"):
        open_model(source, {})


def test_a_directory_that_is_not_there(tmp_path, cache):
    for source in (str(tmp_path / "no"), "memory://nowhere-at-all"):
        with pytest.raises(ConfigurationError, match=f"{source}.*no such directory"):
            open_model(source, {})


def test_a_cache_that_is_somebody_elses_is_not_used(remote, cache, monkeypatch):
    source = remote(FILES)
    open_model(source, {})
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(InfrastructureError, match="another user"):
        open_model(source, {})


def test_without_a_cache_home_copies_are_among_temporary_files(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / f"featflow-models-{os.getuid()}"
    assert cache_folder().stat().st_mode & 0o077 == 0


def test_from_s3(moto_options, cache):
    filesystem = s3fs.S3FileSystem(**moto_options)
    for name, content in (SHARDED | BESIDE).items():
        filesystem.pipe_file(f"lake/models/one/{name}", content)
    filesystem.pipe_file("lake/models/one/onnx/model.onnx", b"x")
    for source in ("s3://lake/models/one", "s3://lake/models/one/"):
        found = open_model(source, moto_options)
        assert found.sha256 == digest(SHARDED)
        assert found.folder == cache / found.sha256
    with pytest.raises(ConfigurationError, match="no such directory"):
        open_model("s3://lake/models/two", moto_options)
