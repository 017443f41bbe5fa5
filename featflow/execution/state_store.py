"""The states of an output: where they are, which are missing, what must fit into memory to make them.

A state is a file whose path says what it is:
``states/<summary>/<spec digest>/<shard digest or merged-...>.arrow``. Beside them
lies what is known to be unreadable.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

from featflow.dataset.batches import batch_rows
from featflow.dataset.dataset import Quarantined, Shard
from featflow.errors import ConfigurationError
from featflow.execution.merge_tree import levels, subtree_level, subtrees
from featflow.storage.store import Store
from featflow.summaries import Summarizer, digest

__all__ = [
    "COLUMNS_AT_ONCE",
    "QUARANTINE",
    "AnySummarizer",
    "StateIndex",
    "StateReferences",
    "check_sizes",
    "codebook_path",
    "folder",
    "frozen_path",
    "load",
    "load_all",
    "missing",
    "path",
    "quarantine",
    "readable",
    "task_bytes",
]

WORKING_COPIES = 4
"""States alive in a task at once: the running one, a batch's, the merged one, and its serialized form."""

BATCH_COPIES = 6
"""A batch as Arrow, as float64, as a mask, and in products."""


COLUMNS_AT_ONCE = 512
"""Columns of a block, and of a task that takes several: a batch of more has too few rows."""

REQUESTS_AT_ONCE = 8
"""Folders listed, or small states read, at once."""

SMALL_BYTES = 64 * 2**20
"""States that may be held together whatever the budget."""

QUARANTINE = "states/quarantine"

AnySummarizer = Summarizer[Any]


class StateReferences:
    """The states that a run rests on: specs, and the shards of which it took theirs."""

    def __init__(self) -> None:
        self._folders: dict[tuple[Shard, ...], set[str]] = {}

    def add(self, specs: Sequence[AnySummarizer], shards: Sequence[Shard]) -> None:
        """Note that a run takes the states of some specs, of these shards and of what they are merged into."""
        self._folders.setdefault(tuple(shards), set()).update(folder(spec) for spec in specs)

    def public(self) -> list[dict[str, list[str]]]:
        """Return it as JSON values: folders, and the names of states in them: of shards, and of some merged."""
        used = self._folders.items()
        return [{"folders": sorted(folders), "names": _names(shards)} for shards, folders in used if folders and shards]


def _names(shards: Sequence[Shard]) -> list[str]:
    """Return the names of a spec's states: of the shards, and of what they are merged into."""
    merged = (name for nodes in levels(shards) for _, name in nodes)
    return list(dict.fromkeys([*(shard.digest for shard in shards), *merged]))


class StateIndex:
    """The states of an output. Each folder is listed once; who makes states adds them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[str, set[str]] = {}

    def names(self, specs: Sequence[AnySummarizer]) -> list[set[str]]:
        """Return the names of each spec's states, always the same sets."""
        folders = [folder(spec) for spec in specs]
        unknown = [each for each in dict.fromkeys(folders) if each not in self._names]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for each, found in zip(unknown, pool.map(self._store.names, unknown), strict=True):
                self._names[each] = {name.removesuffix(".arrow") for name in found if name.endswith(".arrow")}
        return [self._names[each] for each in folders]


def path(summarizer: AnySummarizer, name: str) -> str:
    """Return the path of a state by its name."""
    return f"{folder(summarizer)}/{name}.arrow"


def folder(summarizer: AnySummarizer) -> str:
    """Return the folder of a spec's states."""
    return f"states/{summarizer.name}/{digest(summarizer)}"


def load(store: Store, summarizer: AnySummarizer, name: str) -> Any:
    """Return a state by its name."""
    return summarizer.state.from_arrow(store.read_arrow(path(summarizer, name)))


