"""Reads what a dataset needs from the footer of a file, and checks that the footer agrees with itself."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.column_chunks import Chunk, chunks_of, clashes, holds_values, is_encrypted, range_of
from featflow.dataset.files import DataFile, check_unchanged, gone_error, is_gone, readable_size
from featflow.dataset.footer import Footer, FooterFault
from featflow.dataset.nested_fields import is_image_struct, leaves
from featflow.dataset.parquet import MAGIC, is_corruption, read_footer_bytes
from featflow.dataset.thrift import Struct, decode_struct
from featflow.errors import first_line
from featflow.storage.filesystems import failed
from featflow.storage.retries import with_retries
from featflow.storage.store import resolve

__all__ = ["has_range", "read_footer"]


def read_footer(file: DataFile, options: dict[str, Any]) -> Footer | FooterFault:
    """Return the footer of a file, or what is wrong with it.

    Raises
    ------
    InfrastructureError
        Storage did not answer, or the file changed since it was listed.
    """
    if file.size < 0:
        return FooterFault(file, "the link leads to no file")
    if file.size == 0:
        return FooterFault(file, "the file is empty (0 bytes)")
    try:
        size = readable_size(file, options)
        try:
            return _checked(file, read_footer_bytes(file.readable, size, options))
        except Exception as error:
            if not is_corruption(error):
                raise
            # What was changed on its way comes whole the second time.
            return _checked(file, read_footer_bytes(file.readable, size, options))
    except Exception as error:
        if is_gone(file, error):
            raise gone_error(file.uri) from None
        if not is_corruption(error):
            raise failed(file.uri, "read its footer", error) from error
        check_unchanged(file, options)  # of a file written anew since, the bytes at the listed size are no footer
        return FooterFault(file, first_line(error), _begins(file, options) not in MAGIC)


def _begins(file: DataFile, options: dict[str, Any]) -> bytes:
    filesystem, path = resolve(file.readable, options)
    return bytes(with_retries(lambda: filesystem.cat_file(path, start=0, end=4)))


def _checked(file: DataFile, data: bytes) -> Footer:
    """Return a footer from its bytes; raise ArrowInvalid where it contradicts itself."""
    metadata = pq.read_metadata(pa.BufferReader(b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1"))
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows, sizes = (tuple(getattr(group, name) for group in groups) for name in ("num_rows", "total_byte_size"))
    if min(rows, default=0) < 0 or metadata.num_rows not in {0, sum(rows)}:  # some writers leave the sum at 0
        raise pa.ArrowInvalid(f"its footer contradicts itself: {metadata.num_rows} rows, and {rows} in row groups")
    if 0 in rows and holds_values(_decoded(data), [index for index, number in enumerate(rows) if number == 0]):
        raise pa.ArrowInvalid("its footer contradicts itself: values in a row group of 0 rows")  # which nobody reads
    schema = metadata.schema.to_arrow_schema()
    columns = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    partitions = dict(file.partitions)
    fields = [(name, columns.get(".".join(path)), kind) for name, path, kind in leaves(schema)]
    wanted = [(name, i) for name, i, kind in fields if i is not None and (has_range(kind) or name in partitions)]
    image_bytes = {
        name: columns.get(".".join((*path, "bytes"))) for name, path, kind in leaves(schema) if is_image_struct(kind)
    }
    # A footer in clear that is signed ends with a nonce and a tag, and some of its columns may be encrypted.
    if not wanted and not image_bytes and len(data) == metadata.serialized_size:
        return Footer(file, schema, rows, sizes)
    decoded = _decoded(data)
    chunks = {name: chunks_of(decoded, index, metadata.schema.column(index)) for name, index in wanted}
    images = {
        name: chunks_of(decoded, index, metadata.schema.column(index))
        for name, index in image_bytes.items()
        if index is not None
    }
    kinds = {name: kind for name, _, kind in fields}
    return Footer(
        file,
        schema,
        rows,
        sizes,
        {name: tuple(map(range_of, each)) for name, each in chunks.items() if has_range(kinds[name])},
        tuple(name for name, index, _ in fields if index is not None and is_encrypted(decoded, index)),
        tuple(name for name, each in chunks.items() if name in partitions and _clash(each, partitions[name])),
        tuple(name for name, chunks in images.items() if _are_null(chunks)),
        tuple(name for name, chunks in images.items() if not _are_null(chunks) and any(c.nulls != 0 for c in chunks)),
    )


def _decoded(data: bytes) -> Struct:
    try:
        return decode_struct(data)[0]
    except ValueError as error:
        raise pa.ArrowInvalid(f"its footer cannot be decoded: {error}") from None


def _clash(chunks: list[Chunk], folder: str) -> bool:
    return any(clashes(chunk, folder) for chunk in chunks)


def _are_null(chunks: list[Chunk]) -> bool:
    return bool(chunks) and all(chunk.values and chunk.nulls == chunk.values for chunk in chunks)


def has_range(kind: pa.DataType) -> bool:
    """Return whether a column's first and last values are asked for: of times and of whole decimals."""
    is_whole = pa.types.is_decimal(kind) and kind.scale == 0
    return bool(is_whole or pa.types.is_timestamp(kind) or pa.types.is_date(kind))
