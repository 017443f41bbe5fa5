"""Tables of a run: Parquet whose SHA-256 the manifest has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.errors import DatasetError, first_line
from featflow.storage.filesystems import failed, is_local, resolve
from featflow.storage.local_writes import check_regular
from featflow.storage.store import Store

__all__ = ["damaged", "digest_of_parts", "parquet_table", "read_part", "streaming"]


def digest_of_parts(digests: Sequence[str]) -> str:
    """Return the SHA-256 of a table: of its one file, or of its parts' digests in order, a line each."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def read_part(store: Store, path: str, columns: list[str] | None, sha256: str | None) -> tuple[pa.Table, str]:
    """Return one file of a table, or some of its columns, and the SHA-256 of its bytes.

    Parameters
    ----------
    sha256
        What the digest must be; None where no manifest says it.

    Raises
    ------
    DatasetError
        The file is not there, or its bytes are not those that were written.
    """
    try:
        data = store.read(path) if sha256 is None else store.read_verified(path, sha256)
    except FileNotFoundError:
        raise DatasetError(f"{store.uri(path)}: the run's table is not there any more; run it again") from None
    if data is None:
        raise DatasetError(damaged(store.uri(path)))
    digest = sha256 or hashlib.sha256(data).hexdigest()
    try:
        return parquet_table(data, columns, verify=sha256 is None), digest
    except (pa.ArrowException, OSError) as error:  # of bytes in memory: storage's own errors are other ones
        raise DatasetError(f"{store.uri(path)}: damaged: {first_line(error)}; run it again") from None


@contextmanager
def streaming(uri: str, options: dict[str, Any]) -> Iterator[None]:
    """Raise what goes wrong while a table too large for memory is read in pieces as the errors of `read_part`.

    The pages of such a table have checksums, its footer has none.
    """
    try:
        filesystem, location = resolve(uri, options)
        if is_local(filesystem):
            check_regular(location, uri, None)
        yield
    except FileNotFoundError:
        raise DatasetError(f"{uri}: the run's table is not there any more; run it again") from None
    except pa.ArrowException as error:
        raise DatasetError(f"{uri}: damaged: {first_line(error)}; run it again") from None
    except OSError as error:
        raise failed(uri, "read it", error) from error


def parquet_table(data: bytes, columns: list[str] | None = None, *, verify: bool = True) -> pa.Table:
    """Return the table of a Parquet file's bytes, or some of its columns.

    Parameters
    ----------
    verify
        Whether checksums of pages are looked at; a digest of all bytes says more.
    """
    # Arrow's threads, busy with reading ahead, sometimes abort a process that ends: 23 of 30 with pyarrow 26.0.1.
    file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False, page_checksum_verification=verify)
    return file.read(columns=columns, use_threads=False)


def damaged(uri: str) -> str:
    """Return the message about bytes that are not those of the manifest."""
    return f"{uri}: damaged: its bytes are not those that were written (SHA-256); bring back a copy, or run it again"