def load_all(store: Store, summarizer: AnySummarizer, names: Sequence[str]) -> Iterator[Any]:
    """Yield states in the order of their names, read several at once where all together are small."""
    one = partial(load, store, summarizer)
    if summarizer.nbytes() * len(names) > SMALL_BYTES:
        yield from map(one, names)
        return
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        yield from pool.map(one, names)


def task_bytes(specs: Sequence[AnySummarizer]) -> int:
    """Return the memory of a task that computes these specs from a shard: states, and a batch of their columns."""
    columns = {column for spec in specs for column in spec.columns}
    batch = BATCH_COPIES * 8 * batch_rows(columns) * len(columns)
    return WORKING_COPIES * sum(spec.nbytes() for spec in specs) + batch + sum(spec.worker.nbytes for spec in specs)


def missing(
    present: StateIndex, shards: Sequence[Shard], specs: Sequence[AnySummarizer], shard_bytes: int
) -> list[tuple[tuple[Shard, ...], str, list[int]]]:
    """Return the spans of shards that lack a state: their shards, the name of their states, which specs lack it.

    Parameters
    ----------
    shard_bytes
        Bytes of a shard: of specs of one kind whose states weigh more, each has a state for several shards.
    """
    there = present.names(specs)
    kinds: Counter[str] = Counter()
    for spec in specs:
        kinds[spec.name] += spec.nbytes()
    heights = [0 if spec.by_shard else subtree_level(kinds[spec.name], shard_bytes, len(shards)) for spec in specs]
    found = []
    for height in sorted(set(heights)):
        for span, name in subtrees(shards, height):
            lacking = [i for i, names in enumerate(there) if heights[i] == height and name not in names]
            if lacking:
                found.append((span, name, lacking))
    return found


def check_sizes(specs: Sequence[AnySummarizer], limit: int) -> None:
    """Raise ConfigurationError if a state cannot fit a task; `summarize_shards` calls it before it reads."""
    for spec in specs:
        if spec.nbytes() > limit:
            times = math.ceil(10 * spec.nbytes() / limit) / 10
            raise ConfigurationError(
                f"budget.memory: one {spec.name} state of {len(spec.columns)} columns takes "
                f"{spec.nbytes() / 2**20:,.0f} MiB and a task may hold {limit / 2**20:,.0f} MiB; "
                f"raise budget.memory {times} times or {spec.remedy}"
            )


def quarantine(store: Store, shard: str, specs: Sequence[AnySummarizer], unreadable: Sequence[Quarantined]) -> None:
    """Note what of the shard with this digest cannot be read in the columns of these specs."""
    entries = json.dumps([asdict(entry) for entry in unreadable])
    store.write(f"{_quarantine(specs)}/{shard}.json", entries.encode())


def readable(
    store: Store, shards: Sequence[Shard], specs: Sequence[AnySummarizer]
) -> tuple[list[Shard], list[Quarantined]]:
    """Return the shards less the row groups known to be unreadable in the columns of these specs, and those."""
    folder_name = _quarantine(specs)
    known = set(store.names(folder_name))
    kept, found = [], []
    for shard in shards:
        while (name := f"{shard.digest}.json") in known:
            entries = [Quarantined(**entry) for entry in json.loads(store.read(f"{folder_name}/{name}"))]
            found += entries
            shard = shard.without({entry.row_group for entry in entries if entry.row_group is not None})  # noqa: PLW2901
        if shard.row_groups:
            kept.append(shard)
    return kept, found


def _quarantine(specs: Sequence[AnySummarizer]) -> str:
    """Return the folder of what cannot be read of some columns; other columns of the same rows may be sound."""
    columns = sorted({repr(column) for spec in specs for column in spec.columns})
    return f"{QUARANTINE}/{hashlib.sha256(repr(columns).encode()).hexdigest()[:24]}"


def frozen_path(digest: str) -> str:
    """Return where what a transform has fitted to data is."""
    return f"states/frozen/{digest}.arrow"


def codebook_path(digest: str) -> str:
    """Return where a codebook is."""
    return f"states/codebook/{digest}.arrow"
