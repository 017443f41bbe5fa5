"""Object storage: list, read, write once. The only importer of fsspec.

Nothing is renamed on an object store and nothing is overwritten but ``LATEST``
and the lock: a path names its content, so a second writer writes the same.
Credentials travel in ``options`` only and appear in no repr and no message.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from featflow.errors import ConfigurationError, DatasetError, InfrastructureError, first_line

__all__ = ["DataFile", "Store", "check_unchanged", "is_corruption", "list_data_files", "open_parquet", "read_object"]

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
ARROW_ROWS = 2**16
"""Rows of one batch of an Arrow file: what a reader of codes holds at a time."""
STREAM_BYTES = 2**20
"""Read-ahead of one column chunk; keeps a row group out of memory while its batches are made."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One input file as it was when listed."""

    uri: str
    """Full URI."""
    size: int
    """Bytes."""
    version: str
    """ETag, or time of modification: changes when the content does."""
    partitions: tuple[tuple[str, str], ...] = ()
    """Hive partition keys and values, from the path below the source."""


def _resolve(uri: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Return the filesystem of a URI and the path in it."""
    try:
        protocol = fsspec.core.split_protocol(uri)[0]
        local = protocol in {None, "file", "local"}
        # Options are the object store's, not the local disk's. Other machines write too: no listing is kept.
        options = {} if local else {"use_listings_cache": False} | options
        filesystem, path = fsspec.url_to_fs(uri, **options)
    except (ValueError, ImportError) as error:
        raise ConfigurationError(
            f"{uri}: no such kind of storage: {first_line(error)}; check dataset.source and output"
        ) from None
    return filesystem, str(path)


def check_unchanged(file: DataFile, options: dict[str, Any]) -> None:
    """Raise InfrastructureError if a file is not what it was when listed: what was read of it may be a mixture."""
    filesystem, path = _resolve(file.uri, options)
    try:
        info = filesystem.info(path)
    except Exception as error:
        raise InfrastructureError(f"{file.uri}: gone while it was read: {_reason(error)}; run again") from error
    if (int(info["size"] or 0), _version(info)) != (file.size, file.version):
        raise InfrastructureError(f"{file.uri}: the input changed while it was read; run again")


def list_data_files(sources: list[str], options: dict[str, Any], output: str | None = None) -> list[DataFile]:
    """Return the Parquet files of all sources, sorted by URI within each source.

    Parameters
    ----------
    output
        Where runs are written: what lies below it is no input.

    Raises
    ------
    DatasetError
        A source does not exist, or holds no Parquet file.
    InfrastructureError
        Storage did not answer.
    """
    files: dict[str, DataFile] = {}
    for source in sources:
        found = [file for file in _list_source(source, options) if not _below(file.uri, output, options)]
        if not found:
            suffixes = ", ".join("*" + suffix for suffix in PARQUET_SUFFIXES)
            raise DatasetError(f"{source}: no Parquet files there ({suffixes}); check dataset.source")
        files.update({file.uri: file for file in found})
    return list(files.values())


def _list_source(source: str, options: dict[str, Any]) -> list[DataFile]:
    filesystem, path = _resolve(source, options)
    try:
        if any(character in path for character in "*?["):
            root = path.split("*")[0].split("?")[0].split("[")[0].rpartition("/")[0]
            infos = {key: info for key, info in filesystem.glob(path, detail=True).items() if info["type"] == "file"}
        elif filesystem.isdir(path):
            root = path
            infos = filesystem.find(path, detail=True)
        else:
            root = path.rpartition("/")[0]
            infos = {path: filesystem.info(path)}
            return [_data_file(filesystem, key, info, root) for key, info in infos.items()]
    except FileNotFoundError:
        raise DatasetError(f"{source}: no such file or directory; check dataset.source") from None
    except Exception as error:
        raise InfrastructureError(f"{source}: cannot list it: {_reason(error)}") from error
    return [
        _data_file(filesystem, key, info, root)
        for key, info in sorted(infos.items())
        if key.endswith(PARQUET_SUFFIXES) and not _hidden(key.removeprefix(root))
    ]


def _below(uri: str, output: str | None, options: dict[str, Any]) -> bool:
    if output is None:
        return False
    (filesystem, root), (other, path) = _resolve(output, options), _resolve(uri, options)
    return type(filesystem) is type(other) and path.startswith(f"{root.rstrip('/')}/")


def _version(info: dict[str, Any]) -> str:
    found = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(key)), "")
    # A listing may give seconds where a look at the file gives a time.
    text = str(found.timestamp() if isinstance(found, datetime) else found)
    return text.strip('"')


def _hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(path).parts)


def _data_file(filesystem: Any, path: str, info: dict[str, Any], root: str) -> DataFile:
    folders = PurePosixPath(path.removeprefix(root)).parts[:-1]
    partitions = tuple((key, unquote(value)) for key, mark, value in (part.partition("=") for part in folders) if mark)
    uri = path if isinstance(filesystem, LocalFileSystem) else filesystem.unstrip_protocol(path)
    return DataFile(uri, int(info["size"] or 0), _version(info), partitions)


def read_object(uri: str, options: dict[str, Any]) -> bytes:
    """Return the bytes at a URI; raises what the filesystem raises."""
    filesystem, path = _resolve(uri, options)
    return bytes(filesystem.cat_file(path))


@contextmanager
def open_parquet(uri: str, options: dict[str, Any], categories: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for streaming reads; local files without Python in between.

    Strings in the columns ``categories``, dotted, come as dictionaries: they are not decoded to be encoded again.
    """
    filesystem, path = _resolve(uri, options)
    source: Any = path
    with ExitStack() as stack:
        how: dict[str, Any] = {"buffer_size": STREAM_BYTES}
        if not isinstance(filesystem, LocalFileSystem):
            # s3fs' own read-ahead works against pre_buffer's coalesced ranges (arrow#34414).
            source, how = stack.enter_context(filesystem.open(path, "rb", cache_type="none")), {"pre_buffer": True}
        if categories:
            metadata = pq.read_metadata(source)
            columns = (metadata.schema.column(index) for index in range(metadata.num_columns))
            texts = [c.path for c in columns if c.path in categories and c.logical_type.type == "STRING"]
            how |= {"metadata": metadata, "read_dictionary": texts}
        yield stack.enter_context(pq.ParquetFile(source, page_checksum_verification=True, **how))


@dataclass(frozen=True)
class Store:
    """One output root and what lies below it."""

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
        filesystem, root = _resolve(self.root, self.options)
        return filesystem, f"{root.rstrip('/')}/{path}"

    def read(self, path: str) -> bytes:
        """Return the bytes at a path; FileNotFoundError if there is nothing."""
        filesystem, location = self._locate(path)
        try:
            return bytes(filesystem.cat_file(location))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise InfrastructureError(f"{self.uri(path)}: cannot read it: {_reason(error)}") from error

    def write(self, path: str, data: bytes) -> str:
        """Write bytes whole or not at all, and return the URI."""
        filesystem, location = self._locate(path)
        try:
            if isinstance(filesystem, LocalFileSystem):
                Path(location).parent.mkdir(parents=True, exist_ok=True)
                partial = Path(f"{location}.{uuid.uuid4().hex[:8]}.partial")
                partial.write_bytes(data)
                partial.replace(location)
            else:
                filesystem.pipe_file(location, data)
        except Exception as error:
            raise InfrastructureError(f"{self.uri(path)}: cannot write it: {_reason(error)}") from error
        return self.uri(path)

    def names(self, folder: str) -> list[str]:
        """Return the sorted names directly below a folder, none if it does not exist."""
        filesystem, location = self._locate(folder)
        try:
            return sorted(PurePosixPath(name).name for name in filesystem.ls(location, detail=False))
        except FileNotFoundError:
            return []
        except Exception as error:
            raise InfrastructureError(f"{self.uri(folder)}: cannot list it: {_reason(error)}") from error

    def write_arrow(self, path: str, table: pa.Table) -> str:
        """Write a state as a compressed Arrow IPC file."""
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=ARROW_ROWS)
        return self.write(path, sink.getvalue().to_pybytes())

    def read_arrow(self, path: str) -> pa.Table:
        """Read a state from an Arrow IPC file."""
        with pa.ipc.open_file(self._arrow_source(path)) as reader:
            return reader.read_all()

    def read_arrow_batches(self, path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of an Arrow IPC file, `ARROW_ROWS` rows at a time."""
        source = self._arrow_source(path)
        with pa.ipc.open_file(source) as reader:
            indices = [reader.schema.get_field_index(name) for name in columns]
        with pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=indices)) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)

    def _arrow_source(self, path: str) -> Any:
        filesystem, location = self._locate(path)
        return pa.memory_map(location) if isinstance(filesystem, LocalFileSystem) else pa.py_buffer(self.read(path))

    def write_parquet(self, path: str, table: pa.Table) -> tuple[str, bytes]:
        """Write a table as Parquet; return its URI and bytes, for a digest."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        return self.write(path, data), data

    def read_parquet(self, path: str) -> pa.Table:
        """Read one Parquet file."""
        return pq.read_table(pa.BufferReader(self.read(path)))

    def create(self, path: str, data: bytes) -> None:
        """Write bytes where there is nothing yet.

        Raises
        ------
        FileExistsError
            There is something. A store without conditional writes may overwrite instead: read back what counts.
        """
        filesystem, location = self._locate(path)
        if not isinstance(filesystem, LocalFileSystem):
            filesystem.pipe_file(location, data, mode="create")
            return
        Path(location).parent.mkdir(parents=True, exist_ok=True)
        partial = Path(f"{location}.{uuid.uuid4().hex[:8]}.partial")
        partial.write_bytes(data)
        try:
            Path(location).hardlink_to(partial)  # appears whole, and only where there is nothing
        finally:
            partial.unlink()

    def remove(self, path: str) -> None:
        """Remove what is at a path, if there is something."""
        filesystem, location = self._locate(path)
        with suppress(FileNotFoundError):
            filesystem.rm_file(location)


def is_corruption(error: Exception) -> bool:
    """Return whether the bytes are at fault: Arrow reports those without an errno, networks and disks with one."""
    return isinstance(error, pa.ArrowException | UnicodeDecodeError) or (type(error) is OSError and error.errno is None)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
