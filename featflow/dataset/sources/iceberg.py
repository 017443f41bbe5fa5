"""Iceberg tables, by the catalog and manifests that the package pyiceberg reads.

Manifests give names, sizes, row counts, bounds and offsets of row groups. Where a file is a single row group and its
manifest entry speaks of every column, no footer is read; else the footer is, once, when the file is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from featflow.dataset.known_deletes import KnownDeletes
from featflow.dataset.nested_fields import leaves
from featflow.dataset.options import DatasetOptions
from featflow.dataset.sources.delta import end_of
from featflow.dataset.sources.iceberg_deletes import deleted_rows, refuse_equality_deletes
from featflow.dataset.sources.iceberg_files import IcebergFiles
from featflow.dataset.sources.storage import described, failure, iceberg_options
from featflow.dataset.sources.table import Table
from featflow.dataset.table_files import Key, field_id, field_keys
from featflow.errors import (
    ConfigurationError,
    DatasetError,
    FeatflowError,
)
from featflow.storage.deadlines import within
from featflow.storage.references import resolve_references
from featflow.storage.retries import with_retries

__all__ = ["load_iceberg_catalog", "open_iceberg"]


def open_iceberg(source: str, options: DatasetOptions, known: KnownDeletes) -> Table:
    """Return the table of a source ``iceberg:CATALOG.NAMESPACE.TABLE``, as it is or at ``dataset.version``.

    Parameters
    ----------
    known
        Delete files that need not be read again.

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
    properties = iceberg_options(options.storage_options) | _catalog_properties(options)
    loaded = load_iceberg_catalog(catalog, properties)
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError  # noqa: PLC0415

    try:
        table = with_retries(lambda: within(0, lambda: loaded.load_table(name)))
        return _read(source, table, options, known)
    except FeatflowError:
        raise
    except (NoSuchTableError, NoSuchNamespaceError):
        raise DatasetError(f"{source}: catalog '{catalog}' has no table '{name}'; check dataset.source") from None
    except Exception as error:
        raise failure(source, error, properties) from error


def _catalog_properties(options: DatasetOptions) -> dict[str, Any]:
    """Return the properties of ``dataset.catalog`` with what references in them name."""
    try:
        return resolve_references(options.catalog)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("dataset.storage_options", "dataset.catalog", 1)) from None


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
        return with_retries(lambda: within(0, lambda: load_catalog(name, **texts)))
    except (ValueError, NotInstalledError, ImportError) as error:
        # The library speaks of an option of its own command, --uri, where nothing is configured.
        said = "it has no type and no uri" if "--uri" in str(error) else described(error, properties)
        raise ConfigurationError(
            f"Iceberg catalog '{name}': {said}; configure it in .pyiceberg.yaml, by "
            f"PYICEBERG_CATALOG__{name.upper()}__URI, or in dataset.catalog"
        ) from None
    except Exception as error:
        raise failure(f"Iceberg catalog '{name}'", error, properties) from error


def _read(source: str, table: Any, options: DatasetOptions, known: KnownDeletes) -> Table:
    from pyiceberg.io.pyarrow import schema_to_pyarrow  # noqa: PLC0415

    snapshot = _snapshot(source, table, options)
    refuse_equality_deletes(source, snapshot, table.io)
    # A snapshot has the columns of its time: with no version asked for, those of today are read.
    scan = table.scan() if options.version is None else table.scan(snapshot_id=snapshot.snapshot_id)
    projection, tasks = scan.projection(), list(scan.plan_files())
    schema = _small_strings(schema_to_pyarrow(projection))
    by_path = {path: key for key, path in field_keys(schema, field_id)}
    keys = {name: by_path[path] for name, path, _ in leaves(schema)}
    deleted, mapping = deleted_rows(tasks, table.io, known), table.name_mapping()
    files = IcebergFiles(table, projection, schema, options.storage_options, has_mapping=mapping is not None)
    entries = sorted((files.entry(task.file, deleted) for task in tasks), key=lambda entry: entry.file.uri)
    names = {name: found for name, ids in keys.items() if (found := tuple(_mapped(mapping or (), ids)))}
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


def _mapped(mapping: Iterable[Any], ids: Key) -> Iterator[tuple[str, ...]]:
    """Yield the names that a field may have in files without field ids, earlier ones and those of today."""
    for each in mapping:
        if each.field_id == ids[0]:
            below = _mapped(each.fields, ids[1:]) if len(ids) > 1 else [()]
            yield from ((name, *inner) for inner in below for name in each.names)


def _small_strings(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the names of types that files have, which the profile shows: string, not large_string."""
    return pa.schema([each.with_type(_small(each.type)) for each in schema])


def _small(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_small(each.type)) for each in kind])
    small = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    return small.get(kind, kind)
