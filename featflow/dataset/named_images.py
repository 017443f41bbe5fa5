"""Images that rows name by path, as part of what a shard is: one that is replaced, comes or goes makes another shard.

A shard of such images is named by the versions of those that are there, beside its file's (`Shard.images`). So whatever
was made of an image that is not the present one has another name, and what was made of the others is found. Their paths
are read once a version of a file, and kept; the versions are asked for every night.

Storage may list an image and not give it. The task that finds this out leaves a note under the shard's name, before its
states; later nights ask for the images of the note again, and those that are given then make another shard, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeAlias

import pyarrow as pa

from featflow.columns.column import Column, Kind
from featflow.dataset.batches import PATH as AS_PATH
from featflow.dataset.batches import read_batches
from featflow.dataset.footer import Footer
from featflow.dataset.image_files import is_given
from featflow.dataset.image_places import ANYWHERE, ImagePathError, ImagePlaces
from featflow.dataset.image_versions import GONE, image_versions
from featflow.dataset.nested_fields import is_text, leaves
from featflow.dataset.not_given import FOLDER, Place, given_since
from featflow.dataset.shards import Shard
from featflow.errors import DamagedError
from featflow.storage.records.states import read_state
from featflow.storage.store import Store

__all__ = ["PATH", "NamedImages"]

PATH = "states/images.arrow"
THREADS = 8
"""Files read at once: a column of paths is little work, and some requests."""
ROWS = 2**16
"""Rows of a batch of paths."""
REFUSED = "refused"
"""Version of what a row may not name."""
PATHS = pa.large_list(pa.large_binary())
SCHEMA = pa.schema([("shard", pa.string()), ("column", pa.string()), ("paths", PATHS)])

Paths: TypeAlias = Mapping[str, pa.Array]
"""Paths of all rows of a shard, large_binary, by the name of the column; null where there is none."""
Uris: TypeAlias = Mapping[str, list[str | None]]
"""URI of each row's image by the name of the column; None where there is none, empty where the row may not name it."""


class NamedImages:
    """Paths of images known at an output, and those read since.

    Parameters
    ----------
    store
        The output; None where nothing is known.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._is_new = store, False
        self._known: dict[str, dict[str, pa.Array]] = {}
        self._used: dict[str, Paths] = {}
        if store:
            with suppress(FileNotFoundError, DamagedError):  # all are then read again
                self._known = read_state(store, PATH, _from_table)

    def of(
        self, shards: Sequence[Shard], columns: Sequence[Column], footers: Sequence[Footer], options: dict[str, Any]
    ) -> tuple[Shard, ...]:
        """Return the shards, those that name images with the versions of these.

        Raises
        ------
        InfrastructureError
            Storage did not answer.
        """
        by_path = {footer.file: _by_path(footer, columns) for footer in footers} if columns else {}
        naming = [shard for shard in shards if by_path.get(shard.file)]
        if not naming:
            return tuple(shards)
        wholes = {_whole(shard): tuple(by_path[shard.file]) for shard in naming}
        with ThreadPoolExecutor(THREADS) as pool:
            paths = dict(
                zip(wholes, pool.map(lambda item: self._paths(item[0], item[1], options), wholes.items()), strict=True)
            )
            uris = {shard: _uris(shard, wholes[_whole(shard)], paths[_whole(shard)]) for shard in naming}
            # Tables of pictures are named by the versions that their listing gave.
            listed = [shard for shard in naming if ANYWHERE not in shard.file.images_below]
            versions = dict[str, str]()
            for own, of_own in _by_options(listed, options):
                of_rows = (uri for shard in of_own for each in uris[shard].values() for uri in each)
                versions |= image_versions(filter(None, of_rows), own)
            digests = {shard: _digest(shard, by_path[shard.file], uris[shard], versions) for shard in listed}
            versioned = [replace(shard, images=digests.get(shard, "")) for shard in naming]
            if self._store:
                store, names = self._store, set(self._store.names(FOLDER))
                look = [_Look(shard, uris[shard], shard.file.options or options) for shard in naming]
                made = pool.map(lambda each: given_since(store, names, *each), zip(versioned, look, strict=True))
                versioned = list(made)
        replaced = dict(zip(naming, versioned, strict=True))
        return tuple(replaced.get(shard, shard) for shard in shards)

    def save(self) -> None:
        """Store the paths for the next run, if any were read; drop those of files that are gone."""
        if self._store and self._is_new:
            rows = [(shard, column, paths) for shard, each in self._used.items() for column, paths in each.items()]
            offsets = pa.array([0, *accumulate(len(paths) for _, _, paths in rows)], pa.int64())
            values = pa.concat_arrays([paths for _, _, paths in rows])
            lists = pa.LargeListArray.from_arrays(offsets, values)
            names = ([row[place] for row in rows] for place in (0, 1))
            self._store.write_arrow(PATH, pa.table([*names, lists], SCHEMA))

    def _paths(self, whole: Shard, columns: Sequence[Column], options: dict[str, Any]) -> Paths:
        known = self._known.get(whole.digest, {})
        if all(column.name in known for column in columns):
            self._used[whole.digest] = known
            return known
        paths, is_complete = _read_paths(whole, columns, options)
        if is_complete:
            self._used[whole.digest], self._is_new = paths, True
        return paths


def _from_table(table: pa.Table) -> dict[str, dict[str, pa.Array]]:
    known: dict[str, dict[str, pa.Array]] = {}
    for batch in table.select(SCHEMA.names).cast(SCHEMA).to_batches():
        for shard, column, paths in zip(*batch.columns, strict=True):
            known.setdefault(shard.as_py(), {})[column.as_py()] = paths.values
    return known


@dataclass(frozen=True, slots=True)
class _Look:
    """Looks whether storage gives the image of a row by now."""

    shard: Shard
    uris: Uris
    options: dict[str, Any]

    def __call__(self, place: Place) -> str | None:
        column, group, row = place
        groups = dict(zip(self.shard.row_groups, accumulate((0, *self.shard.group_rows)), strict=False))
        uri = self.uris[column][groups[group] + row]
        return uri if uri and is_given(uri, self.options) else None


def _by_options(shards: Sequence[Shard], options: dict[str, Any]) -> list[tuple[dict[str, Any], list[Shard]]]:
    """Return shards by the options of their filesystem, which a catalog may have lent."""
    groups: dict[int, tuple[dict[str, Any], list[Shard]]] = {}
    for shard in shards:
        own = shard.file.options or options
        groups.setdefault(id(own), (own, []))[1].append(shard)
    return list(groups.values())


def _by_path(footer: Footer, columns: Sequence[Column]) -> dict[Column, bool]:
    """Return the columns of images of which a file holds paths, and whether no row of theirs has bytes."""
    kinds = {name: kind for name, _, kind in leaves(footer.schema)}
    found = {}
    for column in columns:
        kind = kinds.get(column.name)
        if kind is None or is_text(kind) or column.name in footer.elsewhere:  # None: in the names of folders
            found[column] = True
        elif column.name in footer.partly_elsewhere:
            found[column] = False
    return found


def _whole(shard: Shard) -> Shard:
    """Return the shard that holds all rows of a shard's row groups, and is named by its file alone."""
    return replace(shard, part=None, nbytes=1, images="")


