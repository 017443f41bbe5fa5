"""The way over shards: every summary of every span of them that is not there yet, then merged into one.

Work is the set of states that are not there yet. States are merged in the order
of shards with a constant fan-in, so the same data gives the same bits on any engine.
"""

from __future__ import annotations

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
"""Bytes of states that are worth writing whatever the shard."""


@dataclass(frozen=True)
class Workspace:
    """Where a run's work happens."""

    store: Store
    """Output: states and runs."""
    engine: Engine
    """What maps functions over items."""
    progress: Reporter
    """Who is told."""
    state_bytes: int
    """Bytes that the states of one task may take."""
    shard_bytes: int
    """Bytes of a shard, for the shards that make one state (see `featflow.execution.merge_tree.subtree_level`)."""
    source_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the dataset's filesystem."""
    gpus: float = 0.0
    """Share of a GPU that a task reserves that counts pairs."""
    encoder_gpus: float | None = None
    """Share of a GPU that an actor reserves that encodes images; None takes a whole one where there is any."""
    used: state_store.StateReferences = field(default_factory=state_store.StateReferences)
    """States that the run has taken so far."""

    @cached_property
    def present(self) -> state_store.StateIndex:
        """States that are there already."""
        return state_store.StateIndex(self.store)


@dataclass(frozen=True)
class Computed:
    """What a pass over shards left behind."""

    shards: tuple[Shard, ...]
    """Shards whose states exist: those given, less what could not be read."""
    quarantined: tuple[Quarantined, ...]
    """Row groups that could not be read."""
    computed: frozenset[str]
    """Digests of the shards that were read; the others were found."""


# --- shards x summaries ---------------------------------------------------------------------------------------------


def summarize_shards(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str
) -> Computed:
    """Make the states of all spans of shards that are not there yet, and before them the stored columns that they read.

    A shard with unreadable row groups leaves no state: it goes on as another shard without them.

    Raises
    ------
    ConfigurationError
        A state cannot fit ``budget.memory``; nothing was read.
    """
    before = stored_before(specs, shards)
    groups: list[Sequence[AnySummarizer]] = [*before, specs]
    stages = [f"columns: {', '.join(sorted({spec.transform.kind for spec in some}))}" for some in before]
    for some in groups:
        state_store.check_sizes(some, workspace.state_bytes)
    remaining, quarantined, done = list(shards), list[Quarantined](), set[str]()
    while True:
        remaining, bad = _readable(workspace.store, remaining, groups)
        quarantined += bad
        made = (_make(workspace, remaining, *each, done) for each in zip(groups, [*stages, stage], strict=True))
        if all(made):
            break
    for some in groups:
        workspace.used.add(some, remaining)
    return Computed(tuple(remaining), tuple(quarantined), frozenset(done))


def stored_before(specs: Sequence[AnySummarizer], shards: Sequence[Shard]) -> list[tuple[StoredSummarizer, ...]]:
    """Return the specs whose states hold columns that these read, those first that need no other."""
    rows = max((shard.rows for shard in shards), default=0)
    layers = stored_layers([column for spec in specs for column in spec.columns])
    return [tuple(StoredSummarizer(transform, rows) for transform in layer) for layer in layers]


def readable(store: Store, shards: Sequence[Shard], specs: Sequence[AnySummarizer]) -> list[Shard]:
    """Return the shards less what is known to be unreadable, in what the specs read or what that is made of."""
    return _readable(store, list(shards), [*stored_before(specs, shards), tuple(specs)])[0]


def _readable(
    store: Store, shards: list[Shard], groups: Sequence[Sequence[AnySummarizer]]
) -> tuple[list[Shard], list[Quarantined]]:
    found: list[Quarantined] = []
    for some in groups[::-1]:
        shards, bad = state_store.readable(store, shards, some)
        found += bad
    return shards, found


def _make(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str, done: set[str]
) -> bool:
    """Make the states that are not there yet; return whether all shards could be read.

    Parameters
    ----------
    done
        Digests of the shards that were read; gets more.
    """
    store, present, readable = workspace.store, workspace.present.names(specs), True
    shard_bytes = max(workspace.shard_bytes, FREE_BYTES)
    items = [
        Item(span, name, group)
        for span, name, lacking in state_store.missing(workspace.present, shards, specs, shard_bytes)
        for group in _groups(specs, lacking, workspace.state_bytes)
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
            done |= {shard.digest for shard in item.shards}
            readable &= not unreadable
            for digest, entries in unreadable.items():
                state_store.quarantine(store, digest, specs, entries)
            for i in item.specs if not unreadable else ():
                present[i].add(item.name)
    return readable


def _groups(specs: Sequence[AnySummarizer], indices: list[int], limit: int) -> Iterator[tuple[int, ...]]:
    """Cut specs into groups whose states fit one task together, of not too many columns."""
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
    """Merge the states of every spec; return the name of each spec's whole state."""
    return merge_states(workspace, shards, specs, stage) * len(specs)


def merge_states(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str, level: int | None = None
) -> list[str]:
    """Merge the states of every spec up to a level of the tree, or into one; return the level's names, in order."""
    workspace.used.add(specs, shards)
    work = _MergeWork(workspace.store, tuple(specs))
    tree = merge_tree.levels(shards)[:level]
    present = workspace.present.names(specs)
    wanted = [_lacking(tree, names) for names in present]
    for nodes, *of_specs in zip(tree, *wanted, strict=True):
        members = {name: group for group, name in nodes}
        items = [(i, members[name], name) for i, names in enumerate(of_specs) for name in names]
        memory = max((specs[i].nbytes() for i, *_ in items), default=0) * state_store.WORKING_COPIES
        if items:
            with progress.stage(workspace.progress, stage, len(items)):
                merged = workspace.engine.map(_merge_group, work, items, Resources(memory=memory))
                for (i, _, name), _ in zip(items, merged, strict=True):
                    workspace.progress.advance(0)  # merging goes over states, not rows
                    present[i].add(name)
    return [name for _, name in tree[-1]] if tree else [shard.digest for shard in shards]


def _lacking(tree: list[list[merge_tree.Node]], existing: set[str]) -> list[list[str]]:
    """Return the states to make, level by level, lowest first: what a state that exists was made of is not needed."""
    wanted = {name for _, name in tree[-1]} if tree else set()
    lacking: list[list[str]] = []
    for nodes in reversed(tree):
        missing = [(members, name) for members, name in nodes if name in wanted and name not in existing]
        lacking.append([name for members, name in missing if name not in members])
        wanted = {member for members, _ in missing for member in members}
    return lacking[::-1]


def _merge_group(work: _MergeWork, item: tuple[int, tuple[str, ...], str]) -> None:
    index, group, name = item
    spec = work.specs[index]
    state = reduce(lambda whole, part: whole.merge(part), state_store.load_all(work.store, spec, group))
    work.store.write_arrow(state_store.path(spec, name), state.to_arrow())
