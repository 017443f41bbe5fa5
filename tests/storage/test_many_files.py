"""Copies and removals of several files, on a disk and on two real S3 servers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from featflow.errors import LockedError
from featflow.storage.many_files import copy, remove_all, remove_folder
from featflow.storage.store import Store


@pytest.fixture(params=["disk", "moto", "rclone"])
def store(request, tmp_path):
    if request.param == "disk":
        return Store(str(tmp_path / "out"))
    options = request.getfixturevalue(f"{request.param}_options")
    return Store(f"s3://lake/many_files-{time.monotonic_ns()}", options)


def test_files_are_copied_and_removed(store):
    for name in "abc":
        store.write(f"first/{name}", name.encode())
    copy(store, "first/a", "second/a")
    copy(store, "first/a", "second/a")
    with pytest.raises(FileNotFoundError):
        copy(store, "first/none", "second/none")
    assert store.names("") == ["first", "second"]
    asked = []
    remove_all(store, ["first/a", "first/b", "first/none"], lambda: asked.append(1))
    assert len(asked) == 3
    assert store.read("second/a") == b"a"
    assert list(store.sizes("")) == ["first/c", "second/a"]
    remove_folder(store, "first")
    assert store.names("") == ["second"]


def test_a_removal_ends_where_it_may_not_go_on(store):
    store.write("a", b"a")

    def lost():
        raise LockedError("lost")

    with pytest.raises(LockedError):
        remove_all(store, ["a"], lost)
    assert store.read("a") == b"a"


def test_a_copy_on_a_disk_without_links_is_a_copy(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.write("a", b"a")

    def refused(self, target):
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refused)
    copy(store, "a", "b/a")
    assert store.read("b/a") == b"a"
    assert store.names("b") == ["a"]
