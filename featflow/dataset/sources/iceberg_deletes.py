"""Rows that an Iceberg table has deleted: positions in delete files, or deletion vectors in Puffin files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.known_deletes import Deletes, KnownDeletes
from featflow.dataset.table_files import DeletedRows
from featflow.errors import DatasetError, FeatflowError, SchemaError, first_line
from featflow.storage.retries import with_retries

__all__ = ["deleted_rows", "refuse_equality_deletes"]

THREADS = 8
"""Delete files read at once: they are small, so reading is waiting."""


def refuse_equality_deletes(source: str, snapshot: Any, io: Any) -> None:
    """Raise DatasetError where a snapshot deletes rows by the values of columns, and name the file that does."""
    from pyiceberg.manifest import DataFileContent, ManifestContent  # noqa: PLC0415

    for manifest in snapshot.manifests(io):
        if manifest.content is not ManifestContent.DELETES:
            continue
        for entry in manifest.fetch_manifest_entry(io):
            if entry.data_file.content is DataFileContent.EQUALITY_DELETES:
                raise DatasetError(
                    f"{source}: {entry.data_file.file_path} deletes rows by the values of columns (equality deletes), "
                    "which is not understood; rewrite the table's data files first (Spark: CALL "
                    "system.rewrite_data_files), or read a snapshot before them by dataset.version"
                )


def deleted_rows(tasks: Iterable[Any], io: Any, known: KnownDeletes) -> dict[str, DeletedRows]:
    """Return the deleted rows of the data files that have any, by the path in the manifest.

    Parameters
    ----------
    tasks
        pyiceberg's tasks of a scan: a data file each, and the delete files that apply to it.
    io
        The table's own access to storage, with what its catalog lent.
    known
        Delete files that need not be read again.

    Raises
    ------
    DatasetError
        A delete file is damaged.
    SchemaError
        A delete file is of a format that is not read.
    """
    files = {task.file.file_path: {each.file_path: each for each in task.delete_files} for task in tasks}
    wanted = {path: each for deletes in files.values() for path, each in deletes.items()}

    def read(file: Any) -> Deletes:
        kept = known.get(file.file_path)
        return with_retries(lambda: _read(file, io)) if kept is None else kept

    with ThreadPoolExecutor(THREADS) as pool:
        deletes = dict(zip(wanted, pool.map(read, wanted.values()), strict=True))
    known.use(deletes)
    deleted = {}
    for path, applied in files.items():
        rows = [deletes[each][path] for each in applied if path in deletes[each]]
        if len(rows) == 1:
            deleted[path] = rows[0]
        elif rows:
            deleted[path] = DeletedRows.of(np.concatenate([each.positions() for each in rows]))
    return deleted


def _read(file: Any, io: Any) -> Deletes:
    """Return the rows that a delete file names, by the path of the data file."""
    with io.new_input(file.file_path).open() as opened:
        content = opened.read()
    try:
        return {path: DeletedRows.of(rows) for path, rows in _parsed(file, content).items() if len(rows)}
    except FeatflowError:
        raise
    except Exception as error:  # of bytes in memory: no retry mends them
        raise DatasetError(
            f"{file.file_path}: the delete file is damaged: {first_line(error)}; bring back a copy"
        ) from error


def _parsed(file: Any, content: bytes) -> Mapping[str, np.ndarray]:
    if file.file_format.name == "PUFFIN":
        return _vectors(content)
    if file.file_format.name != "PARQUET":
        raise SchemaError(f"{file.file_path}: delete files of {file.file_format.name} are not read; rewrite the table")
    table = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(columns=["file_path", "pos"])
    paths = table["file_path"].combine_chunks().dictionary_encode()
    indices, rows = paths.indices.to_numpy(), table["pos"].to_numpy()
    return {path: rows[indices == index] for index, path in enumerate(paths.dictionary.to_pylist())}


def _vectors(content: bytes) -> Mapping[str, np.ndarray]:
    from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file  # noqa: PLC0415
    from pyiceberg.table.puffin import PuffinFile  # noqa: PLC0415

    arrays: dict[str, list[np.ndarray]] = defaultdict(list)
    for vector in deletion_vectors_from_puffin_file(PuffinFile(content)):
        arrays[vector.referenced_data_file].append(vector.to_vector().to_numpy().astype(np.int64))
    return {path: np.concatenate(each) for path, each in arrays.items()}
