"""A filesystem that is no disk and walks to find files, as HDFS and SFTP do; its faults are set by a test."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

SCHEME = "walking"


class Faults:
    """What goes wrong, for all instances: fsspec makes and keeps them."""

    unlistable: Callable[[str], int | None] = staticmethod(lambda _: None)
    """Returns the errno of listing a folder, None where all is well."""
    unseen: Callable[[str], int | None] = staticmethod(lambda _: None)
    """Returns the errno of looking at a path."""
    spoils: Callable[[str, int, int], bool] = staticmethod(lambda *_: False)
    """Returns whether the answer to a read of some bytes is wrong."""


class WalkingFileSystem(AbstractFileSystem):
    """The files of a disk by way of ``walking://``."""

    protocol = SCHEME

    def ls(self, path, detail=True, **_):
        path = self._strip_protocol(path)
        fail(Faults.unlistable(path))
        if Path(path).is_file():
            return [entry(path)] if detail else [path]
        infos = [entry(str(below)) for below in Path(path).iterdir()]
        return infos if detail else [info["name"] for info in infos]

    def info(self, path, **_):
        path = self._strip_protocol(path)
        fail(Faults.unseen(path))
        return entry(path)

    def _open(self, path, mode="rb", cache_type="none", **_):
        return _File(self, path, mode, cache_type=cache_type)

    def cat_file(self, path, start=None, end=None, **_):
        path = self._strip_protocol(path)
        return answer(path, start or 0, Path(path).stat().st_size if end is None else end)


class _File(AbstractBufferedFile):
    def _fetch_range(self, start, end):
        return answer(self.path, start, end)


def fail(number: int | None) -> None:
    if number:
        raise OSError(number, os.strerror(number))


def entry(path: str) -> dict:
    status = Path(path).stat()
    kind = "directory" if Path(path).is_dir() else "file"
    return {"name": path, "type": kind, "size": status.st_size, "mtime": status.st_mtime}


def answer(path: str, start: int, end: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(start)
        data = file.read(end - start)
    return bytes(byte ^ 0xFF for byte in data) if Faults.spoils(path, start, end) else data


@contextmanager
def walking_store() -> Iterator[type[Faults]]:
    """Yield the faults of ``walking://``, of which there are none before and after."""
    fsspec.register_implementation(SCHEME, WalkingFileSystem, clobber=True)
    sound = Faults.unlistable, Faults.unseen, Faults.spoils
    try:
        yield Faults
    finally:
        Faults.unlistable, Faults.unseen, Faults.spoils = map(staticmethod, sound)


def once(number: int = errno.EIO) -> Callable[[], int | None]:
    """Return an errno the first time, then None."""
    left = [number]
    return lambda: left.pop() if left else None
