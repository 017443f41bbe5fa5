"""The files of a dataset: listed, opened, and checked for changes while they are read."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.errors import DatasetError, InfrastructureError
from featflow.storage.retries import with_retries
from featflow.storage.store import is_local, matching, reason, resolve

__all__ = ["DataFile", "check_unchanged", "is_corruption", "list_data_files", "open_parquet", "read_object"]

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
STREAM_BYTES = 2**20
"""Read-ahead of one column chunk: without a buffer a whole row group's chunks are in memory while batches are made."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One input file as it was when listed."""

    uri: str
    """Full URI."""
    size: int
    """Bytes."""
    version: str
    """ETag, or time of modification; changes when the content does."""
    partitions: tuple[tuple[str, str], ...] = ()
    """Hive partition keys and values, from the path below the source."""
    place: str = ""
    """Path below the deepest folder that holds all sources; a copy of the dataset has the same places."""


def check_unchanged(file: DataFile, options: dict[str, Any]) -> None:
    """Raise InfrastructureError if a file changed since it was listed: what was read may mix two versions."""
    filesystem, path = resolve(file.uri, options)
    try:
        info = with_retries(lambda: filesystem.info(path))
    except FileNotFoundError:
        raise InfrastructureError(f"{file.uri}: gone while it was read; run again") from None
    except Exception as error:
        raise InfrastructureError(f"{file.uri}: cannot look at it: {reason(error)}; retry") from error
    if (int(info["size"] or 0), _version(info)) != (file.size, file.version):
        raise _changed_error(file.uri)


def _changed_error(uri: str) -> InfrastructureError:
    return InfrastructureError(f"{uri}: the input changed while it was read; run again")


def list_data_files(sources: list[str], options: dict[str, Any], output: str | None = None) -> list[DataFile]:
    """Return the Parquet files of all sources, sorted by URI within each source.

    Parameters
    ----------
    output
        Where runs are written; files below it are not read as input.

    Raises
    ------
    DatasetError
        A source does not exist, or holds no Parquet file.
    InfrastructureError
        Storage did not answer.
    """
    files: dict[str, DataFile] = {}
    roots = []
    for source in sources:
        root, listed = _list_source(source, options)
        inputs = [file for file in listed if not _is_below(file.uri, output, options)]
        if not inputs:
            suffixes = ", ".join("*" + suffix for suffix in PARQUET_SUFFIXES)
            raise DatasetError(
                f"{source}: no Parquet files there ({suffixes}); check dataset.source. Other formats are not read: "
                "polars converts CSV in a line, pl.scan_csv(...).sink_parquet(...)"
            )
        files.update({file.uri: file for file in inputs})
        roots.append(root.rstrip("/").split("/"))
    common_depth = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*roots, strict=False)))
    return [replace(file, place="/".join(file.uri.split("/")[common_depth:])) for file in files.values()]


def _list_source(source: str, options: dict[str, Any]) -> tuple[str, list[DataFile]]:
    """Return the URI of the folder that a source names, or in which it is, and its files."""
    filesystem, path = resolve(source, options)
    try:
        root, infos = with_retries(lambda: _folder_and_infos(filesystem, path))
    except FileNotFoundError:
        raise DatasetError(f"{source}: no such file or directory; check dataset.source") from None
    except Exception as error:
        raise InfrastructureError(f"{source}: cannot list it: {reason(error)}") from error
    return _uri(filesystem, root), [
        _data_file(filesystem, key, info, root)
        for key, info in sorted(infos.items())
        if key == path or (key.endswith(PARQUET_SUFFIXES) and not _is_hidden(key.removeprefix(root)))
    ]


def _folder_and_infos(filesystem: Any, path: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the folder below which paths name partitions, and the filesystem's entries of its files, by path."""
    if any(character in path for character in "*?["):
        return re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0], matching(filesystem, path)
    if filesystem.isdir(path):
        return path, filesystem.find(path, detail=True)
    return path.rpartition("/")[0], {path: filesystem.info(path)}


def _is_below(uri: str, output: str | None, options: dict[str, Any]) -> bool:
    if output is None:
        return False
    (filesystem, root), (other, path) = resolve(output, options), resolve(uri, options)
    return type(filesystem) is type(other) and path.startswith(f"{root.rstrip('/')}/")


def _version(info: dict[str, Any]) -> str:
    value = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(key)), "")
    # Some filesystems list seconds, and give a datetime for a single file: both must give the same text.
    text = str(value.timestamp() if isinstance(value, datetime) else value)
    return text.strip('"')


def _is_hidden(path: str) -> bool:
    """Whether Hive and Spark pass over a path: temporary files, markers and checksums begin with _ or a dot."""
    return any(part.startswith(("_", ".")) for part in PurePosixPath(path).parts)


def _data_file(filesystem: Any, path: str, info: dict[str, Any], root: str) -> DataFile:
    folders = PurePosixPath(path.removeprefix(root)).parts[:-1]
    partitions = tuple((key, unquote(value)) for key, mark, value in (part.partition("=") for part in folders) if mark)
    return DataFile(_uri(filesystem, path), int(info["size"] or 0), _version(info), partitions)


def _uri(filesystem: Any, path: str) -> str:
    return path if is_local(filesystem) else str(filesystem.unstrip_protocol(path))


def read_object(uri: str, options: dict[str, Any]) -> bytes:
    """Return the bytes at a URI; raises what the filesystem raises."""
    filesystem, path = resolve(uri, options)
    return bytes(with_retries(lambda: filesystem.cat_file(path)))


@contextmanager
def open_parquet(uri: str, options: dict[str, Any], categories: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for streaming reads; Arrow reads local files itself.

    Strings in the columns ``categories`` (dotted names) are read as dictionaries, as files store them: what would be
    decoded would only be encoded again.
    """
    filesystem, path = resolve(uri, options)
    source: Any = path
    with ExitStack() as stack:
        reader_options: dict[str, Any] = {"buffer_size": STREAM_BYTES}
        if not is_local(filesystem):
            # s3fs' own read-ahead works against pre_buffer's coalesced ranges (arrow#34414).
            opened = with_retries(lambda: filesystem.open(path, "rb", cache_type="none"))
            source, reader_options = _RetryingFile(stack.enter_context(opened), uri), {"pre_buffer": True}
        if categories:
            metadata = pq.read_metadata(source)
            columns = (metadata.schema.column(index) for index in range(metadata.num_columns))
            text_columns = [c.path for c in columns if c.path in categories and c.logical_type.type == "STRING"]
            reader_options |= {"metadata": metadata, "read_dictionary": text_columns}
        yield stack.enter_context(pq.ParquetFile(source, page_checksum_verification=True, **reader_options))


class _RetryingFile:
    """A remote file whose reads are retried where they fail or return too few bytes."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        left = self._file.size - start
        requested = left if size < 0 else min(size, left)

        def attempt() -> bytes:
            self._file.seek(start)
            data = bytes(self._file.read(requested))
            if len(data) < requested:
                raise OSError(errno.EIO, f"{len(data)} of {requested} bytes came")
            return data

        try:
            return with_retries(attempt)
        except OSError as error:
            if type(error).__name__ == "FileExpired":  # s3fs asks for the version that it opened
                raise _changed_error(self._uri) from error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def is_corruption(error: Exception) -> bool:
    """Return whether the file's bytes are at fault: Arrow's errors have no errno, networks' and disks' have."""
    return isinstance(error, pa.ArrowException | UnicodeDecodeError) or (type(error) is OSError and error.errno is None)
