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
                raise changed_error(self._uri) from error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def is_corruption(error: Exception) -> bool:
    """Return whether the file's bytes are at fault: Arrow's errors have no errno, networks' and disks' have."""
    return isinstance(error, pa.ArrowException | UnicodeDecodeError) or (type(error) is OSError and error.errno is None)
