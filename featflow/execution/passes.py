"""Passes over shards: compute the missing states of every span of shards, then merge them into one.

The work of a pass is the set of states that do not exist yet. States are merged in the order
of shards along a tree that depends on places alone, so the same data gives the same bits on any engine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

from featflow.columns.column import Column
from featflow.dataset.dataset import Quarantined, Shard
from featflow.execution import merge_tree, progress, state_store
from featflow.execution.derived_columns import stored_layers
from featflow.execution.engines.base import Engine, Resources
from featflow.execution.progress import Reporter
from featflow.execution.shard_tasks import Item, ShardWork, summarize, summarize_again
from featflow.execution.state_store import AnySummarizer
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer

__all__ = [
    "FREE_BYTES",
    "Computed",
    "Workspace",
    "merge",
    "merge_states",
    "readable",
    "stored_before",
    "summarize_shards",
]

FREE_BYTES = 64 * 2**20
"""Bytes of states that are written for each shard, however small it is. So a night over small files computes its own
shard's states and no others'; states of large specs are made for several shards at once, which keeps storage small."""


@dataclass(frozen=True)
class Workspace:
    """Storage, engine and limits of a run."""

    store: Store
    """The output, which holds states and runs."""
    engine: Engine
    """Maps functions over items."""
    progress: Reporter
    """Is told of stages and steps."""
    state_bytes: int
    """Bytes that the states of one task may take."""
    shard_bytes: int
    """Bytes of a shard, which decide how many shards make one state (`featflow.execution.merge_tree.subtree_level`)."""
    source_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the dataset's filesystem."""
    gpus: float = 0.0
    """Share of a GPU that a task reserves that counts pairs."""
    encoder_gpus: float | None = None
    """Share of a GPU that an actor reserves that encodes images; None takes a whole one where there is any."""
    memory: int = sys.maxsize
    """Bytes of the whole run, `budget.memory`."""
    used: state_store.StateReferences = field(default_factory=state_store.StateReferences)
    """States that the run has used so far, for its manifest."""

    @cached_property
    def present(self) -> state_store.StateIndex:
        """States that exist at the output."""
        return state_store.StateIndex(self.store)


@dataclass(frozen=True)
class Computed:
    """Result of a pass over shards."""

    shards: tuple[Shard, ...]
    """Shards whose states exist: the given ones, less the row groups that could not be read."""
    quarantined: tuple[Quarantined, ...]
    """Row groups that could not be read."""
    computed: frozenset[str]
    """Digests of the shards that were read; states of the others existed."""


# --- shards x summaries ---------------------------------------------------------------------------------------------


def summarize_shards(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str
) -> Computed:
    """Compute the missing states of all spans of shards, after the stored columns that they read.

    A shard with unreadable row groups gets no state: it is replaced by a shard without them, and the pass goes on.

    Raises
    ------
    ConfigurationError
        A state does not fit ``budget.memory``; nothing was read.
    """
    before = stored_before(specs, shards)
    groups: list[Sequence[AnySummarizer]] = [*before, specs]
    stages = [f"columns: {', '.join(sorted({spec.transform.kind for spec in group}))}" for group in before]
    for group in groups:
        state_store.check_sizes(group, workspace.state_bytes)
    remaining, quarantined, computed = list(shards), list[Quarantined](), set[str]()
    # A shard that loses an unreadable row group is another shard without states: repeat until all could be read.
    while True:
        remaining, unreadable = _readable_in_all(workspace.store, remaining, groups)
        quarantined += unreadable
        complete = (
            _make_states(workspace, remaining, *each, computed) for each in zip(groups, [*stages, stage], strict=True)
        )
        if all(complete):
            break
    for group in groups:
        workspace.used.add(group, remaining)
    return Computed(tuple(remaining), tuple(quarantined), frozenset(computed))


def stored_before(specs: Sequence[AnySummarizer], shards: Sequence[Shard]) -> list[tuple[StoredSummarizer, ...]]:
    """Return the specs of stored columns that these specs read, in the order of computing them."""
    rows = max((shard.rows for shard in shards), default=0)
    layers = stored_layers([column for spec in specs for column in spec.columns])
    return [tuple(StoredSummarizer(transform, rows) for transform in layer) for layer in layers]


def readable(store: Store, shards: Sequence[Shard], specs: Sequence[AnySummarizer]) -> list[Shard]:
    """Return the shards less row groups known to be unreadable in columns that the specs or their transforms read."""
    return _readable_in_all(store, list(shards), [*stored_before(specs, shards), tuple(specs)])[0]


def _readable_in_all(
    store: Store, shards: list[Shard], groups: Sequence[Sequence[AnySummarizer]]
) -> tuple[list[Shard], list[Quarantined]]:
    quarantined: list[Quarantined] = []
    for specs in groups[::-1]:
        shards, unreadable = state_store.readable(store, shards, specs)
        quarantined += unreadable
    return shards, quarantined


