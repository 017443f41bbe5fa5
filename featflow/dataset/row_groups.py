"""Row groups of a file as it has them, in batches whose texts do not outgrow Arrow's arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.columns.column import Column, Kind
from featflow.dataset.files import DataFile, gone_error, is_gone
from featflow.dataset.nested_fields import leaves
from featflow.dataset.parquet import is_corruption, is_memory_shortage, open_parquet
from featflow.dataset.repeated_values import longest_repeated
from featflow.dataset.table_files import kept_rows
from featflow.errors import FeatflowError, first_line
from featflow.storage.filesystems import failed

__all__ = ["Reader", "Selection", "culprit", "kept_batches", "read_failure"]

TEXT_BYTES = 128 * 2**20
"""Bytes of texts, or of images, in one batch: 1 KiB a row in the longest batch. Arrow's arrays end at 2 GiB."""
REPEATED_BYTES = 32 * 2**20
"""Bytes of one value in every row of a batch: those of a batch of images."""
FEWEST_ROWS = 64
"""Rows of a batch that is short for its texts: fewer would be slow, and a footer may say nonsense."""
NO_DICTIONARY = "DictAccumulator"
"""In the error of an encoding whose texts cannot be read as dictionaries."""
DICTIONARY_BYTES = 256 * 2**20
"""Bytes of texts in a row group beyond which they are not read as dictionaries: with every batch of a chunk of plain
texts comes a dictionary of all of them up to there, and one of 2 GiB is an error."""


