"""Shards to record batches of six types, and no other type after this.

int64, uint64, float32 and float64 hold numbers and times (times in microseconds
since 1970 UTC); dictionary<int32, string> holds categories and text, a struct the
bytes of images. An integer that is a category becomes its decimal string, so identity
survives beyond 2^53.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featflow.columns.column import POSITION, Column, Kind
from featflow.columns.jackknife_groups import positions
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.file_schemas import HIVE_NULL, leaves
from featflow.dataset.files import DataFile, is_corruption, open_parquet
from featflow.dataset.image_bytes import elsewhere, images_of
from featflow.errors import InfrastructureError, SchemaError, first_line

__all__ = ["IMAGE_BYTES", "batch_rows", "canonical", "read_batches"]

IMAGE_ROWS, IMAGE_BYTES = 4096, 32 * 2**20
"""Rows in one batch of images, and their encoded bytes."""
IMAGES_ELSEWHERE = 32
"""Images in one batch that are read from their paths: how large they are is not known."""
VECTOR_ROWS = 4096
"""Rows in one batch of vectors."""
BATCH_CELLS = 8 * 2**20
"""Values in one batch: 64 MiB as float64; fewer cost more, as codes of long dictionaries and states are made anew."""
CATEGORY_TYPE = pa.dictionary(pa.int32(), pa.string())
OTHER_TYPES = {"binary", "image", "vector"}
"""Types of columns that hold neither numbers nor words."""


def batch_rows(columns: Collection[Column], row_bytes: int = 0) -> int:
    """Return the rows of a batch of these columns.

    Parameters
    ----------
    row_bytes
        Bytes of a row of the shard, which bound a batch of images.
    """
    if any(column.kind is Kind.IMAGE for column in columns):
        return max(1, min(IMAGE_ROWS, IMAGE_BYTES // max(row_bytes, 1)))
    if any(column.kind is Kind.VECTOR for column in columns):
        return VECTOR_ROWS
    return max(1024, min(2**17, BATCH_CELLS // max(len(columns), 1)))


def read_batches(
    shard: Shard, columns: tuple[Column, ...], options: dict[str, Any], rows: int
) -> Iterator[pa.RecordBatch | Quarantined]:
    """Yield the shard's batches of canonical types, in order.

    A row group that cannot be read yields one `Quarantined` when the fault is met; batches of its
    rows before the fault may have come already, so the caller drops what it made of the shard.

    Raises
    ------
    SchemaError
        A column set to be a number holds something else.
    InfrastructureError
        Storage failed; the data may be sound.
    """
    with ExitStack() as stack:
        try:
            categories = {column.name for column in columns if column.type == "string"}
            file = stack.enter_context(open_parquet(shard.file.uri, options, categories))
        except InfrastructureError:
            raise
        except Exception as error:
            raise _failure(shard, error) from error
        paths = {name: path for name, path, _ in leaves(file.schema_arrow)}
        wanted = list(dict.fromkeys(".".join(paths[column.name]) for column in columns if column.name in paths))
        images = [paths[column.name] for column in columns if column.kind is Kind.IMAGE and column.name in paths]
        start = 0
        for group, group_rows in zip(shard.row_groups, shard.group_rows, strict=True):
            seen = 0
            try:
                batches = _raw_batches(shard, file, (group, wanted), rows)
                for raw in chain.from_iterable(_cut(batch, images) for batch in batches):
                    seen += raw.num_rows
                    lies = positions(shard.place, start, raw.num_rows, shard.rows)
                    start += raw.num_rows
                    yield _canonical_batch(raw, columns, paths, _Where(shard.file, lies, options))
                fault = "" if seen == group_rows else f"{seen} rows where the footer says {group_rows}"
            except pa.ArrowException as error:
                fault = first_line(error)
            except (OSError, UnicodeDecodeError) as error:
                if not is_corruption(error):
                    raise
                fault = first_line(error)
            if fault:
                culprit = _culprit(file, group, wanted, group_rows)
                yield Quarantined(shard.file.uri, "unreadable_row_group", fault, group, culprit, group_rows)


def _raw_batches(
    shard: Shard, file: pq.ParquetFile, what: tuple[int, list[str]], rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield batches as they are in the file; whatever is not the file's fault becomes an InfrastructureError."""
    group, wanted = what
    try:
        yield from file.iter_batches(batch_size=rows, row_groups=[group], columns=wanted)
    except InfrastructureError:
        raise
    except Exception as error:
        if is_corruption(error):
            raise
        raise _failure(shard, error) from error


def _cut(batch: pa.RecordBatch, images: list[tuple[str, ...]]) -> Iterator[pa.RecordBatch]:
    """Yield a batch in pieces of which no more than `IMAGES_ELSEWHERE` images of a column are read from their paths."""
    most = max((int(pc.sum(elsewhere(_values(batch, path))).as_py() or 0) for path in images), default=0)
    rows = IMAGES_ELSEWHERE if most > IMAGES_ELSEWHERE else max(batch.num_rows, 1)
    yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


