"""What a table's metadata says of one of its data files: names and types of its columns, and rows that are deleted."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.errors import SchemaError

__all__ = ["IMMUTABLE", "DeletedRows", "Key", "TableFile", "field_id", "field_keys", "field_name", "kept_rows"]

IMMUTABLE = "immutable"
"""Version of a table's data files: their names are used once, so a name and a size say what they hold."""
FIELD_ID = b"PARQUET:field_id"

Key = tuple[int, ...] | tuple[str, ...]
"""Field ids, or names, from the outermost struct to the field."""


@dataclass(frozen=True, slots=True)
class DeletedRows:
    """Rows of a file that its table no longer has.

    Examples
    --------
    >>> deleted = DeletedRows.of(np.array([7, 3, 3]))
    >>> deleted.count, deleted.positions().tolist()
    (2, [3, 7])
    """

    count: int
    """Number of rows."""
    digest: str
    """Hash of their positions."""
    packed: bytes = field(repr=False)
    """Differences of ascending positions, int64, compressed."""

    @classmethod
    def of(cls, positions: np.ndarray) -> DeletedRows:
        """Return the rows at positions in the file, counted from 0, in any order."""
        rows = np.unique(positions.astype("<i8"))
        steps = np.diff(rows, prepend=np.int64(0)).astype("<i8").tobytes()
        return cls(len(rows), hashlib.sha256(steps).hexdigest()[:24], zlib.compress(steps, 1))

    def positions(self) -> np.ndarray:
        """Return the positions in the file, ascending, int64."""
        return np.cumsum(np.frombuffer(zlib.decompress(self.packed), "<i8"))


@dataclass(frozen=True, slots=True)
class TableFile:
    """How a table reads one of its data files."""

    fields: tuple[tuple[str, Key], ...] = ()
    """Columns of the table that the file holds: dotted name in the table, key in the file."""
    constants: tuple[tuple[str, Any], ...] = ()
    """Columns that have one value in all rows, as partitions and defaults have, and the value."""
    casts: tuple[tuple[str, pa.DataType], ...] = ()
    """Columns whose values read differently in the table's type than in the file's, and the table's type."""
    deleted: DeletedRows | None = None
    """Rows that are not read; None where all are."""

    def paths(self, schema: pa.Schema, uri: str) -> dict[str, tuple[str, ...]]:
        """Return where the file holds the table's columns, by their names in the table.

        Raises
        ------
        SchemaError
            The file lacks a column that it is known to hold.
        """
        by_id = any(isinstance(part, int) for _, key in self.fields for part in key)
        places = dict(field_keys(schema, field_id if by_id else field_name))
        for name, key in self.fields:
            if key not in places:
                stored = f"{'id' if by_id else 'name'} {'.'.join(str(part) for part in key)}"
                raise SchemaError(
                    f"{uri}: no field of {stored}, which the table's metadata says is its column '{name}'; "
                    "rewrite the file"
                )
        return {name: places[key] for name, key in self.fields}

    def stored_names(self, names: Collection[str]) -> set[str]:
        """Return the dotted names in the file of some columns, as far as keys are names; else those in the table."""
        keys = dict(self.fields)
        return {".".join(str(part) for part in keys.get(name, (name,))) for name in names} | set(names)

    def converted(self, name: str, array: pa.Array) -> pa.Array:
        """Return a column's values in the type that the table gives them."""
        kind = dict(self.casts).get(name)
        return array if kind is None else array.cast(kind, safe=False)


def field_id(field: pa.Field) -> int | None:
    """Return the id that a Parquet file gives a field; None where it gives none."""
    text = (field.metadata or {}).get(FIELD_ID)
    return None if text is None else int(text)


def field_name(field: pa.Field) -> str:
    """Return a field's name."""
    return str(field.name)


def field_keys(
    fields: Iterable[pa.Field], part: Callable[[pa.Field], Any], key: Key = (), path: tuple[str, ...] = ()
) -> Iterator[tuple[Key, tuple[str, ...]]]:
    """Yield key and path of every field, structs and their fields included.

    Parameters
    ----------
    part
        What a field adds to the key, such as its id; None leaves the field out.

    Examples
    --------
    >>> schema = pa.schema([pa.field("user", pa.struct([pa.field("age", pa.int8())]))])
    >>> [key for key, _ in field_keys(schema, field_name)]
    [('user',), ('user', 'age')]
    """
    for each in fields:
        own = part(each)
        if own is None:
            continue
        here: Any = (*key, own)
        yield here, (*path, each.name)
        if pa.types.is_struct(each.type):
            yield from field_keys(each.type, part, here, (*path, each.name))


def kept_rows(batches: Iterable[pa.RecordBatch], deleted: DeletedRows, start: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a row group without the deleted rows.

    Parameters
    ----------
    start
        Position in the file of the row group's first row.
    """
    positions = deleted.positions()
    for batch in batches:
        low, high = np.searchsorted(positions, [start, start + batch.num_rows])
        if low == high:
            yield batch
        else:
            kept = np.ones(batch.num_rows, bool)
            kept[positions[low:high] - start] = False
            yield batch.filter(pa.array(kept))
        start += batch.num_rows
