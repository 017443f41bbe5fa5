"""A table as its own metadata describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.dataset.footer import Footer
from featflow.dataset.nested_fields import leaves
from featflow.dataset.table_files import DeletedRows, Key

__all__ = ["Table", "TableEntry"]


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
    names: Mapping[str, tuple[Key, ...]]
    """Names that each column may have in files that have no field ids."""
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
