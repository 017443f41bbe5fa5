"""A store in memory that counts its operations and does one of them badly, in each way that storage and processes do.

It is flat as object stores are, and is reached as any storage is: by URIs, ``faulty://lake/...``.
"""

from __future__ import annotations

import errno
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

READS, WRITES = {"read", "range"}, {"write", "create", "put", "copy"}
KINDS: dict[str, set[str] | None] = {
    "fails once": None,
    "fails for good": None,
    "all fail from there": None,
    "is refused": None,
    "has no room from there": WRITES,
    "takes too long": None,
    "gives half": READS,
    "leaves half, once": WRITES,
    "answer lost": {*WRITES, "remove"},
    "killed before": {*WRITES, "remove"},
    "killed after": {*WRITES, "remove"},
}
"""What an operation may do, and the operations that can; None for all."""
TOO_LONG = 400.0
"""Seconds: longer than the lease of a lock."""


class Killed(BaseException):
    """The process is gone: no handler of its own takes this, and nothing that it does later reaches the store."""


@dataclass(frozen=True)
class Fault:
    """One of `KINDS`, at an operation by its number, or at the first after it that can have it."""

    kind: str
    at: int

    def can_meet(self, verb: str) -> bool:
        allowed = KINDS[self.kind]
        return allowed is None or verb in allowed


@dataclass
class World:
    """What a store holds, and what becomes of operations on it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fault: Fault | None = None
    operations: list[tuple[str, str]] = field(default_factory=list)
    """Verb and path of each."""
    seconds: float = 0.0
    """How far its clock is ahead."""
    struck: tuple[str, str] | None = None
    """The operation that the fault met."""
    is_dead: bool = False
    _lock: Any = field(default_factory=threading.RLock)

    def do(self, verb: str, path: str, operation: Callable[[], Any]) -> Any:
        """Count an operation, and do it as the fault says."""
        with self._lock:
            if self.is_dead:
                raise Killed
            number, fault = len(self.operations), self.fault
            self.operations.append((verb, path))
            if fault is None or number < fault.at:
                return operation()
            if self.struck is None and fault.can_meet(verb):
                self.struck = verb, path
                return self._strike(fault.kind, path, operation)
            if fault.kind == "all fail from there":
                raise ConnectionResetError("the store is away")
            is_full = fault.kind == "has no room from there" and verb in WRITES
            if is_full or (self.struck == (verb, path) and fault.kind in {"fails for good", "is refused"}):
                return self._strike(fault.kind, path, operation)
            return operation()

    def _strike(self, kind: str, path: str, operation: Callable[[], Any]) -> Any:
        if kind in {"fails once", "fails for good", "all fail from there"}:
            raise ConnectionResetError("it fails")
        if kind == "is refused":
            raise PermissionError("Access Denied")
        if kind == "has no room from there":
            raise OSError(errno.ENOSPC, "No space left on device")
        if kind == "killed before":
            self.is_dead = True
            raise Killed
        if kind == "takes too long":
            self.seconds += TOO_LONG
        found = operation()
        if kind == "killed after":
            self.is_dead = True
            raise Killed
        if kind == "answer lost":
            raise ConnectionResetError("the answer was lost")
        if kind == "leaves half, once":
            self.objects[path] = self.objects[path][: len(self.objects[path]) // 2]
            raise ConnectionResetError("it broke off")
        return found[: len(found) // 2] if kind == "gives half" else found


class FaultyFileSystem(AbstractFileSystem):
    """The filesystem of ``faulty://``: objects of the world that is set, with the conditional writes of S3."""

    protocol = ("faulty", "s3")
    cachable = False
    world: ClassVar[World] = World()

    def _do(self, verb: str, path: str, operation: Callable[[], Any]) -> Any:
        return self.world.do(verb, path, operation)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        return self._do("read" if start is None else "range", path, lambda: self._bytes(path)[start:end])

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **conditions: Any) -> None:
        path = self._strip_protocol(path)
        is_new = mode == "create" or "IfNoneMatch" in conditions

        def write() -> None:
            tag = self._entry(path)["ETag"] if path in self.world.objects else None
            if (is_new and tag) or conditions.get("IfMatch", tag) != tag:
                raise FileExistsError(path)
            self.world.objects[path] = bytes(value)

        self._do("create" if is_new else "write", path, write)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        source, target = map(self._strip_protocol, (path1, path2))
        self._do("copy", target, lambda: self.world.objects.__setitem__(target, self._bytes(source)))

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        path = self._strip_protocol(rpath)
        self._do("put", path, lambda: self.world.objects.__setitem__(path, Path(lpath).read_bytes()))

    def rm_file(self, path: str) -> None:
        path = self._strip_protocol(path)

        def remove() -> None:
            self._bytes(path)
            del self.world.objects[path]

        self._do("remove", path, remove)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        return self._do("info", path, lambda: self._entry(path))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)

        def listed() -> list[Any]:
            below = [name.removeprefix(f"{path}/") for name in self.world.objects if name.startswith(f"{path}/")]
            if not below:
                return [self._entry(path)]
            return [self._entry(f"{path}/{name}") for name in sorted({name.split("/")[0] for name in below})]

        entries = self._do("list", path, listed)
        return entries if detail else [entry["name"] for entry in entries]

    def find(self, path: str, *_: Any, detail: bool = False, **__: Any) -> Any:
        path = self._strip_protocol(path)
        names = self._do("list", path, lambda: sorted(n for n in self.world.objects if n.startswith(f"{path}/")))
        return {name: self._entry(name) for name in names} if detail else names

    def walk(self, path: str, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("find lists what is flat")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> AbstractBufferedFile:
        return _File(self, path, mode, **options)

    def _bytes(self, path: str) -> bytes:
        if path not in self.world.objects:
            raise FileNotFoundError(path)
        return self.world.objects[path]

    def _entry(self, path: str) -> dict[str, Any]:
        if path in self.world.objects:
            data = self.world.objects[path]
            tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            return {"name": path, "type": "file", "size": len(data), "ETag": tag}
        if any(name.startswith(f"{path}/") for name in self.world.objects):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)


class _File(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start=start, end=end)


def _ahead(clock: Callable[[], float]) -> Callable[[], float]:
    """A clock that is ahead by what operations are said to have taken."""
    return lambda: clock() + FaultyFileSystem.world.seconds


def _slept(sleep: Callable[[float], None]) -> Callable[[float], None]:
    """A sleep from which featflow wakes at once, by a clock that is ahead; others in this process sleep as ever."""

    def slept(seconds: float) -> None:
        if str(sys._getframe(1).f_globals.get("__name__")).startswith("featflow."):
            FaultyFileSystem.world.seconds += seconds
        else:
            sleep(seconds)

    return slept


@contextmanager
def faulty_world() -> Iterator[type[FaultyFileSystem]]:
    """Register the store, with clocks that it sets and one request at a time, so that operations have an order."""
    from featflow.dataset import contents
    from featflow.execution import state_store

    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    told = threading.excepthook
    changes: list[tuple[Any, str, Any]] = [
        (time, "time", _ahead(time.time)),
        (time, "monotonic", _ahead(time.monotonic)),
        (time, "sleep", _slept(time.sleep)),
        (state_store, "REQUESTS_AT_ONCE", 1),
        (contents, "THREADS", 1),
        (threading, "excepthook", lambda thread: None if thread.exc_type is Killed else told(thread)),
    ]
    with ExitStack() as stack:
        for module, name, value in changes:
            stack.enter_context(mock.patch.object(module, name, value))
        yield FaultyFileSystem
    FaultyFileSystem.world = World()