def _read_paths(whole: Shard, columns: Sequence[Column], options: dict[str, Any]) -> tuple[Paths, bool]:
    """Return the paths of all rows, null in row groups that cannot be read, and whether all could be."""
    wanted = tuple(Column(column.name, AS_PATH, Kind.TEXT) for column in columns)
    schema = pa.schema([(column.name, pa.large_binary()) for column in wanted])
    starts = dict(zip(whole.row_groups, accumulate((0, *whole.group_rows)), strict=False))
    rows, is_complete = schema.empty_table(), True
    for batch in read_batches(whole, wanted, options, ROWS):
        if isinstance(batch, pa.RecordBatch):
            rows = pa.concat_tables([rows, pa.Table.from_batches([batch], schema)])
        else:
            nulls = pa.nulls(batch.rows or 0, pa.large_binary())
            before = rows.slice(0, starts[batch.row_group or 0])
            rows, is_complete = pa.concat_tables([before, pa.table([nulls] * len(wanted), schema)]), False
    return {name: rows[name].combine_chunks() for name in schema.names}, is_complete


def _uris(shard: Shard, columns: Sequence[Column], paths: Paths) -> Uris:
    found: dict[str, list[str | None]] = {}
    for column in columns:
        own = paths[column.name].slice(shard.part.start, len(shard.part)) if shard.part else paths[column.name]
        places = ImagePlaces(shard.file, column.allow)
        found[column.name] = [None if path is None else _uri(places, path) for path in own.to_pylist()]
    return found


def _uri(places: ImagePlaces, path: bytes) -> str:
    try:
        return places.uri(os.fsdecode(path))
    except ImagePathError:
        return ""


def _digest(shard: Shard, columns: Mapping[Column, bool], uris: Uris, versions: Mapping[str, str]) -> str:
    """Return a digest of the versions of a shard's images, empty where there are none.

    Rows that have bytes, and a path beside them that leads nowhere, are left out with those that lack both.
    """
    digest, names_any = hashlib.sha256(shard.digest.encode()), False
    for column, are_all in columns.items():
        for row, uri in enumerate(uris[column.name]):
            version = None if uri is None else versions.get(uri, REFUSED)
            if version and (are_all or version != GONE):
                digest.update(f"{column.name}:{row}:{version}\n".encode())
                names_any = True
    return digest.hexdigest()[:24] if names_any else ""
