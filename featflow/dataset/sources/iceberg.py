"""Iceberg tables, by the catalog and manifests that the package pyiceberg reads.

Manifests give names, sizes, row counts, bounds and offsets of row groups. Where a file is a single row group and its
manifest entry speaks of every column, no footer is read; else the footer is, once, when the file is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.dataset.footer import DAY, NO_TIME, Footer, Range
from featflow.dataset.nested_fields import leaves
from featflow.dataset.options import DatasetOptions
from featflow.dataset.read_footer import has_range
from featflow.dataset.sources.delta import end_of
from featflow.dataset.sources.iceberg_deletes import deleted_rows, refuse_equality_deletes
from featflow.dataset.sources.storage import iceberg_options, same_uri, without_secrets
from featflow.dataset.sources.table import Table, TableEntry
from featflow.dataset.table_files import IMMUTABLE, DeletedRows, Key, field_id, field_keys
from featflow.errors import (
    ConfigurationError,
    DatasetError,
    FeatflowError,
    InfrastructureError,
    SchemaError,
    first_line,
)
from featflow.storage.retries import with_retries

__all__ = ["load_iceberg_catalog", "open_iceberg"]


def open_iceberg(source: str, options: DatasetOptions) -> Table:
    """Return the table of a source ``iceberg:CATALOG.NAMESPACE.TABLE``, as it is or at ``dataset.version``.

    Raises
    ------
    ConfigurationError
        The package pyiceberg is not installed, or the catalog is not configured or refuses access.
    DatasetError
        There is no such table or snapshot, or the table has equality deletes.
    SchemaError
        Files are not Parquet.
    InfrastructureError
        The catalog or storage did not answer.
    """
    catalog, _, name = source.removeprefix("iceberg:").partition(".")
    if not catalog or "." not in name:
        raise ConfigurationError(f"dataset.source: {source}: write iceberg:CATALOG.NAMESPACE.TABLE")
    properties = iceberg_options(options.storage_options) | options.catalog
    loaded = load_iceberg_catalog(catalog, properties)
    from pyiceberg.exceptions import (  # noqa: PLC0415
        ForbiddenError,
        NoSuchNamespaceError,
        NoSuchTableError,
        UnauthorizedError,
    )

    try:
        table = with_retries(lambda: loaded.load_table(name))
        return _read(source, table, options)
    except FeatflowError:
        raise
    except (NoSuchTableError, NoSuchNamespaceError):
        raise DatasetError(f"{source}: catalog '{catalog}' has no table '{name}'; check dataset.source") from None
    except (UnauthorizedError, ForbiddenError) as error:
        message = without_secrets(first_line(error), properties)
        raise ConfigurationError(f"{source}: catalog '{catalog}' refuses access: {message}") from None
    except Exception as error:
        message = without_secrets(first_line(error), properties)
        raise InfrastructureError(f"{source}: cannot read the table's metadata: {message}; retry") from error


def load_iceberg_catalog(name: str, properties: dict[str, Any]) -> Any:
    """Return the catalog of a name, from pyiceberg's own configuration and properties that go before it.

    Raises
    ------
    ConfigurationError
        The package pyiceberg is not installed, or the catalog is not configured.
    InfrastructureError
        The catalog did not answer.
    """
    try:
        from pyiceberg.catalog import load_catalog  # noqa: PLC0415  half a second, which only Iceberg tables need
        from pyiceberg.exceptions import NotInstalledError  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            f"Iceberg catalog '{name}' needs the package pyiceberg: pip install 'featflow[iceberg]'"
        ) from None
    texts: dict[str, Any] = {key: value if isinstance(value, bool) else str(value) for key, value in properties.items()}
    try:
        return with_retries(lambda: load_catalog(name, **texts))
    except (ValueError, NotInstalledError, ImportError) as error:
        message = without_secrets(first_line(error), properties)
        raise ConfigurationError(
            f"Iceberg catalog '{name}': {message}; configure it in .pyiceberg.yaml, by "
            f"PYICEBERG_CATALOG__{name.upper()}__URI, or in dataset.catalog"
        ) from None
    except Exception as error:
        message = without_secrets(first_line(error), properties)
        raise InfrastructureError(f"Iceberg catalog '{name}' does not answer: {message}; retry") from error


def _read(source: str, table: Any, options: DatasetOptions) -> Table:
    from pyiceberg.io.pyarrow import schema_to_pyarrow  # noqa: PLC0415

    snapshot = _snapshot(source, table, options)
    refuse_equality_deletes(source, snapshot, table.io)
    # A snapshot has the columns of its time: with no version asked for, those of today are read.
    scan = table.scan() if options.version is None else table.scan(snapshot_id=snapshot.snapshot_id)
    projection, tasks = scan.projection(), list(scan.plan_files())
    schema = _small_strings(schema_to_pyarrow(projection))
    by_path = {path: key for key, path in field_keys(schema, field_id)}
    keys = {name: by_path[path] for name, path, _ in leaves(schema)}
    deleted, mapping = deleted_rows(tasks, table.io), table.name_mapping()
    files = _Files(table, projection, schema, options.storage_options, has_mapping=mapping is not None)
    entries = sorted((files.entry(task.file, deleted) for task in tasks), key=lambda entry: entry.file.uri)
    names = {name: key for name, ids in keys.items() if (key := _mapped(mapping or (), ids))}
    return Table(source, snapshot.snapshot_id, schema, keys, names, tuple(entries))


def _snapshot(source: str, table: Any, options: DatasetOptions) -> Any:
    """Return the snapshot to read; raise DatasetError where there is none."""
    version = options.version
    if version is None:
        snapshot, missing = table.current_snapshot(), "the table has no snapshot, and so no rows"
    elif isinstance(version, int):
        known = ", ".join(str(each.snapshot_id) for each in table.snapshots()[-5:])
        snapshot, missing = table.snapshot_by_id(version), f"no snapshot {version}; the last ones are {known}"
    else:
        moment = int(end_of(version).timestamp() * 1000)
        snapshot, missing = table.snapshot_as_of_timestamp(moment), f"the table is younger than {version}"
    if snapshot is None:
        raise DatasetError(f"{source}: {missing}; check dataset.source and dataset.version")
    return snapshot


@dataclass(frozen=True)
class _Files:
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
        """Options of the filesystem that the catalog gives for the table's location; empty if it gives none."""
        from pyiceberg.io.fsspec import FsspecFileIO  # noqa: PLC0415

        uri = urlsplit(self.table.location())
        properties = self.table.io.properties
        if not any(key.startswith(("s3.", "client.", "gcs.", "adls.")) for key in properties):
            return {}
        given = FsspecFileIO(properties).get_fs(uri.scheme or "file", uri.hostname).storage_options
        clients = {key: value for key, value in (given.get("client_kwargs") or {}).items() if value is not None}
        lent = {key: value for key, value in given.items() if value not in (None, {})} | {"client_kwargs": clients}
        return lent if uri.scheme not in {"", "file"} else {}

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
        if not one_group or self.has_mapping or not self.primitive_ids <= set(file.column_sizes or ()):
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

        constants = {
            each.name: each.initial_default for each in self.projection.fields if each.initial_default is not None
        }
        kinds = {path: kind for _, path, kind in leaves(self.schema)}
        for index, each in enumerate(self.table.specs()[file.spec_id].fields):
            name = self.projection.find_column_name(each.source_id)
            if isinstance(each.transform, IdentityTransform) and name is not None:
                value, kind = file.partition[index], kinds.get(tuple(name.split(".")))
                constants[name] = value if value is None or kind is None else _python_value(value, kind)
        return constants


def _python_value(value: Any, kind: pa.DataType) -> Any:
    """Return a partition's value, which Iceberg keeps as a number of days or microseconds, as Python's own type."""
    return pa.scalar(value, kind).as_py() if isinstance(value, int) and pa.types.is_temporal(kind) else value


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


def _mapped(mapping: Iterable[Any], ids: Key) -> tuple[str, ...]:
    """Return the names of a field in files without field ids; empty where the table maps none to it."""
    for each in mapping:
        if each.field_id == ids[0] and each.names:
            below = _mapped(each.fields, ids[1:]) if len(ids) > 1 else ()
            return (each.names[0], *below) if len(ids) == 1 or below else ()
    return ()


def _small_strings(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the names of types that files have, which the profile shows: string, not large_string."""
    return pa.schema([each.with_type(_small(each.type)) for each in schema])


def _small(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_small(each.type)) for each in kind])
    small = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    return small.get(kind, kind)
