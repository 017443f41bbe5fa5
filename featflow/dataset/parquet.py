"""Parquet files, opened for streaming reads: the one place that opens a dataset's files."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.files import changed_error
from featflow.storage.retries import with_retries
from featflow.storage.store import is_local, resolve

__all__ = ["is_corruption", "open_parquet"]

STREAM_BYTES = 2**20
"""Read-ahead of one column chunk: without a buffer a whole row group's chunks are in memory while batches are made."""

DICTIONARY_BYTES = 128 * 2**20
"""Bytes of a column chunk of texts beyond which it is not read as a dictionary: with every batch of a chunk of plain
texts comes a dictionary of all of them up to there, and one of 2 GiB is an error."""


@contextmanager
def open_parquet(uri: str, options: dict[str, Any], categories: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for streaming reads; Arrow reads local files itself.

    Strings in the columns ``categories`` (dotted names) are read as dictionaries, as files store them, unless they are
    very long: what would be decoded would only be encoded again.
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
            columns = ((index, metadata.schema.column(index)) for index in range(metadata.num_columns))
            text_columns = [
                column.path
                for index, column in columns
                if column.path in categories and column.logical_type.type == "STRING" and _is_short(metadata, index)
            ]
            reader_options |= {"metadata": metadata, "read_dictionary": text_columns}
        yield stack.enter_context(pq.ParquetFile(source, page_checksum_verification=True, **reader_options))


def _is_short(metadata: Any, column: int) -> bool:
    """Return whether every chunk of a column is short enough to be read as a dictionary."""
    chunks = (metadata.row_group(group).column(column) for group in range(metadata.num_row_groups))
    return all(chunk.total_uncompressed_size <= DICTIONARY_BYTES for chunk in chunks)


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
                raise changed_error(self._uri) from error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def is_corruption(error: Exception) -> bool:
    """Return whether the file's bytes are at fault: Arrow's errors have no errno, networks' and disks' have."""
    return isinstance(error, pa.ArrowException | UnicodeDecodeError) or (type(error) is OSError and error.errno is None)