def _make_states(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str, computed: set[str]
) -> bool:
    """Compute missing states; return whether all shards could be read.

    Parameters
    ----------
    computed
        Digests of the shards that were read; those read here are added.
    """
    store, present, all_readable = workspace.store, workspace.present.names(specs), True
    shard_bytes = max(workspace.shard_bytes, FREE_BYTES)
    items = [
        Item(span, name, group)
        for span, name, missing in state_store.missing(workspace.present, shards, specs, shard_bytes)
        for group in _task_groups(specs, missing, workspace.state_bytes)
    ]
    if not items:
        return True
    memory = max(state_store.task_bytes([specs[i] for i in item.specs]) for item in items)
    work = ShardWork(store, tuple(specs), workspace.source_options)
    with progress.stage(workspace.progress, stage, len(items)):
        if any(spec.worker.resident for spec in specs):
            gpus = workspace.encoder_gpus if any(spec.worker.gpus for spec in specs) else 0.0
            reports = workspace.engine.map_actors(summarize_again, work, items, Resources(gpus, memory, Item.lighter))
        else:
            reports = workspace.engine.map(summarize, work, items, Resources(memory=memory, lighter=Item.lighter))
        for item, unreadable in zip(items, reports, strict=True):
            rows, nbytes = sum(shard.rows for shard in item.shards), sum(shard.nbytes for shard in item.shards)
            workspace.progress.advance(rows, len(item.shards), nbytes)
            computed |= {shard.digest for shard in item.shards}
            all_readable &= not unreadable
            for digest, entries in unreadable.items():
                state_store.quarantine(store, digest, specs, entries)
            for i in item.specs if not unreadable else ():
                present[i].add(item.name)
    return all_readable


def _task_groups(specs: Sequence[AnySummarizer], indices: list[int], limit: int) -> Iterator[tuple[int, ...]]:
    """Cut specs into groups whose states fit one task together, and whose columns a batch can hold in many rows."""
    group: list[int] = []
    columns: set[Column] = set()
    for index in indices:
        wider = columns | set(specs[index].columns)
        narrow = len(wider) <= max(state_store.COLUMNS_AT_ONCE, len(columns), len(specs[index].columns))
        if group and (not narrow or sum(specs[i].nbytes() for i in [*group, index]) > limit):
            yield tuple(group)
            group, wider = [], set(specs[index].columns)
        group.append(index)
        columns = wider
    if group:
        yield tuple(group)


# --- merging --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MergeWork:
    store: Store
    specs: tuple[AnySummarizer, ...]


def merge(workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str) -> list[str]:
    """Merge the states of every spec over all shards; return the name of each spec's merged state."""
    return merge_states(workspace, shards, specs, stage) * len(specs)


def merge_states(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str, level: int | None = None
) -> list[str]:
    """Merge the states of every spec up to a level of the tree, or into one; return the level's names, in order."""
    workspace.used.add(specs, shards)
    work = _MergeWork(workspace.store, tuple(specs))
    tree = merge_tree.levels(shards)[:level]
    present = workspace.present.names(specs)
    missing_by_spec = [_merges_by_level(tree, names) for names in present]
    for nodes, *names_by_spec in zip(tree, *missing_by_spec, strict=True):
        members = {name: group for group, name in nodes}
        items = [(i, members[name], name) for i, names in enumerate(names_by_spec) for name in names]
        memory = max((specs[i].nbytes() for i, *_ in items), default=0) * state_store.WORKING_COPIES
        if items:
            with progress.stage(workspace.progress, stage, len(items)):
                merged = workspace.engine.map(_merge_group, work, items, Resources(memory=memory))
                for (i, _, name), _ in zip(items, merged, strict=True):
                    workspace.progress.advance(0)  # merging goes over states, not rows
                    present[i].add(name)
    return [name for _, name in tree[-1]] if tree else [shard.digest for shard in shards]


def _merges_by_level(tree: list[list[merge_tree.Node]], existing: set[str]) -> list[list[str]]:
    """Return names of states to merge, level by level, lowest first; members of an existing state are not needed."""
    needed = {name for _, name in tree[-1]} if tree else set()
    by_level: list[list[str]] = []
    for nodes in reversed(tree):
        missing = [(members, name) for members, name in nodes if name in needed and name not in existing]
        by_level.append([name for members, name in missing if name not in members])
        needed = {member for members, _ in missing for member in members}
    return by_level[::-1]


def _merge_group(work: _MergeWork, item: tuple[int, tuple[str, ...], str]) -> None:
    index, group, name = item
    spec = work.specs[index]
    state = reduce(lambda whole, part: whole.merge(part), state_store.load_all(work.store, spec, group))
    work.store.write_arrow(state_store.path(spec, name), state.to_arrow())
