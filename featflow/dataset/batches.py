"""Shards to record batches of canonical types, and no other type after this.

Numbers, times, categories and text are as `featflow.dataset.canonical` says; a struct holds the bytes of images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featflow.columns.column import POSITION, Column, Kind
from featflow.columns.jackknife_groups import positions
from featflow.dataset.canonical import canonical
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.files import DataFile, gone_error, is_gone
from featflow.dataset.footer import HIVE_NULL
from featflow.dataset.image_bytes import images_of, stored_by_path
from featflow.dataset.nested_fields import leaves
from featflow.dataset.parquet import is_corruption, open_parquet
from featflow.dataset.table_files import kept_rows
from featflow.errors import FeatflowError, InfrastructureError, first_line

__all__ = ["IMAGE_BYTES", "batch_rows", "read_batches"]

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
TEXT_BYTES = 128 * 2**20
"""Bytes of texts, or of images, in one batch: 1 KiB a row in the longest batch. Arrow's arrays end at 2 GiB."""
FEWEST_ROWS = 64
"""Rows of a batch that is short for its texts: fewer would be slow, and a footer may say nonsense."""
DICTIONARY_BYTES = 256 * 2**20
"""Bytes of texts in a row group beyond which they are not read as dictionaries: with every batch of a chunk of plain
texts comes a dictionary of all of them up to there, and one of 2 GiB is an error."""


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
            reader = _Reader(stack, shard.file, options, columns)
        except FeatflowError:
            raise
        except Exception as error:
            raise _read_failure(shard, error) from error
        paths = _column_paths(shard.file, reader.file.schema_arrow)
        fields = list(dict.fromkeys(".".join(paths[column.name]) for column in columns if column.name in paths))
        images = [paths[column.name] for column in columns if column.kind is Kind.IMAGE and column.name in paths]
        reader.prefer_plain_text(shard.row_groups)
        start = 0
        for group, group_rows in zip(shard.row_groups, shard.group_rows, strict=True):
            seen, part = 0, shard.part or range(group_rows)
            short = reader.rows_within(group, rows)
            try:
                selection = _Selection(group, fields, part.start, part.stop if part.stop < group_rows else None)
                batches = _kept_batches(shard, reader, selection, short)
                for raw in chain.from_iterable(_split_by_path_images(batch, images) for batch in batches):
                    seen += raw.num_rows
                    row_positions = positions(shard.place, start, raw.num_rows, shard.rows)
                    start += raw.num_rows
                    yield _canonical_batch(raw, columns, paths, _BatchOrigin(shard.file, row_positions, options))
                fault = "" if seen == len(part) else f"{seen} rows where the footer says {len(part)}"
            except pa.ArrowException as error:
                fault = first_line(error)
            except (OSError, UnicodeDecodeError) as error:
                if not is_corruption(error):
                    raise
                fault = first_line(error)
            if fault:
                culprit = _culprit(reader.file, group, fields, short)
                yield Quarantined(shard.file.uri, "unreadable_row_group", fault, group, culprit, group_rows)


