"""Shards to record batches of canonical types, and no other type after this.

Numbers, times, categories and text are as `featflow.dataset.canonical` says; a struct holds the bytes of images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.column import POSITION, Column, Kind
from featflow.columns.jackknife_groups import positions
from featflow.dataset.canonical import canonical
from featflow.dataset.files import DataFile
from featflow.dataset.footer import HIVE_NULL
from featflow.dataset.image_bytes import images_of, paths_of, stored_by_path
from featflow.dataset.image_places import ImagePlaces
from featflow.dataset.nested_fields import leaves
from featflow.dataset.parquet import is_corruption
from featflow.dataset.quarantined import Quarantined
from featflow.dataset.row_groups import Reader, Selection, culprit, kept_batches, read_failure
from featflow.dataset.shards import Shard
from featflow.errors import FeatflowError, first_line

__all__ = ["IMAGE_BYTES", "PATH", "batch_rows", "read_batches", "unreadable"]

PATH = "path"
"""Type of a column of images of which the paths are read, and no image: they are as rows hold them, large_binary."""

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
    options = shard.file.options or options
    with ExitStack() as stack:
        try:
            reader = Reader(stack, shard.file, options, columns)
        except FeatflowError:
            raise
        except Exception as error:
            raise read_failure(shard.file, error) from error
        paths = _column_paths(shard.file, reader.schema, columns)
        fields = list(dict.fromkeys(".".join(paths[column.name]) for column in columns if column.name in paths))
        images = [paths[column.name] for column in columns if column.kind is Kind.IMAGE and column.name in paths]
        reader.prefer_plain_text(shard.row_groups)
        start = 0
        for group, group_rows in zip(shard.row_groups, shard.group_rows, strict=True):
            seen, part = 0, shard.part or range(group_rows)
            short = reader.rows_within(group, rows, fields)
            try:
                selection = Selection(group, fields, part.start, part.stop if part.stop < group_rows else None)
                batches = kept_batches(shard.file, reader, selection, short)
                for raw in chain.from_iterable(_split_by_path_images(batch, images) for batch in batches):
                    seen += raw.num_rows
                    row_positions = positions(shard.place, start, raw.num_rows, shard.rows)
                    start += raw.num_rows
                    yield _canonical_batch(raw, columns, paths, _BatchOrigin(shard.file, row_positions, options))
                fault = "" if seen == len(part) else f"{seen} rows where the footer says {len(part)}"
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                if not is_corruption(error):
                    raise
                fault = first_line(error)
            fault = fault or reader.contradiction(group, fields)
            if fault:
                column = culprit(reader.file, group, fields, short)
                yield Quarantined(shard.file.uri, "unreadable_row_group", fault, group, column, group_rows)


def unreadable(shard: Shard, columns: tuple[Column, ...], options: dict[str, Any], rows: int) -> list[Quarantined]:
    """Return the row groups of a shard that cannot be read now, from a handle of its own.

    Images that lie in files of their own are not looked at. Raises as `read_batches`.
    """
    raw = tuple(replace(column, kind=Kind.TEXT) if column.kind is Kind.IMAGE else column for column in columns)
    return [each for each in read_batches(shard, raw, options, rows) if isinstance(each, Quarantined)]


def _column_paths(file: DataFile, schema: pa.Schema, columns: tuple[Column, ...]) -> dict[str, tuple[str, ...]]:
    """Return where a file holds columns, by name; of images of which paths alone are wanted, where it holds those."""
    paths = file.table.paths(schema, file.uri) if file.table else {name: path for name, path, _ in leaves(schema)}
    structs = {path for _, path, kind in leaves(schema) if pa.types.is_struct(kind)}
    alone = (column.name for column in columns if column.type == PATH and paths.get(column.name) in structs)
    return paths | {name: (*paths[name], "path") for name in alone}


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
            array = origin.file.table.converted(column.name, array) if origin.file.table else array
        elif origin.file.table:
            array = pa.repeat(dict(origin.file.table.constants).get(column.name), raw.num_rows)
        else:
            value = dict(origin.file.partitions).get(column.name)
            value = None if value == HIVE_NULL else value
            array = pa.nulls(raw.num_rows) if value is None else pa.array([value] * raw.num_rows, pa.string())
        if column.kind is Kind.IMAGE:
            arrays.append(images_of(array, ImagePlaces(origin.file, column.allow), origin.options))
        elif column.type == PATH:
            arrays.append(paths_of(array))
        else:
            arrays.append(canonical(array, column, origin.file.uri))
    if not arrays:
        return raw
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])
