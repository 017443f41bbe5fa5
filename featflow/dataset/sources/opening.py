"""The sources of a dataset: plain files as they are listed, and tables as their metadata describes them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from featflow.dataset.files import DataFile
from featflow.dataset.footer import Footer, FooterFault
from featflow.dataset.footers import Footers
from featflow.dataset.known_deletes import KnownDeletes
from featflow.dataset.options import DatasetOptions
from featflow.dataset.sources.delta import open_delta
from featflow.dataset.sources.iceberg import open_iceberg
from featflow.dataset.sources.in_table import FootersInTable
from featflow.dataset.sources.table import Table, TableEntry
from featflow.errors import ConfigurationError, DatasetError
from featflow.storage.filesystems import failed, is_local, resolve, uri_of
from featflow.storage.folders import exists
from featflow.storage.retries import with_retries

__all__ = ["FORMATS", "is_table", "named_sources", "open_tables", "read_footers", "table_files"]

FORMATS = ("delta", "iceberg")
"""Words before the colon of a source that names a table."""


def is_table(source: str) -> bool:
    """Return whether a source names a table, not files.

    Examples
    --------
    >>> is_table("delta:s3://lake/flights"), is_table("s3://lake/flights")
    (True, False)
    """
    return source.partition(":")[0] in FORMATS


def named_sources(options: DatasetOptions) -> list[str]:
    """Return a dataset's sources, each table once, however often and in whatever spelling it is named.

    With ``table_format: auto`` folders that are Delta tables are named as such.

    Raises
    ------
    ConfigurationError
        A table's URI names no storage.
    InfrastructureError
        Storage did not answer.
    """
    named = options.source
    if options.table_format is not None:
        named = [f"delta:{source}" if _is_delta(source, options) else source for source in named]
    first: dict[str, str] = {}
    for source in named:
        first.setdefault(
            _location(source.removeprefix("delta:"), options) if source.startswith("delta:") else source, source
        )
    return list(first.values())


def _location(uri: str, options: DatasetOptions) -> str:
    """Return where a table or a file is, the same for all its spellings and links to it."""
    filesystem, path = resolve(uri, options.storage_options)
    return os.path.realpath(path) if is_local(filesystem) else uri_of(filesystem, path.rstrip("/"))


def _is_delta(source: str, options: DatasetOptions) -> bool:
    if is_table(source):
        return False
    filesystem, path = resolve(source, options.storage_options)
    try:
        return bool(with_retries(lambda: exists(filesystem, f"{path.rstrip('/')}/_delta_log")))
    except Exception as error:
        raise failed(source, "look at it", error) from error


def open_tables(options: DatasetOptions, known: KnownDeletes) -> tuple[Table, ...]:
    """Return the tables among a dataset's sources, in their order.

    Parameters
    ----------
    known
        Delete files that need not be read again.

    Raises
    ------
    ConfigurationError
        A package is missing, ``dataset.version`` fits none or several tables, or a table is named in a wrong way.
    DatasetError
        There is no such table, or no such version of it.
    SchemaError
        A table needs what is not understood.
    InfrastructureError
        Storage or the catalog did not answer.
    """
    sources = list(dict.fromkeys(source for source in options.source if is_table(source)))
    if options.version is not None and not sources:
        raise ConfigurationError("dataset.version: no source is a table; write delta:URI or iceberg:CATALOG.TABLE")
    if isinstance(options.version, int) and len(sources) > 1:
        raise ConfigurationError(
            f"dataset.version: {options.version} is a version of one table, and {len(sources)} are read; set a moment"
        )
    return tuple(
        open_delta(source, options) if source.startswith("delta:") else open_iceberg(source, options, known)
        for source in sources
    )


def table_files(tables: tuple[Table, ...], options: DatasetOptions) -> list[DataFile]:
    """Return the files of tables; their places are told apart where there is more than one source."""
    several = len(options.source) > 1
    return [
        replace(
            entry.file,
            place=f"{table.source}/{entry.file.place}" if several else entry.file.place,
            images_below=(entry.file.uri.removesuffix(f"/{entry.file.place}"),),
        )
        for table in tables
        for entry in table.entries
    ]


def read_footers(
    files: Sequence[DataFile], tables: tuple[Table, ...], footers: Footers, options: DatasetOptions
) -> list[Footer | FooterFault]:
    """Return the footers of files, those of tables' files as the tables read them.

    Parameters
    ----------
    files
        Plain files, and after them those of tables in the order of `table_files`.

    Raises
    ------
    DatasetError
        A footer contradicts a table's metadata, or a plain source names a file of a table.
    InfrastructureError
        Storage did not answer.
    """
    listed = [(entry, reader) for table in tables for reader in [FootersInTable(table)] for entry in table.entries]
    plain = files[: len(files) - len(listed)]
    _refuse_files_of_tables(plain, files[len(plain) :], options)
    times = Counter(entry.file.uri for entry, _ in listed)  # tables may share files, and each has its own columns
    footers.add(entry.footer for entry, _ in listed if entry.footer and times[entry.file.uri] == 1)
    outcomes = footers.read(files, options.storage_options)
    pairs = zip(outcomes[len(plain) :], listed, strict=True)
    in_tables = (_in_table(outcome, entry, table, times) for outcome, (entry, table) in pairs)
    return [*outcomes[: len(plain)], *in_tables]


def _in_table(
    outcome: Footer | FooterFault, entry: TableEntry, table: FootersInTable, times: Counter[str]
) -> Footer | FooterFault:
    if entry.footer and times[entry.file.uri] > 1:
        return table.of(replace(entry.footer, file=outcome.file), entry)
    return table.of(outcome, entry) if isinstance(outcome, Footer) else outcome


def _refuse_files_of_tables(plain: Sequence[DataFile], files: Sequence[DataFile], options: DatasetOptions) -> None:
    """Raise DatasetError where a plain source names a file of a table that is read as well."""
    held = {_location(file.uri, options) for file in files} if plain else set()
    for file in plain:
        if held and _location(file.uri, options) in held:
            raise DatasetError(f"{file.uri}: a file of a table that is read as well; remove one of the two sources")