class Reader:
    """A file, read with texts as dictionaries until a column chunk is met whose encoding does not allow it."""

    def __init__(self, stack: ExitStack, file: DataFile, options: dict[str, Any], columns: tuple[Column, ...]) -> None:
        self._stack, self._file, self._uri, self._options = stack, file, file.readable, options
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

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the file; pyarrow makes them anew each time, of 20,000 in a quarter of a second."""
        return self.file.schema_arrow

    def contradiction(self, group: int, fields: Sequence[str]) -> str:
        """Return what a footer says against itself of columns of a row group that was read; empty if nothing.

        A reader stops after the rows that the row group is said to have: of a footer that says too few it reads fewer.
        """
        # Only now: at damaged metadata of a column pyarrow ends the process, and reading finds that before.
        footer, schema = self.file.metadata.row_group(group), self.file.schema
        for field in fields:
            for index in self._leaves.get(field, self._leaves.get(field.rpartition(".")[0], [])):
                values = int(footer.column(index).num_values)
                if values != footer.num_rows and schema.column(index).max_repetition_level == 0:
                    return f"its footer contradicts itself: {footer.num_rows} rows, and {values} values of '{field}'"
        return ""

    @cached_property
    def _leaves(self) -> dict[str, list[int]]:
        """Places of the file's columns among its leaves, by the dotted names of all that they lie in."""
        names, schema = self.schema.names, self.file.schema
        if len(names) == len(schema):  # a leaf each; to ask for the path of each of 20,000 takes as long as to read 500
            return {name: [index] for index, name in enumerate(names)}
        places: dict[str, list[int]] = {}
        for index in range(len(schema)):
            name = schema.column(index).path
            while name:
                places.setdefault(name, []).append(index)
                name = name.rpartition(".")[0]
        return places

    def prefer_plain_text(self, groups: Sequence[int]) -> None:
        """Give up dictionaries where one of these row groups holds more text than `DICTIONARY_BYTES`."""
        if self._categories and max(map(self._text_bytes, groups), default=0) > DICTIONARY_BYTES:
            self.give_up_dictionaries()

    def rows_within(self, group: int, rows: int, fields: Sequence[str]) -> int:
        """Return the rows of a batch: fewer than ``rows`` where its texts and images would outweigh `TEXT_BYTES`.

        Fewer still where a value that a dictionary page holds once would, in every row, outweigh `REPEATED_BYTES`.
        Raises InfrastructureError where storage fails.
        """
        footer = self.file.metadata.row_group(group)
        if self._long:
            most = TEXT_BYTES * int(footer.num_rows) // max(self._text_bytes(group), 1)
            rows = min(rows, max(most, FEWEST_ROWS))
        if min(rows, footer.num_rows) * footer.total_byte_size <= REPEATED_BYTES:
            return rows
        places, lengths = self._expanded(fields), self._lengths(fields)
        try:
            longest = longest_repeated(self._uri, self._options, group, places) if places else 0
        except Exception as error:
            raise read_failure(self._file, error) from error
        return max(1, min(rows, REPEATED_BYTES // max(longest, *lengths, 1)))

    def _lengths(self, fields: Sequence[str]) -> list[int]:
        """Return the bytes of a value of those fields whose values all have one length, which a schema says."""
        kinds = (kind for name, path, kind in leaves(self.schema) if name in fields or ".".join(path) in fields)
        return [kind.byte_width for kind in kinds if pa.types.is_fixed_size_binary(kind)]

    def _expanded(self, fields: Sequence[str]) -> list[int]:
        """Return the places of the leaves of some fields that hold bytes of any length, and are no dictionaries."""
        schema, below = self.file.schema, tuple(f"{name}." for name in fields)
        leaf_columns = ((place, schema.column(place)) for place in range(len(schema)))
        return [
            place
            for place, column in leaf_columns
            if column.physical_type == "BYTE_ARRAY"
            and (column.path in fields or column.path.startswith(below))
            and not (column.path in self._categories and column.logical_type.type == "STRING")
        ]

    def _text_bytes(self, group: int) -> int:
        """Return about how many bytes of texts and images a row group holds: what is not eight bytes a number."""
        # The size of a single column is in metadata at whose damage pyarrow ends the process.
        footer = self.file.metadata.row_group(group)
        return int(footer.total_byte_size) - 8 * int(footer.num_rows) * self._numbers

    @cached_property
    def _numbers(self) -> int:
        return sum(pa.types.is_primitive(kind) for _, _, kind in leaves(self.schema))


@dataclass(frozen=True, slots=True)
class Selection:
    """What is read of a row group."""

    group: int
    """Its index."""
    fields: list[str]
    """Dotted names of columns."""
    start: int
    """First row."""
    stop: int | None
    """First row that is not read; None reads to the end, wherever that is."""


def kept_batches(file: DataFile, reader: Reader, selection: Selection, rows: int) -> Iterator[pa.RecordBatch]:
    """Return batches of a row group as `_raw_batches`, without rows that the file's table has deleted."""
    batches = _raw_batches(file, reader, selection, rows)
    if file.table is None or file.table.deleted is None:
        return batches
    first = sum(reader.file.metadata.row_group(before).num_rows for before in range(selection.group))
    return kept_rows(batches, file.table.deleted, first)


def _raw_batches(file: DataFile, reader: Reader, selection: Selection, rows: int) -> Iterator[pa.RecordBatch]:
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
            _check_corrupt(file, selection, error)
            shorter = most > 1 and isinstance(error, pa.ArrowCapacityError)
            # In the middle of a row group only where dictionaries are at fault: after damage, what came before it may
            # be as wrong, and is read again from its beginning.
            if not (start == selection.start or shorter or NO_DICTIONARY in str(error)):
                raise
            if reader.give_up_dictionaries():
                most = reader.rows_within(selection.group, most, selection.fields)
            elif not shorter:
                raise
            # Some rows are far longer than those of the row group are on average: go on from there in shorter batches.
            most = max(1, most // 8) if shorter else most
        else:
            return


def _check_corrupt(file: DataFile, selection: Selection, error: Exception) -> None:
    """Raise what an error stands for unless that is bytes that cannot be decoded."""
    if is_memory_shortage(error):
        raise MemoryError(f"{file.uri}, row group {selection.group}: {first_line(error)}") from error
    if not is_corruption(error):
        raise read_failure(file, error) from error


def _pieces(file: pq.ParquetFile, selection: Selection, rows: int) -> Iterator[pa.RecordBatch]:
    start, stop, first = selection.start, selection.stop, 0
    for batch in file.iter_batches(batch_size=rows, row_groups=[selection.group], columns=selection.fields):
        end = first + batch.num_rows if stop is None else min(first + batch.num_rows, stop)
        if end > start:
            yield batch.slice(max(start - first, 0), end - max(start, first))
        if end == stop:
            return
        first = end


def read_failure(file: DataFile, error: Exception) -> FeatflowError:
    """Return the error of a file that storage did not give."""
    if is_gone(file, error):
        return gone_error(file.uri)
    return failed(file.uri, "read it", error)


def culprit(file: pq.ParquetFile, group: int, fields: list[str], batch_rows: int) -> str | None:
    """Return the first column that cannot be read on its own."""
    rows = file.metadata.row_group(group).num_rows
    for name in fields:
        seen = 0
        try:
            for batch in file.iter_batches(batch_rows, row_groups=[group], columns=[name]):
                batch.validate(full=True)
                seen += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            if not is_corruption(error):
                raise
            return name
        if seen != rows:
            return name
    return None
