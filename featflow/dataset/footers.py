"""Footers of Parquet files, read once and kept: a nightly run over thousands of files reads those of new files only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pyarrow as pa

from featflow.dataset.contents import Contents
from featflow.dataset.files import DataFile
from featflow.dataset.footer import Footer, FooterFault
from featflow.dataset.known_deletes import KnownDeletes
from featflow.dataset.named_images import NamedImages
from featflow.dataset.nested_fields import leaves
from featflow.dataset.read_footer import read_footer
from featflow.errors import DamagedError
from featflow.storage.records.states import read_state
from featflow.storage.store import Store

__all__ = ["PATH", "Footers"]

PATH = "states/footers.arrow"
THREADS = 8
"""Footers read at once: on object stores a footer is a wait for some requests, with hardly any work."""
FACTS = 4
"""Lists of columns that are kept of a footer."""
SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("schema", pa.dictionary(pa.int32(), pa.binary())),
        ("group_rows", pa.list_(pa.int64())),
        ("group_bytes", pa.list_(pa.int64())),
        ("facts", pa.string()),
    ]
)


class Footers:
    """Footers known at an output, and those read since.

    Parameters
    ----------
    store
        The output; None where nothing is known.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._known, self._new, self._given = store, {}, list[Footer](), False
        self.contents = Contents(store)
        """Digests of row groups."""
        self.deletes = KnownDeletes(store)
        """Delete files of tables, known as well."""
        self.images = NamedImages(store)
        """Paths of images, known as well."""
        if store:
            with suppress(FileNotFoundError, DamagedError):  # or another release's: all are read again
                self._known = {footer.file.uri: footer for footer in read_state(store, PATH, _from_table)}

    def add(self, footers: Iterable[Footer]) -> None:
        """Take footers of files that a table's metadata describes well enough; those that are known stay."""
        given = {footer.file.uri: footer for footer in footers if self._unchanged(footer.file) is None}
        self._known |= given
        self._given |= bool(given)

    def read(self, files: Sequence[DataFile], options: dict[str, Any]) -> list[Footer | FooterFault]:
        """Return the footers of files, in order; a known footer of an unchanged file is not read again.

        Raises
        ------
        InfrastructureError
            Storage did not answer.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            outcomes = list(
                pool.map(lambda file: self._unchanged(file) or read_footer(file, file.options or options), files)
            )
        footers = [footer for footer in outcomes if isinstance(footer, Footer)]
        self._new = [footer for footer in footers if self._unchanged(footer.file) is None]
        self._known = {footer.file.uri: footer for footer in footers}
        return outcomes

    def save(self) -> None:
        """Store the footers for the next run, if any was read; drop those of files that are gone."""
        self.contents.save()
        self.deletes.save()
        self.images.save()
        if self._store and (self._new or self._given):
            self._store.write_arrow(PATH, _to_table(list(self._known.values())))

    def _unchanged(self, file: DataFile) -> Footer | None:
        footer = self._known.get(file.uri)
        if footer is None or (footer.file.size, footer.file.version) != (file.size, file.version):
            return None
        # Whether a partition folder and the file agree was found for the keys that it had then.
        same = footer.file.partitions == file.partitions or not _hold(
            {*footer.file.partitions, *file.partitions}, footer
        )
        return replace(footer, file=file) if same else None


def _hold(partitions: set[tuple[str, str]], footer: Footer) -> bool:
    """Whether the file has a column of a partition key's name."""
    names = {name for name, _, _ in leaves(footer.schema)} if partitions else set()
    return any(key in names for key, _ in partitions)


def _to_table(footers: list[Footer]) -> pa.Table:
    schemas = pa.array([footer.schema.serialize().to_pybytes() for footer in footers], pa.binary())
    columns = [
        pa.array([footer.file.uri for footer in footers]),
        pa.array([footer.file.size for footer in footers]),
        pa.array([footer.file.version for footer in footers]),
        schemas.dictionary_encode(),
        pa.array([footer.group_rows for footer in footers], pa.list_(pa.int64())),
        pa.array([footer.group_bytes for footer in footers], pa.list_(pa.int64())),
        pa.array([json.dumps(_facts(f)) for f in footers]),
    ]
    return pa.table(columns, SCHEMA)


def _facts(footer: Footer) -> list[Any]:
    columns = [footer.encrypted, footer.clashes, footer.elsewhere, footer.partly_elsewhere]
    return [footer.file.partitions, footer.ranges, *columns]


def _from_table(table: pa.Table) -> list[Footer]:
    table = table.cast(SCHEMA)
    encoded = table["schema"].combine_chunks()
    schemas = [pa.ipc.read_schema(pa.py_buffer(each)) for each in encoded.dictionary.to_pylist()]
    names = ("uri", "size", "version", "group_rows", "group_bytes", "facts")
    rows = zip(encoded.indices.to_pylist(), *(table[name].to_pylist() for name in names), strict=True)
    footers = []
    for index, uri, size, version, group_rows, group_bytes, facts in rows:
        partitions, ranges, *columns = json.loads(facts)
        if len(columns) < FACTS:
            raise ValueError("another release's")
        if size < 0 or min((0, *group_rows, *group_bytes)) < 0 or len(group_rows) != len(group_bytes):
            raise ValueError(f"sizes of {uri}")
        by_group = {name: tuple((low, high) for low, high in each) for name, each in ranges.items()}
        file, sizes = (
            DataFile(uri, size, version, tuple(map(tuple, partitions))),
            (tuple(group_rows), tuple(group_bytes)),
        )
        footers.append(Footer(file, schemas[index], *sizes, by_group, *map(tuple, columns)))
    return footers
