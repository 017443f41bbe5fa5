"""A table as its own metadata describes it, and footers of its files as the table reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.dataset.footer import DAY, Footer, Range, microseconds
from featflow.dataset.nested_fields import leaves
from featflow.dataset.table_files import DeletedRows, Key, TableFile, field_id, field_keys, field_name
from featflow.errors import DatasetError, SchemaError

__all__ = ["Table", "TableEntry", "as_in_table"]


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One data file as the table's metadata lists it."""

    file: DataFile
    """The file."""
    rows: int | None
    """Rows that the metadata counts in it, deleted ones included; None where it does not count."""
    deleted: DeletedRows | None = None
    """Rows that are deleted."""
    constants: dict[str, Any] = field(default_factory=dict)
    """Values of columns, by dotted name, that hold for all rows of the file where it lacks the column."""
    footer: Footer | None = None
    """What its footer says, as far as it matters, where the metadata says it."""

    @property
    def kept(self) -> int | None:
        """Rows less deleted ones."""
        return None if self.rows is None else self.rows - (self.deleted.count if self.deleted else 0)


@dataclass(frozen=True)
class Table:
    """A version of a table."""

    source: str
    """As the configuration names it."""
    version: int
    """Version of a Delta table, snapshot id of an Iceberg table."""
    schema: pa.Schema
    """Its columns."""
    keys: Mapping[str, Key]
    """Key of each column in files, by dotted name, without those that no file holds."""
    names: Mapping[str, Key]
    """Names of each column in files that have no field ids."""
    entries: tuple[TableEntry, ...]
    """Its data files, sorted by URI."""

    @property
    def rows(self) -> int | None:
        """Rows that the metadata counts, less deleted ones; None where a file's are not counted."""
        kept = [entry.kept for entry in self.entries]
        return None if None in kept else sum(filter(None, kept))

    def public(self) -> dict[str, Any]:
        """Return what a manifest says of it, as JSON values."""
        columns = {name: str(kind) for name, _, kind in leaves(self.schema)}
        counts = {"files": len(self.entries), "rows": self.rows}
        return {"source": self.source, "version": self.version, "columns": columns} | counts


def as_in_table(footer: Footer, entry: TableEntry, table: Table) -> Footer:
    """Return a footer as the table reads the file: its columns, and no deleted rows.

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
    places = _places(footer, table)
    types = {path: kind for _, path, kind in leaves(footer.schema)}
    kinds = {name: kind for name, _, kind in leaves(table.schema)}
    casts = ((name, kind) for name, kind in kinds.items() if name in places and _differs(types, places[name][1], kind))
    constants = {name: value for name, value in entry.constants.items() if name not in places}
    view = TableFile(
        tuple((name, key) for name, (key, _) in places.items()),
        tuple(constants.items()),
        tuple(casts),
        entry.deleted,
    )
    ranges = {
        name: footer.ranges[".".join(path)] for name, (_, path) in places.items() if ".".join(path) in footer.ranges
    }
    for name, value in constants.items():
        if isinstance(value, date):
            ranges[name] = (_range_of(value),) * len(footer.group_rows)
    return Footer(
        replace(footer.file, table=view),
        table.schema,
        _kept(footer.group_rows, entry.deleted, uri),
        footer.group_bytes,
        ranges,
    )


def _places(footer: Footer, table: Table) -> dict[str, tuple[Key, tuple[str, ...]]]:
    """Return key and path of the table's columns that a file holds, by dotted name."""
    by_id = any(isinstance(part, int) for key in table.keys.values() for part in key)
    places = dict(field_keys(footer.schema, field_id if by_id else field_name))
    keys = table.keys
    if by_id and not places and footer.schema.names:
        if not table.names:
            raise SchemaError(
                f"{footer.file.uri}: its columns have no field ids, and the table has no name mapping "
                "(schema.name-mapping.default); set one, or rewrite the file"
            )
        keys, places = table.names, dict(field_keys(footer.schema, field_name))
    return {name: (key, places[key]) for name, key in keys.items() if key in places}


def _differs(types: dict[tuple[str, ...], pa.DataType], path: tuple[str, ...], kind: pa.DataType) -> bool:
    """Whether values must be cast to the table's type: as text, 1 is not 1.0 and a day not its midnight."""
    stored = types.get(path, kind)
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
