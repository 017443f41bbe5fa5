"""Footers of Parquet files, read once and kept: a nightly run over thousands of files reads those of new files only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from featflow.dataset.files import DataFile, gone_error, is_gone
from featflow.dataset.parquet import is_corruption, open_parquet
from featflow.errors import DamagedError, InfrastructureError, first_line
from featflow.storage.store import Store

__all__ = ["DAY", "PATH", "Footer", "FooterFault", "Footers", "Range", "microseconds"]

PATH = "states/footers.arrow"
THREADS = 8
"""Footers read at once: on object stores a footer is a wait for some requests, with hardly any work."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("schema", pa.dictionary(pa.int32(), pa.binary())),
        ("group_rows", pa.list_(pa.int64())),
        ("group_bytes", pa.list_(pa.int64())),
        ("ranges", pa.string()),
    ]
)


DAY, DATE_LENGTH = 86_400_000_000, len("2026-01-31")
Range = tuple[int | None, int | None]


def microseconds(time: date | datetime) -> int:
    """Return microseconds since 1970 UTC; a time without a zone is taken as UTC.

    Examples
    --------
    >>> microseconds(date(1970, 1, 2)), microseconds(datetime(1970, 1, 1, 0, 0, 1))
    (86400000000, 1000000)
    """
    at = time if isinstance(time, datetime) else datetime.combine(time, datetime.min.time())
    return (at.replace(tzinfo=at.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Footer:
    """Schema, row groups and ranges of times of a file, from its footer."""

    file: DataFile
    """The file."""
    schema: pa.Schema
    """Its columns."""
    group_rows: tuple[int, ...]
    """Rows of each row group."""
    group_bytes: tuple[int, ...]
    """Decoded bytes of each row group."""
    ranges: dict[str, tuple[Range, ...]] = field(default_factory=dict)
    """First and last time in each row group, of every column of times, in microseconds since 1970 UTC."""

    def times(self, column: str) -> tuple[Range, ...]:
        """Return the first and last time in each row group, by statistics or a partition by day; None where unknown."""
        unknown = ((None, None),) * len(self.group_rows)
        day = dict(self.file.partitions).get(column)
        if day is None:
            return self.ranges.get(column, unknown)
        try:
            start = microseconds(datetime.fromisoformat(day))
        except ValueError:
            return unknown
        return ((start, start + (DAY - 1 if len(day) <= DATE_LENGTH else 0)),) * len(self.group_rows)


@dataclass(frozen=True, slots=True)
class FooterFault:
    """A footer that cannot be read because the file's bytes are at fault, not storage."""

    file: DataFile
    """The file."""
    detail: str
    """What the reader said."""


class Footers:
    """Footers known at an output, and those read since.

    Parameters
    ----------
    store
        The output; None where nothing is known.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._known, self._new, self._given = store, {}, list[Footer](), False
        if store:
            with suppress(FileNotFoundError, DamagedError):  # all footers are then read and stored again
                self._known = {footer.file.uri: footer for footer in _from_table(store.read_arrow(PATH))}

    def add(self, footers: Iterable[Footer]) -> None:
        """Take footers of files that a table's metadata describes well enough; those that are known stay."""
        given = {footer.file.uri: footer for footer in footers if self._unchanged(footer.file) is None}
        self._known |= given
        self._given |= bool(given)

    def read(self, files: Sequence[DataFile], options: dict[str, Any]) -> list[Footer | FooterFault]:
        """Return the footers of files, in order; a known footer of an unchanged file is not read again.

        Raises
        ------
        InfrastructureError
            Storage did not answer.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            outcomes = list(pool.map(lambda file: self._unchanged(file) or _read_footer(file, options), files))
        footers = [footer for footer in outcomes if isinstance(footer, Footer)]
        self._new = [footer for footer in footers if self._unchanged(footer.file) is None]
        self._known = {footer.file.uri: footer for footer in footers}
        return outcomes

    def save(self) -> None:
        """Store the footers for the next run, if any was read; drop those of files that are gone."""
        if self._store and (self._new or self._given):
            self._store.write_arrow(PATH, _to_table(list(self._known.values())))

    def _unchanged(self, file: DataFile) -> Footer | None:
        footer = self._known.get(file.uri)
        same = footer and (footer.file.size, footer.file.version) == (file.size, file.version)
        return replace(footer, file=file) if footer and same else None


def _read_footer(file: DataFile, options: dict[str, Any]) -> Footer | FooterFault:
    if file.size == 0:
        return FooterFault(file, "the file is empty (0 bytes)")
    try:
        with open_parquet(file.uri, file.options or options) as source:
            groups = [source.metadata.row_group(index) for index in range(source.metadata.num_row_groups)]
            rows, sizes = (tuple(getattr(g, name) for g in groups) for name in ("num_rows", "total_byte_size"))
            return Footer(file, source.schema_arrow, rows, sizes, _time_ranges(source))
    except Exception as error:
        if is_gone(file, error):
            raise gone_error(file.uri) from None
        if not is_corruption(error):
            raise InfrastructureError(f"{file.uri}: cannot read its footer: {first_line(error)}") from error
        return FooterFault(file, first_line(error))


def _time_ranges(source: Any) -> dict[str, tuple[Range, ...]]:
    """Return the first and last time in each row group of every column of times that has statistics."""
    ranges = {}
    for name, kind in zip(source.schema_arrow.names, source.schema_arrow.types, strict=True):
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            ranges[name] = tuple(_time_range(source, group, name) for group in range(source.metadata.num_row_groups))
    return ranges


def _time_range(source: Any, group: int, name: str) -> Range:
    columns = source.metadata.row_group(group)
    index = next(i for i in range(columns.num_columns) if columns.column(i).path_in_schema == name)
    statistics = columns.column(index).statistics
    if statistics is None or not statistics.has_min_max:
        return None, None
    return microseconds(statistics.min), microseconds(statistics.max)


def _to_table(footers: list[Footer]) -> pa.Table:
    schemas = pa.array([footer.schema.serialize().to_pybytes() for footer in footers], pa.binary())
    columns = [
        pa.array([footer.file.uri for footer in footers]),
        pa.array([footer.file.size for footer in footers]),
        pa.array([footer.file.version for footer in footers]),
        schemas.dictionary_encode(),
        pa.array([footer.group_rows for footer in footers], pa.list_(pa.int64())),
        pa.array([footer.group_bytes for footer in footers], pa.list_(pa.int64())),
        pa.array([json.dumps(footer.ranges) for footer in footers]),
    ]
    return pa.table(columns, SCHEMA)


def _from_table(table: pa.Table) -> list[Footer]:
    encoded = table["schema"].combine_chunks()
    schemas = [pa.ipc.read_schema(pa.py_buffer(each)) for each in encoded.dictionary.to_pylist()]
    names = ("uri", "size", "version", "group_rows", "group_bytes", "ranges")
    rows = zip(encoded.indices.to_pylist(), *(table[name].to_pylist() for name in names), strict=True)
    return [
        Footer(
            DataFile(uri, size, version), schemas[index], tuple(group_rows), tuple(group_bytes), _parse_ranges(ranges)
        )
        for index, uri, size, version, group_rows, group_bytes, ranges in rows
    ]


def _parse_ranges(text: str) -> dict[str, tuple[Range, ...]]:
    return {name: tuple((low, high) for low, high in ranges) for name, ranges in json.loads(text).items()}
