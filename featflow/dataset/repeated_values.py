"""The longest value that a Parquet file stores once and repeats: what a footer does not say of the size of rows.

A dictionary page holds a value once for all rows that have it, and so do prefixes of the value before. A picture of
280 kB in 4,096 rows is a file of 280 kB, by its footer too, and 1.1 GB once it is read. Numbers of fields are those of
parquet.thrift
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featflow.dataset.parquet import is_corruption, open_parquet, read_footer_bytes
from featflow.dataset.thrift import Struct, decode_struct
from featflow.storage.retries import with_retries
from featflow.storage.store import resolve

__all__ = ["longest_repeated"]

ROW_GROUPS, COLUMNS, METADATA = 4, 1, 3
ENCODINGS, PATH, CODEC, TOTAL_UNCOMPRESSED, DATA_PAGE, DICTIONARY_PAGE = 2, 3, 4, 6, 9, 11
DELTA_BYTE_ARRAY = 7
"""Encoding in which a value may be the whole of the one before it, in no bytes of its own."""
PROBED_ROWS = 64
"""Rows of a batch in which such a column is read for the lengths of its values alone."""
UNCOMPRESSED, COMPRESSED = 2, 3
DICTIONARY_HEADER = bytes([0x15, 0x04])
"""How the header of a dictionary page begins: field 1, an i32, is 2."""
HEADER_BYTES = 256
"""Bytes that hold the header of a dictionary page, which has no statistics: it takes some 20."""
CODECS = {0: None, 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
LARGEST_PAGE = 2**28
"""Bytes of a dictionary page beyond which its values are not looked at; writers end it at one or two MiB."""


def longest_repeated(uri: str, options: dict[str, Any], group: int, columns: Collection[int]) -> int:
    """Return the bytes of the longest value that some columns of a row group may repeat; 0 without any.

    Those are the values of dictionary pages, and of chunks in `DELTA_BYTE_ARRAY`, which are read for it. Where a
    dictionary page cannot be looked at, its size stands for that of its values.

    Parameters
    ----------
    columns
        Their places among the schema's leaves; columns of bytes of any length.
    """
    filesystem, path = resolve(uri, options)
    size = int(with_retries(lambda: filesystem.info(path))["size"])

    def read(start: int, nbytes: int) -> bytes:
        return bytes(with_retries(lambda: filesystem.cat_file(path, start=start, end=min(start + nbytes, size))))

    try:
        footer, _ = decode_struct(read_footer_bytes(uri, size, options))
        chunks = [footer[ROW_GROUPS][group][COLUMNS][column][METADATA] for column in columns]
        encoded = [chunk[PATH] for chunk in chunks if DELTA_BYTE_ARRAY in chunk[ENCODINGS]]
        names = [b".".join(path).decode() for path in encoded]
        probed = [_longest_read(uri, options, group, name) for name in names]
        return max((*probed, *(_longest_in_chunk(chunk, read) for chunk in chunks)), default=0)
    except OSError as error:
        if not is_corruption(error):
            raise
        return 0  # met again where the row group is read
    except (pa.ArrowException, ValueError, LookupError, TypeError, AttributeError):
        return 0  # the footer is damaged or encrypted, which is met where the row group is read


def _longest_read(uri: str, options: dict[str, Any], group: int, name: str) -> int:
    """Return the bytes of the longest value of a column; of lists, which are not read, 0."""
    longest = 0
    with open_parquet(uri, options) as file:
        for batch in file.iter_batches(PROBED_ROWS, row_groups=[group], columns=[name]):
            array = batch.column(0)
            while pa.types.is_struct(array.type):
                array = array.field(0)
            if not pa.types.is_nested(array.type):
                longest = max(longest, pc.max(pc.binary_length(array)).as_py() or 0)
    return longest


def _longest_in_chunk(chunk: Struct, read: Callable[[int, int], bytes]) -> int:
    start = min(filter(None, (chunk.get(DICTIONARY_PAGE), chunk[DATA_PAGE])))
    head = read(start, HEADER_BYTES)
    if head[:2] != DICTIONARY_HEADER:
        return 0
    try:
        header, length = decode_struct(head)
        size, stored = int(header[UNCOMPRESSED]), int(header[COMPRESSED])
        if max(size, stored) > LARGEST_PAGE or chunk[CODEC] not in CODECS:
            return size
        return _longest_in(read(start + length, stored), size, CODECS[chunk[CODEC]])
    except (ValueError, LookupError, TypeError):
        return int(chunk[TOTAL_UNCOMPRESSED])


def _longest_in(data: bytes, size: int, codec: str | None) -> int:
    """Return the bytes of the longest value of a page of a dictionary: each stands behind its length of four bytes."""
    try:
        page = pa.Codec(codec).decompress(data, size, asbytes=True) if codec else data
    except (pa.ArrowException, OSError):
        return size
    longest = at = 0
    while at + 4 <= len(page):
        length = int.from_bytes(page[at : at + 4], "little")
        longest, at = max(longest, length), at + 4 + length
    return longest if at == size else size
