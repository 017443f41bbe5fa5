"""Names row groups by their bytes, so that a file that is rewritten with one more day costs that day alone.

Footers do not tell contents apart: files may differ in values alone. So the bytes are read, once a version of a file,
which is far less work than to summarise them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from featflow.dataset.files import DataFile, check_unchanged
from featflow.dataset.footer import Footer
from featflow.dataset.parquet import read_footer_bytes
from featflow.dataset.thrift import Struct, decode_struct
from featflow.errors import DamagedError, FeatflowError
from featflow.storage.filesystems import failed
from featflow.storage.records.json_files import Record, read_json
from featflow.storage.retries import with_retries
from featflow.storage.store import Store, resolve

__all__ = ["PATH", "Contents", "Digests"]

PATH = "states/contents.json"
THREADS = 8
"""Row groups read at once."""
READ_BYTES = 16 * 2**20
"""Bytes of one request."""

SCHEMA, ROW_GROUPS, COLUMNS, METADATA, ROWS = 2, 4, 1, 3, 3
SIZE, DATA, DICTIONARY = 7, 9, 11
DECIDING = (1, 2, 3, 4, 5, 7)
"""Type, encodings, path, codec, number of values and size of a column chunk. Field numbers are those of parquet.thrift
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift)."""


class _Known(Record):
    version: list[int | str]
    digests: dict[str, str]


KNOWN = TypeAdapter(dict[str, _Known])
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
            with suppress(FileNotFoundError, DamagedError):  # all are then made again
                self._known = read_json(store, PATH, KNOWN, "remove it: it is made again")

    def digests(self, footers: Sequence[Footer], options: dict[str, Any]) -> dict[DataFile, Digests]:
        """Return the digests of the row groups of files that have rows; those of an unchanged file are not made again.

        A file that is damaged where they lie, or encrypted, has none.

        Raises
        ------
        InfrastructureError
            Storage did not answer, or a file changed since it was listed.
        """
        digests = {footer.file: self._digests(footer, options) for footer in footers}
        present = {file.uri for file in digests}
        self._known = {uri: entry for uri, entry in self._known.items() if uri in present}
        return digests

    def save(self) -> None:
        """Store the digests for the next run, if any was made."""
        if self._store and self._changed:
            self._store.write(PATH, json.dumps(self._known).encode())

    def _digests(self, footer: Footer, options: dict[str, Any]) -> Digests:
        file, known = footer.file, Digests()
        entry, version = self._known.get(file.uri), [footer.file.size, footer.file.version]
        if entry and entry["version"] == version:
            known = {int(group): digest for group, digest in entry["digests"].items() if group.isdecimal()}
        missing = [group for group, rows in enumerate(footer.group_rows) if rows and group not in known]
        if missing:
            known |= _read_digests(footer, missing, options)
            digests = {str(group): digest for group, digest in known.items()}
            self._known[file.uri], self._changed = {"version": version, "digests": digests}, True
        return known


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Where a row group lies in its file, and how its bytes are understood."""

    start: int
    end: int
    description: str


def _read_digests(footer: Footer, groups: Sequence[int], options: dict[str, Any]) -> Digests:
    """Return the digests of row groups; none where the file is damaged, which is then known by its version."""
    file = footer.file
    filesystem, path = resolve(file.uri, options)

    def digest(place: _Bytes) -> str:
        hashed = hashlib.sha256(place.description.encode())
        for start in range(place.start, place.end, READ_BYTES):
            end = min(start + READ_BYTES, place.end)
            hashed.update(with_retries(lambda: filesystem.cat_file(path, start=start, end=end)))  # noqa: B023
        return hashed.hexdigest()[:32]

    try:
        decoded = decode_struct(read_footer_bytes(file.uri, file.size, options))[0]
        # Less what writers note of the whole table, such as its number of rows.
        schema = repr((footer.schema.remove_metadata().serialize().to_pybytes(), decoded[SCHEMA]))
        places = [_place(file, schema, decoded[ROW_GROUPS][group]) for group in groups]
        with ThreadPoolExecutor(THREADS) as pool:
            digests = dict(zip(groups, pool.map(digest, places), strict=True))
    except FeatflowError:
        raise
    except (KeyError, IndexError, TypeError, ValueError):  # the footer is not as it should be
        return {}
    except Exception as error:
        raise failed(file.uri, "read it", error) from error
    check_unchanged(file, options)
    return digests


def _place(file: DataFile, schema: str, group: Struct) -> _Bytes:
    """Return the place of a row group from its decoded metadata; raise ValueError where it does not lie in the file."""
    chunks = [chunk[METADATA] for chunk in group[COLUMNS]]
    starts = [min(chunk.get(DICTIONARY) or chunk[DATA], chunk[DATA]) for chunk in chunks]
    start, end = min(starts), max(first + chunk[SIZE] for first, chunk in zip(starts, chunks, strict=True))
    if min(start, *(chunk[SIZE] for chunk in chunks)) <= 0 or end > file.size:
        raise ValueError("a column chunk does not lie in the file")
    described = [
        ([chunk[each] for each in DECIDING], chunk[DATA] - start, first - start)
        for first, chunk in zip(starts, chunks, strict=True)
    ]
    return _Bytes(start, end, repr((schema, group[ROWS], described)))
