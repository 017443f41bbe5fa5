"""Object storage: list, read, write once. See `filesystems` for how it is opened.

Nothing is renamed on an object store and nothing is overwritten but ``LATEST``
and the lock: a path names its content, so a second writer writes the same.
Transient errors are retried, see `featflow.storage.retries`.
Credentials travel in ``options`` only and appear in no repr and no message.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from featflow.errors import ConfigurationError, DamagedError, InfrastructureError, first_line
from featflow.storage.filesystems import failed, is_local, reason, resolve
from featflow.storage.folders import Entry, find, modified
from featflow.storage.local_writes import check_regular, create_local, move_local, write_local
from featflow.storage.retries import with_retries

__all__ = ["Store", "is_local", "matcher", "reason", "resolve"]

Result = TypeVar("Result")

ARROW_ROWS = 2**16
"""Rows of one batch of a state: a reader of codes holds one at a time, 32 MiB for the 512 columns of a block."""
DIGEST_BYTES = hashlib.sha256().digest_size
READS = 2
"""Times that bytes are read that are not what was written: an answer may be cut short, or wrong, once."""


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a path matches a glob, as a function.

    fsspec's own glob skips folders that cannot be listed, and so would lose files silently.

    Examples
    --------
    >>> matcher("lake/day=*/*.parquet")("lake/day=1/a.parquet"), matcher("lake/*")("lake/day=1/a.parquet")
    (True, False)
    """
    matches = re.compile(fsspec.utils.glob_translate(pattern)).match
    return lambda path: matches(path) is not None


