"""Footers of a table's files as the table reads them: its columns, and no deleted rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa

from featflow.dataset.footer import DAY, Footer, Range, microseconds
from featflow.dataset.nested_fields import leaves
from featflow.dataset.sources.table import Table, TableEntry
from featflow.dataset.table_files import DeletedRows, Key, TableFile, field_id, field_keys, field_name
from featflow.errors import DatasetError, SchemaError

__all__ = ["FootersInTable"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where files of one schema hold a table's columns."""

    schema: pa.Schema
    """Of the files; held so that no other takes its place in memory."""
    fields: tuple[tuple[str, Key], ...]
    """As in `TableFile`."""
    casts: tuple[tuple[str, pa.DataType], ...]
    """As in `TableFile`."""
    stored: Mapping[str, str]
    """Dotted names in the file, by dotted names in the table."""


class FootersInTable:
    """Turns footers of files into footers as the table reads them.

    Known footers of one schema share one object, so a table of 100,000 files costs as many look-ups, not as many
    comparisons of columns.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._kinds = {name: kind for name, _, kind in leaves(table.schema)}
        self._by_id = any(isinstance(part, int) for key in table.keys.values() for part in key)
        self._layouts: dict[int, _Layout] = {}

    def of(self, footer: Footer, entry: TableEntry) -> Footer:
        """Return a footer as the table reads the file.

        Raises
        ------
        DatasetError
            The footer contradicts the table's metadata.
        SchemaError
            The file does not say which of the table's columns it holds.
        """
        uri, total = footer.file.uri, sum(footer.group_rows)
        if entry.rows not in {None, total}:
            raise DatasetError(f"{uri}: {total} rows in its footer where the table's metadata counts {entry.rows}")
        layout = self._layout(footer)
        constants = {name: value for name, value in entry.constants.items() if name not in layout.stored}
        ranges = {name: footer.ranges[path] for name, path in layout.stored.items() if path in footer.ranges}
        for name, value in constants.items():
            if isinstance(value, date):
                ranges[name] = (_range_of(value),) * len(footer.group_rows)
        view = TableFile(layout.fields, tuple(constants.items()), layout.casts, entry.deleted)
        return Footer(
            replace(footer.file, table=view),
            self._table.schema,
            _kept(footer.group_rows, entry.deleted, uri),
            footer.group_bytes,
            ranges,
            tuple(name for name, path in layout.stored.items() if path in footer.encrypted),
            elsewhere=tuple(name for name, path in layout.stored.items() if path in footer.elsewhere),
            partly_elsewhere=tuple(name for name, path in layout.stored.items() if path in footer.partly_elsewhere),
        )

    def _layout(self, footer: Footer) -> _Layout:
        layout = self._layouts.get(id(footer.schema))
        if layout is None:
            layout = self._layouts[id(footer.schema)] = self._new_layout(footer)
        return layout

    def _new_layout(self, footer: Footer) -> _Layout:
        keys = self._table.keys
        places = dict(field_keys(footer.schema, field_id if self._by_id else field_name))
        if self._by_id and not places and footer.schema.names:
            places = dict(field_keys(footer.schema, field_name))
            keys = {name: next(filter(places.__contains__, each), each[0]) for name, each in self._table.names.items()}
            if not keys:
                raise SchemaError(
                    f"{footer.file.uri}: its columns have no field ids, and the table has no name mapping "
                    "(schema.name-mapping.default); set one, or rewrite the file"
                )
        stored = {name: places[key] for name, key in keys.items() if key in places}
        kinds = {path: kind for _, path, kind in leaves(footer.schema)}
        casts = (
            (name, self._kinds[name])
            for name, path in stored.items()
            if _differs(kinds.get(path, self._kinds[name]), self._kinds[name])
        )
        return _Layout(
            footer.schema,
            tuple((name, keys[name]) for name in stored),
            tuple(casts),
            {name: ".".join(path) for name, path in stored.items()},
        )


def _differs(stored: pa.DataType, kind: pa.DataType) -> bool:
    """Whether values must be cast to the table's type: as text, 1 is not 1.0 and a day not its midnight."""
    widened = pa.types.is_integer(stored) and (pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    return bool(widened or (pa.types.is_date(stored) and pa.types.is_timestamp(kind)))


def _range_of(value: date) -> Range:
    start = microseconds(value)
    return start, start if isinstance(value, datetime) else start + DAY - 1


def _kept(group_rows: tuple[int, ...], deleted: DeletedRows | None, uri: str) -> tuple[int, ...]:
    """Return the rows of each row group that are not deleted."""
    if deleted is None:
        return group_rows
    positions, starts = deleted.positions(), np.cumsum([0, *group_rows])
    if positions[-1] >= starts[-1] or positions[0] < 0:
        raise DatasetError(f"{uri}: row {positions[-1]} is deleted, and the file has {starts[-1]} rows")
    cuts = np.searchsorted(positions, starts)
    gone = (int(high - low) for low, high in pairwise(cuts))
    return tuple(rows - less for rows, less in zip(group_rows, gone, strict=True))
