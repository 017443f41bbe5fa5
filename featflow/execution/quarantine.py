"""Row groups that cannot be read: notes of them, and how they are looked at again.

A note names the row groups that a shard lost in some columns; their other columns may be readable. Every run reads
again what notes name, so that a fault that passes costs one night. Notes lie at
``states/quarantine/<columns digest>/<shard digest>.json``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from featflow.columns.column import Column
from featflow.dataset.dataset import Quarantined, Shard
from featflow.errors import DamagedError
from featflow.execution import progress
from featflow.execution.derived_columns import file_columns
from featflow.execution.engines.base import Engine, Resources
from featflow.execution.progress import Reporter
from featflow.execution.quarantine_notes import FOLDER, LOOKS, Look, is_readable
from featflow.execution.state_store import AnySummarizer, batch_bytes
from featflow.storage.records.quarantine import read_unreadable
from featflow.storage.store import Store

__all__ = ["Note", "columns_of", "look_again", "noted", "readable", "write"]


@dataclass(frozen=True, slots=True)
class Note:
    """What a shard lost."""

    path: str
    """Path below the output."""
    shard: Shard
    """With the row groups that the note names."""
    entries: tuple[Quarantined, ...]
    """The row groups."""
    columns: tuple[Column, ...]
    """Columns of files in which they cannot be read."""


def columns_of(specs: Sequence[AnySummarizer]) -> tuple[Column, ...]:
    """Return the columns of files that specs read."""
    return file_columns(tuple(dict.fromkeys(column for spec in specs for column in spec.columns)))


def write(store: Store, shard: str, specs: Sequence[AnySummarizer], entries: Sequence[Quarantined]) -> str:
    """Note the row groups of a shard that cannot be read in the columns of these specs; return the note's path."""
    path = f"{_folder(specs)}/{shard}.json"
    store.write(path, json.dumps([asdict(entry) for entry in entries]).encode())
    return path


def noted(store: Store, shards: Sequence[Shard], specs: Sequence[AnySummarizer]) -> tuple[list[Shard], list[Note]]:
    """Return the shards less the row groups noted as unreadable in the columns of these specs; and the notes."""
    folder, columns = _folder(specs), columns_of(specs)
    known = set(store.names(folder))
    remaining, notes = list[Shard](), list[Note]()
    for shard in shards:
        while (name := f"{shard.digest}.json") in known:
            path = f"{folder}/{name}"
            try:
                entries = tuple(Quarantined(**entry) for entry in read_unreadable(store, path))
            except DamagedError:  # what it named is read again, and noted again
                break
            notes.append(Note(path, shard, entries, columns))
            shard = shard.without({entry.row_group for entry in entries if entry.row_group is not None})  # noqa: PLW2901
        if shard.row_groups:
            remaining.append(shard)
    return remaining, notes


def readable(shards: Sequence[Shard], notes: Sequence[Note]) -> tuple[list[Shard], list[Quarantined]]:
    """Return the shards without parts of row groups that notes name, and each of these row groups once.

    A row group is lost whole, also where it is read in parts and some of them are readable.
    """
    lost: dict[tuple[str, int | None], Quarantined] = {}
    for entry in (entry for note in notes for entry in note.entries):
        lost.setdefault((entry.uri, entry.row_group), entry)
    whole = [shard for shard in shards if not shard.part or (shard.file.uri, *shard.row_groups) not in lost]
    return whole, list(lost.values())


def look_again(store: Store, engine: Engine, reporter: Reporter, notes: Sequence[Note], work: Look) -> bool:
    """Read again what notes name, `LOOKS` row groups and more; take what reads well out; return whether any does."""
    looks = [(note, entry) for note in notes for entry in note.entries if entry.row_group is not None]
    random.shuffle(looks)
    memory = max((batch_bytes(note.columns) for note in notes), default=0)
    recovered: dict[str, set[int | None]] = {}
    for start in range(0, len(looks), LOOKS):
        some = looks[start : start + LOOKS]
        items = [(note.shard.only({entry.row_group}), note.columns) for note, entry in some]
        with progress.stage(reporter, "reading again: row groups in quarantine", len(items)):
            found = list(engine.map(is_readable, work, items, Resources(memory=memory)))
            reporter.advance(0, len(items))
        for (note, entry), reads_well in zip(some, found, strict=True):
            if reads_well:
                recovered.setdefault(note.path, set()).add(entry.row_group)
        if not any(found):
            break
    for note in notes:
        if note.path in recovered:
            _take_out(store, note, recovered[note.path])
    return bool(recovered)


def _take_out(store: Store, note: Note, recovered: Collection[int | None]) -> None:
    """Take row groups out of a note, which goes with the last of them."""
    entries = [asdict(entry) for entry in note.entries if entry.row_group not in recovered]
    if entries:
        store.write(note.path, json.dumps(entries).encode())
    else:
        store.remove(note.path)


def _folder(specs: Sequence[AnySummarizer]) -> str:
    columns = sorted({repr(column) for spec in specs for column in spec.columns})
    return f"{FOLDER}/{hashlib.sha256(repr(columns).encode()).hexdigest()[:24]}"
