"""A folder of pictures as a dataset: a row a picture, with its URI, path, folder and size.

Rows are written as small Parquet tables below the output, in the order of their paths' digests, so that each table,
which may be held out, has pictures of all folders. They are cut where a digest says so: a picture that is added or
changed makes one table anew, and no other. A table's version is that of all of its pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath

import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.dataset.formats import IMAGE, KEY
from featflow.dataset.image_places import ANYWHERE
from featflow.storage.store import Store

__all__ = ["picture_tables"]

MEAN_ROWS, MOST_ROWS = 256, 1024
"""Pictures of a table: on average, and at most. A task reads one, and a night those that have changed."""

THREADS = 8
"""Tables written at once: on an object store, writing is mostly waiting."""


def picture_tables(files: Sequence[DataFile], store: Store, folder: str) -> list[DataFile]:
    """Write tables of pictures below a folder of a store, those that are not there yet, and return them.

    Columns: ``picture``, its URI; ``path`` below the source; ``folder``, the name of the folder that it is in (null
    in the source itself); ``bytes``, its size (null where a link leads to no file).
    """
    present = set(store.names(folder))

    def table(pictures: list[DataFile]) -> DataFile:
        listed = [(file.uri, file.place, file.size, file.version) for file in pictures]
        digest = hashlib.sha256(repr(listed).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        path = f"{folder}/{digest}.parquet"
        if f"{digest}.parquet" not in present:
            store.write_parquet(path, _table(pictures))
        first, size = pictures[0], sum(max(file.size, 0) for file in pictures)
        written = DataFile(first.uri, size, digest, (), first.place, "pictures", store.absolute(path))
        return replace(written, images_below=(ANYWHERE,))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(table, _cut(sorted(files, key=_digest))))


def _cut(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    table: list[DataFile] = []
    for file in files:
        table.append(file)
        if len(table) == MOST_ROWS or int.from_bytes(_digest(file)[:8], "big") % MEAN_ROWS == 0:
            yield table
            table = []
    if table:
        yield table


def _digest(file: DataFile) -> bytes:
    return hashlib.sha256(file.place.encode("utf-8", "surrogateescape")).digest()


def _table(pictures: Sequence[DataFile]) -> pa.Table:
    folders = [PurePosixPath(file.place).parent.name or None for file in pictures]
    return pa.table(
        {
            IMAGE: [file.uri for file in pictures],
            KEY: [file.place for file in pictures],
            "folder": pa.array(folders, pa.string()),
            "bytes": pa.array([None if file.size < 0 else file.size for file in pictures], pa.int64()),
        }
    )
