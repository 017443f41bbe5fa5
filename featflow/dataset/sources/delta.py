"""Delta tables, by the log that the package deltalake reads.

The log gives names, sizes, row counts, partition values and deletion vectors of files, and the table's columns with
their names or ids in files. It does not give row groups, so a file's footer is read once, when it is new.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.dataset.nested_fields import leaves
from featflow.dataset.options import DatasetOptions
from featflow.dataset.sources.storage import delta_options, described, failure, same_uri
from featflow.dataset.sources.table import Table, TableEntry
from featflow.dataset.table_files import IMMUTABLE, DeletedRows, Key, field_keys, field_name
from featflow.errors import ConfigurationError, DatasetError, FeatflowError, SchemaError

__all__ = ["end_of", "open_delta"]

KNOWN_FEATURES = {
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantShredding-preview",
    "variantType",
    "variantType-preview",
}
"""Reader features whose tables are read as their protocol asks; columns of variants are skipped as all nested ones."""
LOCAL = re.compile("^file:/+")
MAPPED_ID, MAPPED_NAME = b"delta.columnMapping.id", b"delta.columnMapping.physicalName"


def open_delta(source: str, options: DatasetOptions) -> Table:
    """Return the table of a source ``delta:URI``, of the latest version or of ``dataset.version``.

    Raises
    ------
    ConfigurationError
        The package deltalake is not installed, or the URI is of an unknown kind.
    DatasetError
        There is no such table, or no such version.
    SchemaError
        The table needs a reader feature that is not known.
    InfrastructureError
        Storage did not answer.
    """
    try:
        import deltalake  # noqa: F401, PLC0415
        from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError  # noqa: PLC0415  0.2 s
    except ImportError:
        raise ConfigurationError(
            f"dataset.source: {source} needs the package deltalake: pip install 'featflow[delta]'"
        ) from None
    uri = same_uri(source.removeprefix("delta:"), options.storage_options).rstrip("/")
    try:
        return _read(source, uri, options)  # the reader tries requests again itself
    except FeatflowError:
        raise
    except TableNotFoundError:
        raise DatasetError(f"{source}: no Delta table there; check dataset.source") from None
    except (DeltaError, DeltaProtocolError) as error:
        message = described(error, delta_options(options.storage_options))
        if "nsupported" in message:
            raise SchemaError(
                f"{source}: the table cannot be read: {message}; drop the feature, or export it"
            ) from None
        if isinstance(options.version, int) and "version" in message.lower():
            raise DatasetError(f"{source}: no version {options.version}; check dataset.version") from None
        raise DatasetError(f"{source}: the table's log cannot be read: {message}") from None
    except Exception as error:
        raise failure(source, error, delta_options(options.storage_options)) from error


def end_of(moment: date | datetime) -> datetime:
    """Return the moment itself, or the last microsecond of a day, in UTC.

    Examples
    --------
    >>> end_of(date(2026, 1, 2)).isoformat()
    '2026-01-02T23:59:59.999999+00:00'
    """
    if isinstance(moment, datetime):
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(moment, datetime.min.time(), UTC) + timedelta(days=1, microseconds=-1)


def _read(source: str, uri: str, options: DatasetOptions) -> Table:
    opened = _open(source, uri, options)
    features = set(opened.protocol().reader_features or ())
    if unknown := sorted(features - KNOWN_FEATURES):
        raise SchemaError(f"{source}: the table needs the reader feature {', '.join(unknown)}, which is not known")
    schema = pa.schema(opened.schema().to_arrow())
    metadata = opened.metadata()
    mode = metadata.configuration.get("delta.columnMapping.mode", "none")
    partitioned = set(metadata.partition_columns)
    names = _keys(schema, field_name if mode == "none" else _physical_name, partitioned)
    keys = _keys(schema, _physical_id, partitioned) if mode == "id" else names
    deleted = _deleted_rows(opened) if "deletionVectors" in features else {}
    actions = pa.table(opened.get_add_actions())
    partitions = actions["partition"].to_pylist() if "partition" in actions.column_names else [{}] * len(actions)
    columns = (actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
    entries = []
    for path, size, rows, values in zip(*columns, partitions, strict=True):
        place = unquote(path)
        at = same_uri(place, options.storage_options) if "://" in place or place[0] == "/" else f"{uri}/{place}"
        file = DataFile(at, size, IMMUTABLE, place=place)
        entries.append(TableEntry(file, rows, deleted.pop(_below(path, opened), None), values))
    if deleted:
        raise DatasetError(f"{source}: rows are deleted of {min(deleted)}, which is no file of the table; rewrite it")
    entries.sort(key=lambda entry: entry.file.uri)
    alone = {name: (key,) for name, key in names.items()}
    return Table(source, opened.version(), schema, keys, alone, tuple(entries))


def _open(source: str, uri: str, options: DatasetOptions) -> Any:
    from deltalake import DeltaTable  # noqa: PLC0415  0.2 s, which only Delta tables need

    store, version = delta_options(options.storage_options), options.version
    if version is None or isinstance(version, int):
        return DeltaTable(uri, version=version, storage_options=store)
    opened, moment = DeltaTable(uri, storage_options=store), end_of(version)
    times = {each.get("version"): each.get("timestamp") for each in opened.history()}  # right only before another load
    opened.load_as_version(moment)
    made = times.get(opened.version())
    if made is not None and made > moment.timestamp() * 1000:  # the reader gives the first version for any time before
        raise DatasetError(f"{source}: the table is younger than {version}; check dataset.version")
    return opened


def _physical_name(field: pa.Field) -> str | None:
    name = (field.metadata or {}).get(MAPPED_NAME)
    return None if name is None else str(name.decode())


def _physical_id(field: pa.Field) -> int | None:
    number = (field.metadata or {}).get(MAPPED_ID)
    return None if number is None else int(number)


def _keys(schema: pa.Schema, part: Callable[[pa.Field], Any], partitioned: set[str]) -> dict[str, Key]:
    """Return the keys in files of a table's columns, without partition columns, whose values are in the log."""
    keys = {path: key for key, path in field_keys(schema, part)}
    return {name: keys[path] for name, path, _ in leaves(schema) if path in keys and path[0] not in partitioned}


def _below(uri: str, opened: Any) -> str:
    """Return a file's path below the table, or its whole path where it lies elsewhere.

    The log and the reader spell a file's URI in different ways, and neither as the configuration spells the table's.
    """
    path, root = (LOCAL.sub("/", unquote(each)) for each in (uri, opened.table_uri))
    return path.removeprefix(f"{root.rstrip('/')}/")


def _deleted_rows(opened: Any) -> dict[str, DeletedRows]:
    """Return the deleted rows of the files that have any, by path below the table."""
    deleted = {}
    for batch in opened.deletion_vectors():
        vectors = pa.record_batch(batch)
        for uri, kept in zip(vectors["filepath"].to_pylist(), vectors["selection_vector"], strict=True):
            positions = np.flatnonzero(~kept.values.to_numpy(zero_copy_only=False).astype(bool))
            if len(positions):
                deleted[_below(uri, opened)] = DeletedRows.of(positions)
    return deleted
