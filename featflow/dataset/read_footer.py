"""Reads what a dataset needs from the footer of a file, and checks that the footer agrees with itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.files import DataFile, gone_error, is_gone
from featflow.dataset.footer import DAY, HIVE_NULL, NO_TIME, Footer, FooterFault, Range
from featflow.dataset.nested_fields import leaves
from featflow.dataset.parquet import is_corruption, open_footer
from featflow.errors import InfrastructureError, first_line
from featflow.storage.retries import with_retries
from featflow.storage.store import resolve

__all__ = ["has_range", "read_footer"]

MAGIC = {b"PAR1", b"PARE"}
"""First bytes of a Parquet file; the second is that of files with an encrypted footer."""
PER_MICROSECOND = {"milliseconds": 1000, "microseconds": 1}


def read_footer(file: DataFile, options: dict[str, Any]) -> Footer | FooterFault:
    """Return the footer of a file, or what is wrong with it.

    Raises
    ------
    InfrastructureError
        Storage did not answer.
    """
    if file.size < 0:
        return FooterFault(file, "the link leads to no file")
    if file.size == 0:
        return FooterFault(file, "the file is empty (0 bytes)")
    try:
        with open_footer(file.uri, options) as (source, length):
            return _checked(file, source, length)
    except InfrastructureError:
        raise
    except Exception as error:
        if is_gone(file, error):
            raise gone_error(file.uri) from None
        if not is_corruption(error):
            raise InfrastructureError(f"{file.uri}: cannot read its footer: {first_line(error)}") from error
        return FooterFault(file, first_line(error), _begins(file, options) not in MAGIC)


def _begins(file: DataFile, options: dict[str, Any]) -> bytes:
    filesystem, path = resolve(file.uri, options)
    return bytes(with_retries(lambda: filesystem.cat_file(path, start=0, end=4)))


def _checked(file: DataFile, source: pq.ParquetFile, length: int) -> Footer:
    """Return the footer of an open file; raise ArrowInvalid where it contradicts itself."""
    metadata = source.metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows, sizes = (tuple(getattr(group, name) for group in groups) for name in ("num_rows", "total_byte_size"))
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise pa.ArrowInvalid(f"its footer contradicts itself: {metadata.num_rows} rows, and {rows} in row groups")
    # A footer in clear that is signed ends with a nonce and a tag: some columns may be encrypted, and a look at the
    # metadata of such a column ends the process.
    encrypted = _encrypted(source) if length != metadata.serialized_size else ()
    schema = source.schema_arrow
    indices = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    partitions = dict(file.partitions)
    ranges, clashes = {}, []
    for name, path, kind in leaves(schema):
        index = indices.get(".".join(path))
        if index is None or name in encrypted:
            continue
        if has_range(kind):
            ranges[name] = tuple(_range(column) for column in _chunks(groups, index, ".".join(path)))
        if name in partitions:
            chunks = _chunks(groups, index, ".".join(path))
            if any(_clashes(column.statistics, partitions[name]) for column in chunks):
                clashes.append(name)
    return Footer(file, schema, rows, sizes, ranges, encrypted, tuple(clashes))


def _encrypted(source: pq.ParquetFile) -> tuple[str, ...]:
    """Return the names of the columns that cannot be read without a key, found by reading a row of each."""
    names = []
    for name, path, _ in leaves(source.schema_arrow):
        try:
            next(source.iter_batches(batch_size=1, columns=[".".join(path)]), None)
        except OSError as error:
            if error.errno is not None:
                raise
            names.append(name)
    return tuple(names)


def _chunks(groups: Iterable[Any], index: int, path: str) -> Iterable[Any]:
    """Yield the metadata of a column in every row group; raise ArrowInvalid where a row group names it otherwise."""
    for number, group in enumerate(groups):
        if index >= group.num_columns or group.column(index).path_in_schema != path:
            raise pa.ArrowInvalid(f"its footer contradicts itself: column '{path}' is another in row group {number}")
        yield group.column(index)


def has_range(kind: pa.DataType) -> bool:
    """Return whether a column's first and last values are asked for: of times and of whole decimals."""
    is_whole = pa.types.is_decimal(kind) and kind.scale == 0
    return bool(is_whole or pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _range(column: Any) -> Range:
    """Return the first and last value of a column in a row group, as integers of any size.

    Statistics are taken as they are stored: as Python's times, those beyond the years 1 to 9999 raise errors.
    """
    statistics = column.statistics
    if statistics is None:
        return None, None
    if statistics.has_null_count and statistics.null_count == column.num_values:
        return NO_TIME
    if not statistics.has_min_max or column.physical_type == "INT96":
        return None, None
    return _whole(statistics, statistics.min_raw), _whole(statistics, statistics.max_raw)


def _whole(statistics: Any, raw: int | bytes) -> int:
    number = int.from_bytes(raw, "big", signed=True) if isinstance(raw, bytes) else int(raw)
    if statistics.logical_type.type == "DATE":
        return number * DAY
    if statistics.logical_type.type == "TIMESTAMP":
        unit = json.loads(statistics.logical_type.to_json())["timeUnit"]
        return number * PER_MICROSECOND[unit] if unit in PER_MICROSECOND else number // 1000
    return number


def _clashes(statistics: Any, folder: str) -> bool:
    """Return whether a column's statistics say that it holds another value than the name of the folder."""
    if statistics is None:
        return False
    if folder == HIVE_NULL or not statistics.has_min_max:
        return bool(folder == HIVE_NULL and statistics.has_min_max)
    with suppress(ValueError, OverflowError):  # a time that Python has none for
        return not all(_is_same(folder, value) for value in (statistics.min, statistics.max))
    return False


def _is_same(folder: str, value: Any) -> bool:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if folder.lower() == text.lower() or (isinstance(value, datetime) and text.startswith(folder)):
        return True
    try:
        return float(folder) == float(text)
    except ValueError:
        return False
