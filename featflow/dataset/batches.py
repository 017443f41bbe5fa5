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
from featflow.dataset.image_bytes import images_of, stored_by_path
from featflow.errors import InfrastructureError, SchemaError, first_line

__all__ = ["IMAGE_BYTES", "batch_rows", "canonical", "read_batches"]

IMAGE_ROWS, IMAGE_BYTES = 4096, 32 * 2**20
"""Rows in one batch of images, and their encoded bytes. Rows bound a batch of thumbnails, of which a few hundred keep
all threads busy; bytes bound one of photographs, of which 4,096 would be gigabytes."""
IMAGES_BY_PATH = 32
"""Images in one batch that are read from their paths. Their sizes are known only when they are in memory, so the bound
is by number: low enough for large photographs, twice the files that are read at once."""
VECTOR_ROWS = 4096
"""Rows in one batch of vectors: 12 MiB for vectors of 768 float32."""
BATCH_CELLS = 8 * 2**20
"""Values in one batch: 64 MiB as float64. Fewer cost more time, as codes of long dictionaries and states are made
once a batch; more cost memory, of which a task holds several such batches."""
CATEGORY_TYPE = pa.dictionary(pa.int32(), pa.string())
OTHER_TYPES = {"binary", "image", "vector"}
"""Types of columns that hold neither numbers nor words."""


