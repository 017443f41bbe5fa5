"""Notes of images that storage has, or may have, and did not give: later nights ask for them again.

An image that may not be read today may be read tomorrow, and its version does not tell when.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.column import Column, Kind
from featflow.dataset.image_files import NOT_GIVEN
from featflow.dataset.shards import Shard
from featflow.errors import DamagedError
from featflow.storage.records.not_given import read_not_given
from featflow.storage.store import Store

__all__ = ["FOLDER", "NotGiven", "Place", "given_since"]

FOLDER = "states/not_given"
"""Folder of the notes, each named as `_name` says."""

Place: TypeAlias = tuple[str, int, int]
"""Column, row group, and row in it, or in the part of it that the shard holds."""


@dataclass
class NotGiven:
    """The images of a shard that storage did not give, noted while the shard is read."""

    shard: Shard
    columns: Sequence[Column]
    """Columns that are read."""
    _places: list[Place] = field(default_factory=list, init=False)

    def see(self, batch: pa.RecordBatch, start: int) -> None:
        """Note the images of a batch that were not given.

        Parameters
        ----------
        start
            Place of the batch's first row in the shard.
        """
        starts = [0, *accumulate(self.shard.group_rows)]
        for column in self.columns:
            if column.kind is Kind.IMAGE:
                lacking = pc.indices_nonzero(pc.starts_with(batch.column(column.name).field("error"), NOT_GIVEN))
                for row in (start + index for index in lacking.to_pylist()):
                    group = bisect_right(starts, row) - 1
                    self._places.append((column.name, self.shard.row_groups[group], row - starts[group]))

    def save(self, store: Store) -> None:
        """Write the note, if there is anything in it. It must be there before the states that lack the images."""
        if self._places:
            keys = ("column", "row_group", "row")
            entries = [{"uri": self.shard.file.uri} | dict(zip(keys, place, strict=True)) for place in self._places]
            store.write(f"{FOLDER}/{_name(self.shard)}.json", json.dumps(entries).encode())


def given_since(store: Store, names: set[str], shard: Shard, given: Callable[[Place], str | None]) -> Shard:
    """Return a shard, as another one where storage gives images by now that it did not give when states were made.

    Parameters
    ----------
    names
        Names of the files in `FOLDER`.
    given
        Returns the URI of a row's image if storage gives it; else None.
    """
    while (name := f"{_name(shard)}.json") in names:
        found: list[str] | None = None
        with suppress(FileNotFoundError, DamagedError):
            entries = read_not_given(store, f"{FOLDER}/{name}")
            places = ((each["column"], each["row_group"], each["row"]) for each in entries)
            found = sorted({uri for uri in map(given, places) if uri})
        if found == []:
            break
        # Of a note that cannot be read nothing is known: its shard is made anew.
        digest = hashlib.sha256(repr((name, found)).encode("utf-8", "surrogateescape")).hexdigest()
        shard = replace(shard, images=digest[:24])
    return shard


def _name(shard: Shard) -> str:
    """Return the name of a shard's note, which is that of the shard also less row groups that cannot be read."""
    return shard.images or shard.digest