def _values(batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    array = batch.column(path[0])
    for name in path[1:]:
        array = pc.struct_field(array, name)
    return array


def _failure(shard: Shard, error: Exception) -> InfrastructureError:
    return InfrastructureError(f"{shard.file.uri}: cannot read it: {first_line(error)}; retry")


def _culprit(file: pq.ParquetFile, group: int, wanted: list[str], rows: int) -> str | None:
    """Return the first column that cannot be read on its own."""
    for name in wanted:
        seen = 0
        try:
            for batch in file.iter_batches(row_groups=[group], columns=[name]):
                batch.validate(full=True)
                seen += batch.num_rows
        except (pa.ArrowException, OSError):
            return name
        if seen != rows:
            return name
    return None


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a batch comes from."""

    file: DataFile
    lies: np.ndarray
    """`POSITION` of every row."""
    options: dict[str, Any] = field(repr=False)
    """Of the filesystem."""


def _canonical_batch(
    raw: pa.RecordBatch, columns: tuple[Column, ...], paths: dict[str, tuple[str, ...]], where: _Where
) -> pa.RecordBatch:
    arrays = []
    for column in columns:
        if column == POSITION:
            array = pa.array(where.lies)
        elif column.name in paths:
            array = _values(raw, paths[column.name])
        else:
            value = dict(where.file.partitions).get(column.name)
            value = None if value == HIVE_NULL else value
            array = pa.nulls(raw.num_rows) if value is None else pa.array([value] * raw.num_rows, pa.string())
        if column.kind is Kind.IMAGE:
            arrays.append(images_of(array, where.file.uri, where.options))
        else:
            arrays.append(canonical(array, column, where.file.uri))
    if not arrays:
        return raw
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def canonical(array: pa.Array, column: Column, uri: str = "made of other columns") -> pa.Array:
    """Return values as a column's canonical type; vectors and the like as they are.

    Raises
    ------
    SchemaError
        They are text, and no numbers.
    """
    if column.type in OTHER_TYPES:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), CATEGORY_TYPE if column.type == "string" else pa.type_for_alias(column.type))
    if column.type == "string":
        return _category(array, column.null_values)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return _number(array, column)
    try:
        return _number(array, column)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{uri}: column '{column.name}' is set to {column.kind} and holds text that is none: {first_line(error)}; "
            "check dataset.kinds, or name such text in dataset.null_values"
        ) from None


def _category(array: pa.Array, null_values: tuple[str, ...]) -> pa.Array:
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    if len(encoded.dictionary) > len(encoded):  # a row group's dictionary comes with every batch of it
        encoded = _used(encoded)
    if encoded.dictionary.null_count:  # missing is said by the indices alone
        encoded = encoded.dictionary_decode().dictionary_encode()
    values = encoded.dictionary
    indices = encoded.indices.cast(pa.int32())
    missing = pa.array(null_values, pa.string())
    if pa.types.is_floating(values.type):
        missing = pa.array(["nan"])
        values = pc.add(values.cast(pa.float64()), 0.0)  # -0.0 is 0.0
    values = _texts(values)
    values.validate(full=True)  # bytes that are no UTF-8 are a fault of the file
    if len(missing):
        absent = pc.is_in(values, value_set=missing).take(indices)
        indices = pc.if_else(pc.fill_null(absent, fill_value=False), None, indices)
    return pa.DictionaryArray.from_arrays(indices, values)


def _used(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return a dictionary array without the values that no row has."""
    indices = encoded.indices
    rows = indices.drop_null().to_numpy()
    used = np.zeros(len(encoded.dictionary), bool)
    used[rows] = True
    place = pa.array(np.cumsum(used, dtype=np.int32) - 1)
    return pa.DictionaryArray.from_arrays(place.take(indices), encoded.dictionary.take(pa.array(np.flatnonzero(used))))


def _texts(values: pa.Array) -> pa.Array:
    """Return values as strings that do not depend on the unit or scale in which a file stores them."""
    if pa.types.is_duration(values.type):
        return values.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.string())
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64()).cast(pa.timestamp("us"))
    elif pa.types.is_time(values.type):
        values = values.cast(pa.time64("us"), safe=False)
    texts = values.cast(pa.string())
    if pa.types.is_decimal(values.type):
        trimmed = pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")
        texts = pc.if_else(pc.match_substring(texts, "."), trimmed, texts)
    return texts


def _number(array: pa.Array, column: Column) -> pa.Array:
    if column.null_values:
        array = pc.if_else(pc.is_in(array, value_set=pa.array(column.null_values, array.type)), None, array)
    microseconds = pa.timestamp("us")
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    elif pa.types.is_date(array.type) or (column.kind is Kind.TIME and not pa.types.is_integer(array.type)):
        array = array.cast(pa.time64("us") if pa.types.is_time(array.type) else microseconds, safe=False)
    elif pa.types.is_duration(array.type):
        array = array.cast(pa.duration("us"), safe=False)
    elif pa.types.is_time(array.type):
        array = array.cast(pa.time64("us"), safe=False)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    return array.cast(pa.type_for_alias(column.type), safe=False)