@dataclass(frozen=True)
class Store:
    """An output: a root URI, and files at paths below it."""

    root: str
    """URI of the root."""
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of its filesystem."""

    def uri(self, path: str) -> str:
        """Return the full URI of a path below the root."""
        return f"{self.root.rstrip('/')}/{path}"

    def _locate(self, path: str) -> tuple[Any, str]:
        if ".." in PurePosixPath(path).parts or path.startswith("/"):
            raise ConfigurationError(f"{path!r} leaves the output {self.root}")
        filesystem, root = resolve(self.root, self.options)
        return filesystem, f"{root.rstrip('/')}/{path}"

    def _try(self, path: str, verb: str, operation: Callable[[], Result]) -> Result:
        """Return the result of an operation; raise FileNotFoundError as it is, other errors as featflow's."""
        try:
            return with_retries(operation)
        except FileNotFoundError:
            raise
        except Exception as error:
            if verb != "write" and isinstance(error, NotADirectoryError):  # below what is a file there is nothing
                raise FileNotFoundError(self.uri(path)) from error
            raise failed(self.uri(path), f"{verb} it", error) from error

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the bytes at a path.

        Parameters
        ----------
        most
            Bytes beyond which a file of a disk is not read: what is written there is never that long.

        Raises
        ------
        FileNotFoundError
            There is nothing.
        DamagedError
            It is no regular file (a pipe would never end), or longer.
        """
        filesystem, location = self._locate(path)
        if is_local(filesystem):
            self._try(path, "read", lambda: check_regular(location, self.uri(path), most))
        return bytes(self._try(path, "read", lambda: filesystem.cat_file(location)))

    def read_checked(self, path: str, check: Callable[[bytes], Result], most: int | None = None) -> Result:
        """Return what a check makes of the bytes at a path, which are read again where it raises DamagedError."""
        for _ in range(READS - 1):
            with suppress(DamagedError):
                return check(self.read(path, most))
        return check(self.read(path, most))

    def read_verified(self, path: str, sha256: str, most: int | None = None) -> bytes | None:
        """Return the bytes at a path whose SHA-256 is this; None where they are others at each of `READS` reads."""
        for _ in range(READS):
            data = self.read(path, most)
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
        return None

    def write(self, path: str, data: bytes) -> str:
        """Write bytes whole or not at all, and return the URI."""
        filesystem, location = self._locate(path)
        write = write_local if is_local(filesystem) else filesystem.pipe_file
        try:
            self._try(path, "write", lambda: write(location, data))
        except FileNotFoundError as error:  # no such bucket
            raise InfrastructureError(f"{self.uri(path)}: cannot write it: {reason(error)}") from error
        return self.uri(path)

    def adopt(self, path: str, file: Path) -> None:
        """Move a file of this machine to a path, whole or not at all: what is too large for memory."""
        filesystem, location = self._locate(path)
        put = move_local if is_local(filesystem) else filesystem.put_file
        try:
            self._try(path, "write", lambda: put(str(file), location))
        except FileNotFoundError as error:  # no such bucket
            raise InfrastructureError(f"{self.uri(path)}: cannot write it: {reason(error)}") from error

    def absolute(self, path: str) -> str:
        """Return the URI of a path below the root, wherever a process works."""
        filesystem, location = self._locate(path)
        return location if is_local(filesystem) else str(filesystem.unstrip_protocol(location))

    def names(self, folder: str) -> list[str]:
        """Return the sorted names directly below a folder, none if it does not exist."""
        filesystem, location = self._locate(folder)
        try:
            paths = self._try(folder, "list", lambda: filesystem.ls(location, detail=False))
        except FileNotFoundError:
            return []
        return sorted(PurePosixPath(name).name for name in paths)

    def entries(self, folder: str) -> list[Entry]:
        """Return the files directly below a folder, sorted by name, none if it does not exist."""
        filesystem, location = self._locate(folder)
        try:
            infos = self._try(folder, "list", lambda: filesystem.ls(location, detail=True))
        except FileNotFoundError:
            return []
        files = (info for info in infos if info["type"] == "file")
        entries = (Entry(PurePosixPath(info["name"]).name, int(info["size"] or 0), modified(info)) for info in files)
        return sorted(entries, key=lambda entry: entry.name)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of every file below a folder, by path below the root, sorted; none if there is no folder."""
        filesystem, location = self._locate(folder)
        _, root = resolve(self.root, self.options)
        try:
            infos = self._try(folder, "list", lambda: find(filesystem, location))
        except FileNotFoundError:
            return {}
        entries = ((name.removeprefix(root.rstrip("/") + "/"), info) for name, info in infos.items())
        return {path: int(info["size"] or 0) for path, info in sorted(entries) if info["type"] == "file"}

    def write_arrow(self, path: str, table: pa.Table) -> str:
        """Write a state: a compressed Arrow IPC stream, after whose end stands its SHA-256."""
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=ARROW_ROWS)
        stream = sink.getvalue()
        return self.write(path, b"".join([stream, hashlib.sha256(stream).digest()]))

    def read_arrow(self, path: str) -> pa.Table:
        """Read a state that `write_arrow` wrote.

        Raises
        ------
        DamagedError
            Its bytes are not those that were written.
        """
        stream = self._stream(path)
        with self._decoding(path), pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
            # A digest says who wrote it, not what: offsets beyond the data would end the process, or read its memory.
            table.validate(full=True)
        return table

    def read_arrow_batches(self, path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of a state, `ARROW_ROWS` rows at a time; raises as `read_arrow`."""
        source = self._stream(path)
        with self._decoding(path), pa.ipc.open_stream(source) as reader:
            indices = [reader.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=indices)
        with self._decoding(path), pa.ipc.open_stream(source, options=options) as reader:
            for batch in reader:
                batch.validate(full=True)
                yield batch

    def _stream(self, path: str) -> pa.Buffer:
        for _ in range(READS):
            content = self._content(path)
            end = max(content.size - DIGEST_BYTES, 0)
            stream = content.slice(0, end)
            if hashlib.sha256(stream).digest() == content.slice(end).to_pybytes():
                return stream
        raise DamagedError(
            f"{self.uri(path)}: damaged: its bytes are not those that were written (SHA-256); bring back a copy, "
            "or remove it and run again: states are made anew, and a codebook's codings as by --rebin"
        )

    def _content(self, path: str) -> pa.Buffer:
        filesystem, location = self._locate(path)
        if not is_local(filesystem):
            return pa.py_buffer(self.read(path))
        self._try(path, "read", lambda: check_regular(location, self.uri(path), None))
        return self._try(path, "read", lambda: pa.memory_map(location).read_buffer())

    @contextmanager
    def _decoding(self, path: str) -> Iterator[None]:
        """Raise what Arrow says of a state's bytes as the damage that it is."""
        try:
            yield
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:  # of bytes in memory
            uri = self.uri(path)
            raise DamagedError(f"{uri}: damaged: {first_line(error)}; remove it and run again") from None

    def write_parquet(self, path: str, table: pa.Table) -> tuple[str, bytes]:
        """Write a table as Parquet; return its URI and bytes, for a digest."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        data = sink.getvalue().to_pybytes()
        return self.write(path, data), data

    def create(self, path: str, data: bytes) -> None:
        """Write bytes where there is nothing yet.

        Raises
        ------
        FileExistsError
            There is something. A store without conditional writes may overwrite instead: read back what counts.
        """
        filesystem, location = self._locate(path)
        if not is_local(filesystem):
            # A retry may meet what the attempt before it wrote; callers find that, too, by reading back.
            with_retries(lambda: filesystem.pipe_file(location, data, mode="create"))
            return
        create_local(location, data)

    def remove(self, path: str) -> None:
        """Remove the file at a path, if there is one."""
        filesystem, location = self._locate(path)
        with suppress(FileNotFoundError):
            self._try(path, "remove", lambda: filesystem.rm_file(location))

    def partials(self, folder: str) -> dict[str, tuple[int, float]]:
        """Return bytes and age in seconds of what writers have left half written directly in a folder of a disk."""
        filesystem, location = self._locate(folder)
        found = {}
        for file in Path(location).glob("*.partial") if is_local(filesystem) else ():
            with suppress(FileNotFoundError):  # just renamed
                status = file.stat()
                found[f"{folder}/{file.name}".lstrip("/")] = status.st_size, time.time() - status.st_mtime
        return found

    def prune(self, folder: str, removable: Callable[[str], bool]) -> None:
        """Remove empty folders below a path of a disk (object stores have none), while no run writes there.

        Parameters
        ----------
        removable
            Whether a folder, by its path below the root, may be removed.
        """
        filesystem, location = self._locate(folder)
        if is_local(filesystem):
            for place in sorted(Path(location).rglob("*"), reverse=True):
                path = f"{folder}/{place.relative_to(location).as_posix()}"
                if removable(path) and place.is_dir() and not place.is_symlink():
                    with suppress(OSError):  # not empty, or another user's
                        place.rmdir()
