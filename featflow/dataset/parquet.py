"""Parquet files, opened for streaming reads: the one place that opens a dataset's files."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.files import changed_error
from featflow.storage.deadlines import StalledError, within
from featflow.storage.filesystems import failed
from featflow.storage.retries import is_refused, with_retries
from featflow.storage.store import is_local, resolve

__all__ = ["MAGIC", "is_corruption", "is_memory_shortage", "open_parquet", "read_footer_bytes"]

STREAM_BYTES = 2**20
"""Read-ahead of one column chunk: without a buffer a whole row group's chunks are in memory while batches are made."""
TAIL_BYTES = 2**16
"""Bytes at the end of a file that are read first: most footers are shorter."""
END = 8
"""Bytes after the footer: its length in 4, and the magic."""
ALLOCATION = re.compile(r"alloc of size (\d+) failed")
NO_MEMORY = re.compile(r"bad_alloc|not enough memory|cannot allocate memory", re.IGNORECASE)
"""How Arrow and the codecs in it say that memory is short."""
LARGEST_ALLOCATION = 4 * 2**30
"""Bytes: pages and dictionaries end at 2 GiB, and what is built of them grows by doubling."""
MAGIC = {b"PAR1", b"PARE"}
"""First and last bytes of a Parquet file; the second are those of files with an encrypted footer."""


@contextmanager
def open_parquet(uri: str, options: dict[str, Any], categories: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for streaming reads; Arrow reads local files itself.

    Strings in the columns ``categories`` (dotted names) are read as dictionaries, as most files store them: what would
    be decoded would only be encoded again. Reading raises OSError where their encoding does not allow it.
    """
    with _opened(uri, options) as (source, reader_options):
        if categories:
            metadata = pq.read_metadata(source)
            columns = (metadata.schema.column(index) for index in range(metadata.num_columns))
            text_columns = [c.path for c in columns if c.path in categories and c.logical_type.type == "STRING"]
            reader_options |= {"metadata": metadata, "read_dictionary": text_columns}
        with _reader(source, reader_options) as reader:
            yield reader


def read_footer_bytes(uri: str, size: int, options: dict[str, Any]) -> bytes:
    """Return the bytes of a file's footer, without the length and the magic after them.

    Raises
    ------
    pa.ArrowInvalid
        The file does not end as Parquet files do.
    """
    filesystem, path = resolve(uri, options)

    def read(start: int) -> bytes:
        data = bytes(filesystem.cat_file(path, start=start, end=size))
        if len(data) < size - start:
            raise OSError(errno.EIO, f"{len(data)} of {size - start} bytes came")
        return data

    tail = with_retries(lambda: read(max(0, size - TAIL_BYTES)))
    if tail[-4:] == b"PARE":
        raise pa.ArrowInvalid("its footer is encrypted, and there is no key")
    length = int.from_bytes(tail[-END:-4], "little") + END
    if tail[-4:] not in MAGIC or length > size:
        raise pa.ArrowInvalid("it does not end as Parquet files do: cut off, damaged, or no Parquet file")
    return (tail if length <= len(tail) else with_retries(lambda: read(size - length)))[-length:-END]


@contextmanager
def _opened(uri: str, options: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open the file of a URI for pyarrow; return it, and how it is read."""
    filesystem, path = resolve(uri, options)
    if is_local(filesystem):
        yield path, {"buffer_size": STREAM_BYTES}
        return

    # s3fs' own read-ahead works against pre_buffer's coalesced ranges (arrow#34414).
    def opened() -> Any:
        return filesystem.open(path, "rb", cache_type="none")

    with closing(_RetryingFile(opened, uri)) as file:
        yield file, {"pre_buffer": True}


@contextmanager
def _reader(source: Any, reader_options: dict[str, Any]) -> Iterator[pq.ParquetFile]:
    # Nanoseconds hold the years 1677 to 2262 alone: Spark's sentinel 9999-12-31 would become 1816 without a word.
    checked = reader_options | {"page_checksum_verification": True, "coerce_int96_timestamp_unit": "us"}
    with ExitStack() as stack:
        yield stack.enter_context(pq.ParquetFile(source, **checked))


class _RetryingFile:
    """A remote file whose reads are retried where they fail, return too few bytes, or take too long."""

    def __init__(self, opened: Callable[[], Any], uri: str) -> None:
        self._opened, self._uri = opened, uri
        self._file = with_retries(opened)

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        left = self._file.size - start
        requested = left if size < 0 else min(size, left)

        def attempt(file: Any) -> bytes:
            file.seek(start)
            data = bytes(file.read(requested))
            if len(data) < requested:
                raise OSError(errno.EIO, f"{len(data)} of {requested} bytes came")
            return data

        def bounded() -> bytes:
            try:
                return within(requested, lambda: attempt(self._file))
            except StalledError:  # what it waits for may still come, and move this file's position
                self._file = self._opened()
                raise

        try:
            return with_retries(bounded)
        except OSError as error:
            if type(error).__name__ == "FileExpired":  # s3fs asks for the version that it opened
                raise changed_error(self._uri) from error
            if error.errno is None:  # Arrow's own have none either, and say that the bytes are at fault
                raise failed(self._uri, "read it", error) from error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def is_memory_shortage(error: Exception) -> bool:
    """Return whether there was too little memory to read; not where damage asked for more than any data needs.

    Examples
    --------
    >>> is_memory_shortage(OSError("std::bad_alloc")), is_memory_shortage(OSError("Corrupt snappy compressed data."))
    (True, False)
    >>> is_memory_shortage(pa.ArrowMemoryError("malloc of size 72057594037927936 failed"))
    False
    """
    size = ALLOCATION.search(str(error))
    if size:
        return int(size[1]) <= LARGEST_ALLOCATION
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and bool(NO_MEMORY.search(str(error))))


def is_corruption(error: Exception) -> bool:
    """Return whether the file's bytes are at fault: Arrow's errors have no errno, networks' and disks' have.

    Examples
    --------
    >>> is_corruption(OSError("Corrupt snappy compressed data.")), is_corruption(OSError(5, "Input/output error"))
    (True, False)
    >>> is_corruption(pa.ArrowMemoryError("malloc of size 1920001024 failed"))
    False
    """
    if is_memory_shortage(error) or isinstance(error, pa.ArrowCancelled) or is_refused(error):
        return False
    return isinstance(error, pa.ArrowException | UnicodeDecodeError) or (type(error) is OSError and error.errno is None)