def _column_paths(file: DataFile, schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Return where a file holds columns, by name."""
    return file.table.paths(schema, file.uri) if file.table else {name: path for name, path, _ in leaves(schema)}


class _Reader:
    """A file, read with texts as dictionaries until a column chunk is met whose encoding does not allow it."""

    def __init__(self, stack: ExitStack, file: DataFile, options: dict[str, Any], columns: tuple[Column, ...]) -> None:
        self._stack, self._uri, self._options = stack, file.readable, options
        self._categories = {column.name for column in columns if column.type == "string"}
        if file.table:
            self._categories = file.table.stored_names(self._categories)
        self._long = bool(self._categories) or any(column.kind is Kind.IMAGE for column in columns)
        self.file: pq.ParquetFile = stack.enter_context(open_parquet(self._uri, options, self._categories))

    def give_up_dictionaries(self) -> bool:
        """Read on without dictionaries; return whether they were read until now.

        pyarrow decodes text in DELTA_BYTE_ARRAY, but not to dictionaries ("DecodeArrow of DictAccumulator").
        """
        if not self._categories:
            return False
        self._categories.clear()
        self.file = self._stack.enter_context(open_parquet(self._uri, self._options))
        return True

    def prefer_plain_text(self, groups: Sequence[int]) -> None:
        """Give up dictionaries where one of these row groups holds more text than `DICTIONARY_BYTES`."""
        if self._categories and max(map(self._text_bytes, groups), default=0) > DICTIONARY_BYTES:
            self.give_up_dictionaries()

    def rows_within(self, group: int, rows: int) -> int:
        """Return the rows of a batch: fewer than ``rows`` where its texts and images would outweigh `TEXT_BYTES`."""
        if not self._long:
            return rows
        most = TEXT_BYTES * int(self.file.metadata.row_group(group).num_rows) // max(self._text_bytes(group), 1)
        return min(rows, max(most, FEWEST_ROWS))

    def _text_bytes(self, group: int) -> int:
        """Return about how many bytes of texts and images a row group holds: what is not eight bytes a number."""
        # The size of a single column is in metadata at whose damage pyarrow ends the process.
        footer = self.file.metadata.row_group(group)
        return int(footer.total_byte_size) - 8 * int(footer.num_rows) * self._numbers

    @cached_property
    def _numbers(self) -> int:
        return sum(pa.types.is_primitive(kind) for _, _, kind in leaves(self.file.schema_arrow))


@dataclass(frozen=True, slots=True)
class _Selection:
    """What is read of a row group."""

    group: int
    """Its index."""
    fields: list[str]
    """Dotted names of columns."""
    start: int
    """First row."""
    stop: int | None
    """First row that is not read; None reads to the end, wherever that is."""


def _kept_batches(shard: Shard, reader: _Reader, selection: _Selection, rows: int) -> Iterator[pa.RecordBatch]:
    """Return batches of a row group as `_raw_batches`, without rows that the file's table has deleted."""
    batches = _raw_batches(shard, reader, selection, rows)
    if shard.file.table is None or shard.file.table.deleted is None:
        return batches
    first = sum(reader.file.metadata.row_group(before).num_rows for before in range(selection.group))
    return kept_rows(batches, shard.file.table.deleted, first)


def _raw_batches(shard: Shard, reader: _Reader, selection: _Selection, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of a row group's fields as the file has them; raise InfrastructureError where storage is at fault.

    Rows before the selection's are decoded and dropped: Arrow cannot skip them.
    """
    start, most = selection.start, rows
    while True:
        try:
            for piece in _pieces(reader.file, replace(selection, start=start), most):
                start += piece.num_rows
                yield piece
        except FeatflowError:
            raise
        except Exception as error:
            if not is_corruption(error):
                raise _read_failure(shard, error) from error
            shorter = most > 1 and isinstance(error, pa.ArrowCapacityError)
            if not reader.give_up_dictionaries() and not shorter:
                raise
            # Some rows are far longer than those of the row group are on average: go on from there in shorter batches.
            most = max(1, most // 8) if shorter else most
        else:
            return


def _pieces(file: pq.ParquetFile, selection: _Selection, rows: int) -> Iterator[pa.RecordBatch]:
    start, stop, first = selection.start, selection.stop, 0
    for batch in file.iter_batches(batch_size=rows, row_groups=[selection.group], columns=selection.fields):
        end = first + batch.num_rows if stop is None else min(first + batch.num_rows, stop)
        if end > start:
            yield batch.slice(max(start - first, 0), end - max(start, first))
        if end == stop:
            return
        first = end


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


def _read_failure(shard: Shard, error: Exception) -> FeatflowError:
    if is_gone(shard.file, error):
        return gone_error(shard.file.uri)
    return InfrastructureError(f"{shard.file.uri}: cannot read it: {first_line(error)}; retry")


def _culprit(file: pq.ParquetFile, group: int, fields: list[str], batch_rows: int) -> str | None:
    """Return the first column that cannot be read on its own."""
    rows = file.metadata.row_group(group).num_rows
    for name in fields:
        seen = 0
        try:
            for batch in file.iter_batches(batch_rows, row_groups=[group], columns=[name]):
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
            array = origin.file.table.converted(column.name, array) if origin.file.table else array
        elif origin.file.table:
            array = pa.repeat(dict(origin.file.table.constants).get(column.name), raw.num_rows)
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