def batch_rows(columns: Collection[Column], row_bytes: int = 0) -> int:
    """Return how many rows a batch of these columns has.

    Parameters
    ----------
    row_bytes
        Bytes of a row of the shard, which bound a batch of images.
    """
    if any(column.kind is Kind.IMAGE for column in columns):
        return max(1, min(IMAGE_ROWS, IMAGE_BYTES // max(row_bytes, 1)))
    if any(column.kind is Kind.VECTOR for column in columns):
        return VECTOR_ROWS
    # From 64 columns on, cells decide; below, a batch of more rows gains nothing. Very wide tables keep enough rows
    # for vectorised code to outweigh what a batch costs by itself.
    return max(1024, min(2**17, BATCH_CELLS // max(len(columns), 1)))


def read_batches(
    shard: Shard, columns: tuple[Column, ...], options: dict[str, Any], rows: int
) -> Iterator[pa.RecordBatch | Quarantined]:
    """Yield the shard's batches of canonical types, in order.

    A row group that cannot be read yields one `Quarantined` when the fault is met; batches of its
    rows before the fault may have been yielded already, so the caller drops what it has computed of the shard.

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
            raise _read_failure(shard, error) from error
        paths = {name: path for name, path, _ in leaves(file.schema_arrow)}
        fields = list(dict.fromkeys(".".join(paths[column.name]) for column in columns if column.name in paths))
        images = [paths[column.name] for column in columns if column.kind is Kind.IMAGE and column.name in paths]
        start = 0
        for group, group_rows in zip(shard.row_groups, shard.group_rows, strict=True):
            seen = 0
            try:
                batches = _raw_batches(shard, file, (group, fields), rows)
                for raw in chain.from_iterable(_split_by_path_images(batch, images) for batch in batches):
                    seen += raw.num_rows
                    row_positions = positions(shard.place, start, raw.num_rows, shard.rows)
                    start += raw.num_rows
                    yield _canonical_batch(raw, columns, paths, _BatchOrigin(shard.file, row_positions, options))
                fault = "" if seen == group_rows else f"{seen} rows where the footer says {group_rows}"
            except pa.ArrowException as error:
                fault = first_line(error)
            except (OSError, UnicodeDecodeError) as error:
                if not is_corruption(error):
                    raise
                fault = first_line(error)
            if fault:
                culprit = _culprit(file, group, fields, group_rows)
                yield Quarantined(shard.file.uri, "unreadable_row_group", fault, group, culprit, group_rows)


def _raw_batches(
    shard: Shard, file: pq.ParquetFile, selection: tuple[int, list[str]], rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield batches of a row group's fields as the file has them; raise InfrastructureError where storage is at fault.

    Parameters
    ----------
    selection
        Row group, and dotted names of its columns.
    """
    group, fields = selection
    try:
        yield from file.iter_batches(batch_size=rows, row_groups=[group], columns=fields)
    except InfrastructureError:
        raise
    except Exception as error:
        if is_corruption(error):
            raise
        raise _read_failure(shard, error) from error


def _split_by_path_images(batch: pa.RecordBatch, images: list[tuple[str, ...]]) -> Iterator[pa.RecordBatch]:
    """Yield a batch in pieces, each with at most `IMAGES_BY_PATH` images of a column that are read from their paths."""
    path_images = max(
        (int(pc.sum(stored_by_path(_nested_column(batch, path))).as_py() or 0) for path in images), default=0
    )
    rows = IMAGES_BY_PATH if path_images > IMAGES_BY_PATH else max(batch.num_rows, 1)
    yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


def _nested_column(batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    array = batch.column(path[0])
    for name in path[1:]:
        array = pc.struct_field(array, name)
    return array


def _read_failure(shard: Shard, error: Exception) -> InfrastructureError:
    return InfrastructureError(f"{shard.file.uri}: cannot read it: {first_line(error)}; retry")


def _culprit(file: pq.ParquetFile, group: int, fields: list[str], rows: int) -> str | None:
    """Return the first column that cannot be read on its own."""
    for name in fields:
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
class _BatchOrigin:
    """The file and the rows that a batch holds."""

    file: DataFile
    positions: np.ndarray
    """`POSITION` of every row."""
    options: dict[str, Any] = field(repr=False)
    """Options of the filesystem."""


def _canonical_batch(
    raw: pa.RecordBatch, columns: tuple[Column, ...], paths: dict[str, tuple[str, ...]], origin: _BatchOrigin
) -> pa.RecordBatch:
    arrays = []
    for column in columns:
        if column == POSITION:
            array = pa.array(origin.positions)
        elif column.name in paths:
            array = _nested_column(raw, paths[column.name])
        else:
            value = dict(origin.file.partitions).get(column.name)
            value = None if value == HIVE_NULL else value
            array = pa.nulls(raw.num_rows) if value is None else pa.array([value] * raw.num_rows, pa.string())
        if column.kind is Kind.IMAGE:
            arrays.append(images_of(array, origin.file.uri, origin.options))
        else:
            arrays.append(canonical(array, column, origin.file.uri))
    if not arrays:
        return raw
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def canonical(array: pa.Array, column: Column, uri: str = "made of other columns") -> pa.Array:
    """Return values cast to a column's canonical type; images, vectors and binary values stay as they are.

    Raises
    ------
    SchemaError
        A column of numbers or times holds text that is none.
    """
    if column.type in OTHER_TYPES:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), CATEGORY_TYPE if column.type == "string" else pa.type_for_alias(column.type))
    if column.type == "string":
        return _as_category(array, column.null_values)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return _as_number(array, column)
    try:
        return _as_number(array, column)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{uri}: column '{column.name}' is set to {column.kind} and holds text that is none: {first_line(error)}; "
            "check dataset.kinds, or name such text in dataset.null_values"
        ) from None


def _as_category(array: pa.Array, null_values: tuple[str, ...]) -> pa.Array:
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    if len(encoded.dictionary) > len(encoded):  # a row group's dictionary comes with every batch of it
        encoded = _without_unused_values(encoded)
    if encoded.dictionary.null_count:  # from here on, the indices alone mark missing values
        encoded = encoded.dictionary_decode().dictionary_encode()
    values = encoded.dictionary
    indices = encoded.indices.cast(pa.int32())
    missing = pa.array(null_values, pa.string())
    if pa.types.is_floating(values.type):
        missing = pa.array(["nan"])
        values = pc.add(values.cast(pa.float64()), 0.0)  # -0.0 is 0.0
    values = _canonical_texts(values)
    values.validate(full=True)  # bytes that are no UTF-8 are a fault of the file
    if len(missing):
        is_missing = pc.is_in(values, value_set=missing).take(indices)
        indices = pc.if_else(pc.fill_null(is_missing, fill_value=False), None, indices)
    return pa.DictionaryArray.from_arrays(indices, values)


def _without_unused_values(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return a dictionary array without the values that no row has."""
    indices = encoded.indices
    rows = indices.drop_null().to_numpy()
    used = np.zeros(len(encoded.dictionary), bool)
    used[rows] = True
    new_indices = pa.array(np.cumsum(used, dtype=np.int32) - 1)
    return pa.DictionaryArray.from_arrays(
        new_indices.take(indices), encoded.dictionary.take(pa.array(np.flatnonzero(used)))
    )


def _canonical_texts(values: pa.Array) -> pa.Array:
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


def _as_number(array: pa.Array, column: Column) -> pa.Array:
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
