"""Parquet files, opened for streaming reads: the one place that opens a dataset's files."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.files import changed_error
from featflow.storage.retries import with_retries
from featflow.storage.store import is_local, resolve

__all__ = ["is_corruption", "open_footer", "open_parquet"]

STREAM_BYTES = 2**20
"""Read-ahead of one column chunk: without a buffer a whole row group's chunks are in memory while batches are made."""
NO_DICTIONARY = {"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"}
"""Encodings of text that pyarrow does not decode to dictionaries ("DecodeArrow of DictAccumulator")."""
END = 8
"""Bytes at the end of a file: the length of its footer in 4, and the magic."""


@contextmanager
def open_parquet(
    uri: str, options: dict[str, Any], row_groups: Sequence[int] = (), categories: Collection[str] = ()
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for streaming reads; Arrow reads local files itself.

    Parameters
    ----------
    row_groups, categories
        Strings in the columns ``categories`` (dotted names) of these row groups are read as dictionaries, where their
        encoding allows it: what would be decoded would only be encoded again.
    """
    with _opened(uri, options) as (source, reader_options):
        if categories:
            metadata = pq.read_metadata(source)
            text_columns = _dictionary_columns(metadata, row_groups, categories)
            reader_options |= {"metadata": metadata, "read_dictionary": text_columns}
        with _reader(source, reader_options) as reader:
            yield reader


@contextmanager
def open_footer(uri: str, options: dict[str, Any]) -> Iterator[tuple[pq.ParquetFile, int]]:
    """Open a Parquet file for a look at its footer, and return the footer's length in bytes, too."""
    with _opened(uri, options) as (source, reader_options), _reader(source, reader_options) as reader:
        yield reader, int.from_bytes(_end_of(source)[:4], "little")


@contextmanager
def _opened(uri: str, options: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open the file of a URI for pyarrow; return it, and how it is read."""
    filesystem, path = resolve(uri, options)
    if is_local(filesystem):
        yield path, {"buffer_size": STREAM_BYTES}
        return
    # s3fs' own read-ahead works against pre_buffer's coalesced ranges (arrow#34414).
    with with_retries(lambda: filesystem.open(path, "rb", cache_type="none")) as opened:
        yield _RetryingFile(opened, uri), {"pre_buffer": True}


@contextmanager
def _reader(source: Any, reader_options: dict[str, Any]) -> Iterator[pq.ParquetFile]:
    # Nanoseconds hold the years 1677 to 2262 alone: Spark's sentinel 9999-12-31 would become 1816 without a word.
    checked = reader_options | {"page_checksum_verification": True, "coerce_int96_timestamp_unit": "us"}
    with ExitStack() as stack:
        yield stack.enter_context(pq.ParquetFile(source, **checked))


def _dictionary_columns(metadata: Any, row_groups: Sequence[int], categories: Collection[str]) -> list[str]:
    """Return the names of columns of text that can be read as dictionaries in all of some row groups."""
    names = {}
    for index in range(metadata.num_columns):
        column = metadata.schema.column(index)
        if column.path in categories and column.logical_type.type == "STRING":
            names[index] = column.path
    for group in (metadata.row_group(index) for index in row_groups):
        names = {i: name for i, name in names.items() if NO_DICTIONARY.isdisjoint(group.column(i).encodings)}
    return list(names.values())


def _end_of(source: Any) -> bytes:
    if isinstance(source, _RetryingFile):
        return source.end
    with Path(source).open("rb") as file:
        file.seek(-END, 2)
        return file.read()


class _RetryingFile:
    """A remote file whose reads are retried where they fail or return too few bytes."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri
        self.end = b""
        """Its last bytes, once they were read."""

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
            data = with_retries(attempt)
        except OSError as error:
            if type(error).__name__ == "FileExpired":  # s3fs asks for the version that it opened
                raise changed_error(self._uri) from error
            raise
        if requested == left:
            self.end = data[-END:]
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def is_corruption(error: Exception) -> bool:
    """Return whether the file's bytes are at fault: Arrow's errors have no errno, networks' and disks' have."""
    return isinstance(error, pa.ArrowException | UnicodeDecodeError) or (type(error) is OSError and error.errno is None)
