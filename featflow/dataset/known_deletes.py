"""Delete files of Iceberg tables, read once and kept: a night asks for those that are new."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa

from featflow.dataset.table_files import DeletedRows
from featflow.errors import DamagedError
from featflow.storage.records.states import read_state
from featflow.storage.store import Store

__all__ = ["PATH", "Deletes", "KnownDeletes"]

PATH = "states/deletes.arrow"
SCHEMA = pa.schema(
    [
        ("delete_file", pa.string()),
        ("data_file", pa.string()),
        ("rows", pa.int64()),
        ("digest", pa.string()),
        ("packed", pa.binary()),
    ]
)

Deletes = Mapping[str, DeletedRows]
"""Rows that a delete file names, by the path of their data file."""


class KnownDeletes:
    """Delete files known at an output, and those read since.

    Parameters
    ----------
    store
        The output; None where nothing is known.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._is_new = store, False
        self._known: dict[str, dict[str, DeletedRows]] = {}
        self._used: dict[str, Deletes] = {}
        if store:
            with suppress(FileNotFoundError, DamagedError):  # all are then read and stored again
                self._known = read_state(store, PATH, _from_table)

    def get(self, path: str) -> Deletes | None:
        """Return the rows that a delete file names; None where it is not known."""
        return self._known.get(path)

    def use(self, deletes: Mapping[str, Deletes]) -> None:
        """Note the delete files, by path, that a table has now."""
        self._used |= deletes
        self._is_new |= any(path not in self._known for path in deletes)

    def save(self) -> None:
        """Store the delete files for the next run, if any was read; drop those that no table has any more."""
        if self._store and self._is_new:
            rows = [
                {"delete_file": path, "data_file": of, "rows": each.count, "digest": each.digest, "packed": each.packed}
                for path, deletes in self._used.items()
                for of, each in deletes.items()
            ]
            self._store.write_arrow(PATH, pa.Table.from_pylist(rows, SCHEMA))


def _from_table(table: pa.Table) -> dict[str, dict[str, DeletedRows]]:
    known: dict[str, dict[str, DeletedRows]] = {}
    for row in table.cast(SCHEMA).to_pylist():
        rows = DeletedRows(row["rows"], row["digest"], row["packed"])
        known.setdefault(row["delete_file"], {})[row["data_file"]] = rows
    return known
