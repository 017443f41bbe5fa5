"""Footers of Parquet files, read once: a nightly run over thousands of files reads those of the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from featflow.errors import InfrastructureError, first_line
from featflow.storage import DataFile, Store, is_corruption, open_parquet

__all__ = ["Footer", "FooterFault", "Footers"]

PATH = "states/footers.arrow"
THREADS = 8
SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("schema", pa.dictionary(pa.int32(), pa.binary())),
        ("group_rows", pa.list_(pa.int64())),
        ("group_bytes", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file's footer says."""

    file: DataFile
    """The file."""
    schema: pa.Schema
    """Its columns."""
    group_rows: tuple[int, ...]
    """Rows of each row group."""
    group_bytes: tuple[int, ...]
    """Decoded bytes of each row group."""


@dataclass(frozen=True, slots=True)
class FooterFault:
    """Why a file's footer cannot be read, whatever storage does."""

    file: DataFile
    """The file."""
    detail: str
    """What the reader said."""


class Footers:
    """Footers known at an output, and those read since.

    Parameters
    ----------
    store
        The output; None where nothing is known.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._known, self._new = store, {}, list[Footer]()
        if store:
            with suppress(FileNotFoundError):
                self._known = {footer.file.uri: footer for footer in _loaded(store.read_arrow(PATH))}

    def read(self, files: Sequence[DataFile], options: dict[str, Any]) -> list[Footer | FooterFault]:
        """Return the footers of files, in order; those that are known and have not changed are not read.

        Raises
        ------
        InfrastructureError
            Storage did not answer.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda file: self._find(file) or _read(file, options), files))
        known = [footer for footer in found if isinstance(footer, Footer)]
        self._new = [footer for footer in known if self._find(footer.file) is None]
        self._known = {footer.file.uri: footer for footer in known}
        return found

    def save(self) -> None:
        """Keep what was read, for the next run; files that are gone are forgotten."""
        if self._store and self._new:
            self._store.write_arrow(PATH, _table(list(self._known.values())))

    def _find(self, file: DataFile) -> Footer | None:
        footer = self._known.get(file.uri)
        same = footer and (footer.file.size, footer.file.version) == (file.size, file.version)
        return replace(footer, file=file) if footer and same else None


def _read(file: DataFile, options: dict[str, Any]) -> Footer | FooterFault:
    if file.size == 0:
        return FooterFault(file, "the file is empty (0 bytes)")
    try:
        with open_parquet(file.uri, options) as source:
            groups = [source.metadata.row_group(index) for index in range(source.metadata.num_row_groups)]
            rows, sizes = (tuple(getattr(g, name) for g in groups) for name in ("num_rows", "total_byte_size"))
            return Footer(file, source.schema_arrow, rows, sizes)
    except Exception as error:
        if not is_corruption(error):
            raise InfrastructureError(f"{file.uri}: cannot read its footer: {first_line(error)}") from error
        return FooterFault(file, first_line(error))


def _table(footers: list[Footer]) -> pa.Table:
    schemas = pa.array([footer.schema.serialize().to_pybytes() for footer in footers], pa.binary())
    columns = [
        pa.array([footer.file.uri for footer in footers]),
        pa.array([footer.file.size for footer in footers]),
        pa.array([footer.file.version for footer in footers]),
        schemas.dictionary_encode(),
        pa.array([footer.group_rows for footer in footers], pa.list_(pa.int64())),
        pa.array([footer.group_bytes for footer in footers], pa.list_(pa.int64())),
    ]
    return pa.table(columns, SCHEMA)


def _loaded(table: pa.Table) -> list[Footer]:
    encoded = table["schema"].combine_chunks()
    schemas = [pa.ipc.read_schema(pa.py_buffer(each)) for each in encoded.dictionary.to_pylist()]
    names = ("uri", "size", "version", "group_rows", "group_bytes")
    rows = zip(encoded.indices.to_pylist(), *(table[name].to_pylist() for name in names), strict=True)
    return [
        Footer(DataFile(uri, size, version), schemas[index], tuple(group_rows), tuple(group_bytes))
        for index, uri, size, version, group_rows, group_bytes in rows
    ]
