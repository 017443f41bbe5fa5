"""Names row groups by their bytes, so that a file that is rewritten with one more day costs that day alone.

Footers do not tell contents apart: files may differ in values alone. So the bytes are read, once a version of a file,
which is far less work than to summarise them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featflow.dataset.files import DataFile, check_unchanged
from featflow.dataset.parquet import is_corruption, open_parquet
from featflow.errors import InfrastructureError, first_line
from featflow.storage.retries import with_retries
from featflow.storage.store import Store, resolve

__all__ = ["PATH", "Contents", "Digests"]

PATH = "states/contents.json"
THREADS = 8
"""Row groups read at once."""
READ_BYTES = 16 * 2**20
"""Bytes of one request."""

Digests = dict[int, str]
"""Digest of row groups, by their index."""


class Contents:
    """Digests of row groups known at an output, and those made since.

    Parameters
    ----------
    store
        The output; None where nothing is known.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._known, self._changed = store, dict[str, dict[str, Any]](), False
        if store:
            with suppress(FileNotFoundError, ValueError):  # all are then made again
                self._known = json.loads(store.read(PATH))

    def digests(self, groups: Mapping[DataFile, Sequence[int]], options: dict[str, Any]) -> dict[DataFile, Digests]:
        """Return the digests of some row groups of files; those of an unchanged file are not made again.

        A file that is damaged where they lie has none.

        Raises
        ------
        InfrastructureError
            Storage did not answer, or a file changed since it was listed.
        """
        digests = {file: self._digests(file, indices, options) for file, indices in groups.items()}
        self._known = {uri: entry for uri, entry in self._known.items() if uri in {file.uri for file in groups}}
        return digests

    def save(self) -> None:
        """Store the digests for the next run, if any was made."""
        if self._store and self._changed:
            self._store.write(PATH, json.dumps(self._known).encode())

    def _digests(self, file: DataFile, groups: Sequence[int], options: dict[str, Any]) -> Digests:
        entry, version = self._known.get(file.uri, {}), [file.size, file.version]
        known: Digests = {}
        if entry.get("version") == version:
            known = {int(group): digest for group, digest in entry["digests"].items()}
        missing = [group for group in groups if group not in known]
        if missing:
            known |= _read_digests(file, missing, options)
            self._known[file.uri], self._changed = {"version": version, "digests": known}, True
        return known


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Where a row group lies in its file, and how its bytes are understood."""

    start: int
    end: int
    description: str


def _read_digests(file: DataFile, groups: Sequence[int], options: dict[str, Any]) -> Digests:
    """Return the digests of row groups; none where the file is damaged, which is then known by its version."""
    filesystem, path = resolve(file.uri, options)

    def digest(place: _Bytes) -> str:
        hashed = hashlib.sha256(place.description.encode())
        for start in range(place.start, place.end, READ_BYTES):
            end = min(start + READ_BYTES, place.end)
            hashed.update(with_retries(lambda: filesystem.cat_file(path, start=start, end=end)))  # noqa: B023
        return hashed.hexdigest()[:32]

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            digests = dict(zip(groups, pool.map(digest, _places(file, groups, options)), strict=True))
    except InfrastructureError:
        raise
    except Exception as error:
        if is_corruption(error):
            return {}
        raise InfrastructureError(f"{file.uri}: cannot read it: {first_line(error)}; retry") from error
    check_unchanged(file, options)
    return digests


def _places(file: DataFile, groups: Sequence[int], options: dict[str, Any]) -> Iterator[_Bytes]:
    with open_parquet(file.uri, options) as opened:
        # Less what writers note of the whole table, such as its number of rows.
        schema = hashlib.sha256(opened.schema_arrow.remove_metadata().serialize()).hexdigest()
        for group in groups:
            footer = opened.metadata.row_group(group)
            chunks = [footer.column(index) for index in range(footer.num_columns)]
            starts = [
                min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset) for chunk in chunks
            ]
            sizes = [chunk.total_compressed_size for chunk in chunks]
            start, end = min(starts), max(map(sum, zip(starts, sizes, strict=True)))
            if min(*sizes, start) <= 0 or end > file.size:
                raise pa.ArrowInvalid(f"row group {group} does not lie in the file")
            described = [
                (
                    chunk.path_in_schema,
                    str(opened.schema.column(index).logical_type),
                    chunk.physical_type,
                    chunk.compression,
                    chunk.encodings,
                    chunk.num_values,
                    size,
                    first - start,
                    chunk.data_page_offset - start,
                )
                for index, (chunk, first, size) in enumerate(zip(chunks, starts, sizes, strict=True))
            ]
            yield _Bytes(start, end, repr((schema, footer.num_rows, described)))
