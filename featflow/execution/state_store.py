"""The states of an output: their paths, which are missing, and how much memory computing them needs.

The path of a state names its content:
``states/<summary>/<spec digest>/<shard digest or merged-...>.arrow``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from featflow.columns.column import Column
from featflow.dataset.batches import batch_rows
from featflow.dataset.dataset import Shard
from featflow.errors import ConfigurationError
from featflow.execution.merge_tree import levels, subtree_level, subtrees
from featflow.storage.records.states import read_state
from featflow.storage.store import Store
from featflow.summaries import Summarizer, digest

__all__ = [
    "COLUMNS_AT_ONCE",
    "AnySummarizer",
    "StateIndex",
    "StateReferences",
    "batch_bytes",
    "check_sizes",
    "folder",
    "load",
    "load_all",
    "missing",
    "path",
    "task_bytes",
]

WORKING_COPIES = 4
"""States alive in a task at once: the running one, a batch's, the merged one, and its serialized form."""
BATCH_COPIES = 6
"""Copies of a batch alive in a task at once: as Arrow, as float64, as a mask, and in products."""
COLUMNS_AT_ONCE = 512
"""Columns of a block, and of a task that takes several blocks: a batch of so many has 16,384 rows, and fewer rows would
be too few for vectorised code."""
REQUESTS_AT_ONCE = 8
"""Folders listed, or small states read, at once: each is a request whose time is a wait for storage."""
SMALL_BYTES = 64 * 2**20
"""Bytes of states that may be held together whatever the budget: it is at least as large."""

AnySummarizer = Summarizer[Any]


class StateReferences:
    """The states that a run uses: folders of specs, and the shards whose states it took."""

    def __init__(self) -> None:
        self._folders: dict[tuple[Shard, ...], set[str]] = {}

    def add(self, specs: Sequence[AnySummarizer], shards: Sequence[Shard]) -> None:
        """Note that a run uses the states of some specs: those of these shards, and those merged from them."""
        self._folders.setdefault(tuple(shards), set()).update(folder(spec) for spec in specs)

    def public(self) -> list[dict[str, list[str]]]:
        """Return JSON values: folders, and the names of the states in them, of shards and merged ones."""
        references = self._folders.items()
        return [
            {"folders": sorted(folders), "names": _names(shards)}
            for shards, folders in references
            if folders and shards
        ]


def _names(shards: Sequence[Shard]) -> list[str]:
    """Return the names of a spec's states: of the shards, and of the states merged from them."""
    merged = (name for nodes in levels(shards) for _, name in nodes)
    return list(dict.fromkeys([*(shard.digest for shard in shards), *merged]))


class StateIndex:
    """The states that exist at an output. Each folder is listed once; code that writes states adds their names."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[str, set[str]] = {}

    def names(self, specs: Sequence[AnySummarizer]) -> list[set[str]]:
        """Return the names of each spec's states; the sets are shared, so that adding a name is seen by all."""
        folders = [folder(spec) for spec in specs]
        unknown = [each for each in dict.fromkeys(folders) if each not in self._names]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for each, files in zip(unknown, pool.map(self._store.names, unknown), strict=True):
                self._names[each] = {name.removesuffix(".arrow") for name in files if name.endswith(".arrow")}
        return [self._names[each] for each in folders]


def path(summarizer: AnySummarizer, name: str) -> str:
    """Return the path of a state by its name."""
    return f"{folder(summarizer)}/{name}.arrow"


def folder(summarizer: AnySummarizer) -> str:
    """Return the folder of a spec's states."""
    return f"states/{summarizer.name}/{digest(summarizer)}"


def load(store: Store, summarizer: AnySummarizer, name: str) -> Any:
    """Return a state by its name."""
    return read_state(store, path(summarizer, name), summarizer.state.from_arrow)


def load_all(store: Store, summarizer: AnySummarizer, names: Sequence[str]) -> Iterator[Any]:
    """Yield states in the order of their names; several are read at once if all of them together are small."""
    load_one = partial(load, store, summarizer)
    if summarizer.nbytes() * len(names) > SMALL_BYTES:
        yield from map(load_one, names)
        return
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        yield from pool.map(load_one, names)


def batch_bytes(columns: Collection[Column]) -> int:
    """Return the bytes that a task needs for a batch of columns."""
    return BATCH_COPIES * 8 * batch_rows(columns) * len(columns)


def task_bytes(specs: Sequence[AnySummarizer]) -> int:
    """Return the bytes that a task needs to compute these specs from a shard: states, and a batch of their columns."""
    columns = {column for spec in specs for column in spec.columns}
    states = WORKING_COPIES * sum(spec.nbytes() for spec in specs)
    return states + batch_bytes(columns) + sum(spec.worker.nbytes for spec in specs)


def missing(
    present: StateIndex, shards: Sequence[Shard], specs: Sequence[AnySummarizer], shard_bytes: int
) -> list[tuple[tuple[Shard, ...], str, list[int]]]:
    """Return the spans of shards without a state: their shards, the name of their states, indices of specs without it.

    Parameters
    ----------
    shard_bytes
        Bytes of a shard. If the states of all specs of one summary weigh more, a state covers several shards.
    """
    names_by_spec = present.names(specs)
    bytes_by_summary: Counter[str] = Counter()
    for spec in specs:
        bytes_by_summary[spec.name] += spec.nbytes()
    spec_levels = [
        0 if spec.by_shard else subtree_level(bytes_by_summary[spec.name], shard_bytes, len(shards)) for spec in specs
    ]
    spans = []
    for level in sorted(set(spec_levels)):
        for span, name in subtrees(shards, level):
            indices = [i for i, names in enumerate(names_by_spec) if spec_levels[i] == level and name not in names]
            if indices:
                spans.append((span, name, indices))
    return spans


def check_sizes(specs: Sequence[AnySummarizer], limit: int) -> None:
    """Raise ConfigurationError if a state does not fit a task; `summarize_shards` calls this before it reads."""
    for spec in specs:
        if spec.nbytes() > limit:
            times = math.ceil(10 * spec.nbytes() / limit) / 10
            raise ConfigurationError(
                f"budget.memory: one {spec.name} state of {len(spec.columns)} columns takes "
                f"{spec.nbytes() / 2**20:,.0f} MiB and a task may hold {limit / 2**20:,.0f} MiB; "
                f"raise budget.memory {times} times or {spec.remedy}"
            )
