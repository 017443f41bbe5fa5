"""Data files of an Iceberg table, as their manifest entries describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.dataset.footer import DAY, NO_TIME, Footer, Range
from featflow.dataset.nested_fields import is_image_struct, leaves
from featflow.dataset.read_footer import has_range
from featflow.dataset.sources.storage import same_uri
from featflow.dataset.sources.table import TableEntry
from featflow.dataset.table_files import IMMUTABLE, DeletedRows, Key, field_id, field_keys
from featflow.errors import SchemaError

__all__ = ["IcebergFiles"]

CREDENTIALS = {"anon", "key", "profile", "secret", "token"}
"""Options of S3 that say who one is."""


@dataclass(frozen=True)
class IcebergFiles:
    """What all data files of a table are described by."""

    table: Any
    projection: Any
    """Columns of the snapshot, as Iceberg describes them."""
    schema: pa.Schema
    """The same in Arrow."""
    options: dict[str, Any] = field(repr=False)
    """The dataset's storage options."""
    has_mapping: bool
    """Whether files may lack field ids."""

    @cached_property
    def lent(self) -> dict[str, Any]:
        """The dataset's storage options with those that the catalog gives for the table's location; empty if none."""
        from pyiceberg.io.fsspec import FsspecFileIO  # noqa: PLC0415

        uri = urlsplit(self.table.location())
        properties = self.table.io.properties
        if not any(key.startswith(("s3.", "client.", "gcs.", "adls.")) for key in properties):
            return {}
        given = FsspecFileIO(properties).get_fs(uri.scheme or "file", uri.hostname).storage_options
        clients = {key: value for key, value in (given.get("client_kwargs") or {}).items() if value is not None}
        lent = {key: value for key, value in given.items() if value not in (None, {})} | {"client_kwargs": clients}
        return _over(self.options, lent, uri.scheme) if uri.scheme not in {"", "file"} else {}

    @cached_property
    def root(self) -> str:
        """URI of the table's folder, with a slash at its end."""
        return same_uri(self.table.location(), self.options).rstrip("/") + "/"

    @cached_property
    def ranged(self) -> dict[str, Key]:
        """Columns whose first and last values a footer is asked for, and their keys."""
        keys = {path: key for key, path in field_keys(self.schema, field_id)}
        return {name: keys[path] for name, path, kind in leaves(self.schema) if has_range(kind)}

    @cached_property
    def primitive_ids(self) -> set[int]:
        """Ids of all fields that hold values."""
        fields = (self.projection.find_field(each) for each in self.projection.field_ids)
        return {each.field_id for each in fields if each.field_type.is_primitive}

    def entry(self, file: Any, deleted: Mapping[str, DeletedRows]) -> TableEntry:
        """Return a data file as its manifest describes it."""
        if file.file_format.name != "PARQUET":
            raise SchemaError(f"{file.file_path}: {file.file_format.name} files are not read; rewrite them as Parquet")
        uri = same_uri(file.file_path, self.options)
        place = uri.removeprefix(self.root)
        listed = DataFile(uri, file.file_size_in_bytes, IMMUTABLE, place=place, options=self.lent)
        gone, constants = deleted.get(file.file_path), self._constants(file)
        return TableEntry(listed, file.record_count, gone, constants, self._described(file, listed))

    def _described(self, file: Any, listed: DataFile) -> Footer | None:
        """Return what the footer of a file would say, from its manifest entry; None where that does not say enough.

        It must be one row group, of which it is known which columns it holds and where its times lie.
        """
        one_group = len(file.split_offsets or ()) == 1
        images = any(is_image_struct(kind) for _, _, kind in leaves(self.schema))  # of which a footer says more
        if not one_group or self.has_mapping or images or not self.primitive_ids <= set(file.column_sizes or ()):
            return None
        ranges: dict[str, tuple[Range, ...]] = {}
        for name, key in self.ranged.items():
            bounds = _bounds(file, self.projection.find_field(key[-1]))
            if bounds is None:
                return None
            ranges[name] = (bounds,)
        return Footer(listed, self.schema, (file.record_count,), (file.file_size_in_bytes,), ranges)

    def _constants(self, file: Any) -> dict[str, Any]:
        """Return values of columns that a file need not hold: defaults, and partition values."""
        from pyiceberg.transforms import IdentityTransform  # noqa: PLC0415

        kinds = {path: kind for _, path, kind in leaves(self.schema)}
        constants = {
            each.name: _python_value(each.initial_default, kinds.get((each.name,)))
            for each in self.projection.fields
            if each.initial_default is not None
        }
        for index, each in enumerate(self.table.specs()[file.spec_id].fields):
            name = self.projection.find_column_name(each.source_id)
            if isinstance(each.transform, IdentityTransform) and name is not None:
                constants[name] = _python_value(file.partition[index], kinds.get(tuple(name.split("."))))
        return constants


def _over(options: dict[str, Any], lent: dict[str, Any], scheme: str) -> dict[str, Any]:
    """Return storage options in which lent ones go before one's own; credentials of both are not mixed."""
    lends = "key" in lent or "aws_access_key_id" in lent.get("client_kwargs", {})
    own = options | options.get(scheme, {})
    own = {key: value for key, value in own.items() if key != scheme and not (lends and key in CREDENTIALS)}
    inner = {key: own[key] | value for key, value in lent.items() if isinstance(value, dict) and key in own}
    return own | lent | inner


def _python_value(value: Any, kind: pa.DataType | None) -> Any:
    """Return a value as Python's own type; Iceberg keeps times as numbers of days or microseconds."""
    return pa.scalar(value, kind).as_py() if isinstance(value, int) and kind and pa.types.is_temporal(kind) else value


def _bounds(file: Any, column: Any) -> Range | None:
    """Return the first and last value of a column of times (in microseconds since 1970 UTC) or whole decimals."""
    from pyiceberg.conversions import from_bytes  # noqa: PLC0415
    from pyiceberg.types import DateType, TimestampNanoType, TimestamptzNanoType  # noqa: PLC0415

    number, kind = column.field_id, column.field_type
    values, nulls = ((counts or {}).get(number) for counts in (file.value_counts, file.null_value_counts))
    if values is not None and values == nulls:
        return NO_TIME
    ends = [(bounds or {}).get(number) for bounds in (file.lower_bounds, file.upper_bounds)]
    if None in ends:
        return None
    low, high = (int(from_bytes(kind, end)) for end in ends)
    if isinstance(kind, DateType):
        return low * DAY, high * DAY
    return (low // 1000, high // 1000) if isinstance(kind, TimestampNanoType | TimestamptzNanoType) else (low, high)
