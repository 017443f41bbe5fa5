"""Notes of row groups that cannot be read: where they lie, and whether one that they name can be read by now.

Apart from `featflow.execution.quarantine`, which needs what passes need: a night with nothing changed loads this alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from featflow.columns.column import Column
from featflow.dataset.batches import batch_rows, unreadable
from featflow.dataset.shards import Shard
from featflow.storage.store import Store

__all__ = ["FOLDER", "LOOKS", "Look", "any_readable", "forget", "is_readable", "notes"]

FOLDER = "states/quarantine"
NOTE = re.compile(rf"{FOLDER}/[0-9a-f]{{24}}/[0-9a-f]{{24}}\.json")
LOOKS = 16
"""Row groups that a run looks at again, drawn anew each time; it looks at 16 more as long as any of them reads well.
What a disk lost for a moment is found by one look, and lasting damage costs a night no more than reading 16 row groups,
each up to its fault: of 128 MiB, a second."""


@dataclass(frozen=True)
class Look:
    """What all looks at row groups share."""

    options: dict[str, Any] = field(repr=False)
    """Options of the dataset's filesystem."""


def is_readable(work: Look, item: tuple[Shard, tuple[Column, ...]]) -> bool:
    """Return whether all of a shard can be read in some columns."""
    shard, columns = item
    return not unreadable(shard, columns, work.options, batch_rows(columns, shard.nbytes // max(shard.rows, 1)))


def any_readable(shards: Sequence[Shard], columns: tuple[Column, ...], options: dict[str, Any]) -> bool:
    """Return whether any of `LOOKS` shards, drawn anew each time, can be read."""
    drawn = random.sample(list(shards), min(LOOKS, len(shards)))
    return any(is_readable(Look(options), (shard, columns)) for shard in drawn)


def notes(store: Store) -> dict[str, int]:
    """Return the bytes of all notes, by path below the output."""
    return {path: nbytes for path, nbytes in store.sizes(FOLDER).items() if NOTE.fullmatch(path)}


def forget(store: Store) -> None:
    """Remove all notes: what they name is read again as if it was new."""
    for path in notes(store):
        store.remove(path)
