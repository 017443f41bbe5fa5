"""Passes over shards: compute the missing states of every span of shards, then merge them into one.

The work of a pass is the set of states that do not exist yet. States are merged in the order
of shards along a tree that depends on places alone, so the same data gives the same bits on any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from featflow.columns.column import Column
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.files import check_as_listed
from featflow.errors import InfrastructureError
from featflow.execution import merge_tree, progress, quarantine, state_store
from featflow.execution.derived_columns import stored_layers
from featflow.execution.engines.base import Resources
from featflow.execution.quarantine import Note
from featflow.execution.quarantine_notes import Look
from featflow.execution.shard_tasks import Item, ShardWork, summarize, summarize_again
from featflow.execution.state_store import AnySummarizer
from featflow.execution.workspace import Workspace
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer

__all__ = [
    "FREE_BYTES",
    "Computed",
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
    workspace: Workspace,
    shards: Sequence[Shard],
    specs: Sequence[AnySummarizer],
    stage: str,
    first: Sequence[AnySummarizer] = (),
) -> Computed:
    """Compute the missing states of all spans of shards, after the stored columns that they read.

    A shard with unreadable row groups gets no state: it is replaced by a shard without them, and the pass goes on.

    Parameters
    ----------
    first
        Specs of the pass that has read all of these shards before, if one has: then none may be unreadable.

    Raises
    ------
    ConfigurationError
        A state does not fit ``budget.memory``; nothing was read.
    InfrastructureError
        A row group that the first pass read cannot be read any more. The first pass of the next run looks at it again,
        and goes on without it if it must.
    """
    before = stored_before(specs, shards)
    groups: list[Sequence[AnySummarizer]] = [*before, specs]
    stages = [f"columns: {', '.join(sorted({spec.transform.kind for spec in group}))}" for group in before]
    for group in groups:
        state_store.check_sizes(group, workspace.state_bytes)
    remaining, quarantined, computed = list(shards), list[Quarantined](), set[str]()
    if not first:
        remaining, quarantined = _readable_again(workspace, remaining, groups)
    # A shard that loses an unreadable row group is another shard without states: repeat until all could be read.
    while lost := _make_all(workspace, remaining, list(zip(groups, [*stages, stage], strict=True)), computed):
        specs_of_notes, entries_by_shard = lost
        for digest, entries in entries_by_shard.items():
            workspace.looked_at.add(quarantine.write(workspace.store, digest, first or specs_of_notes, entries))
        if first:
            entry = next(iter(entries_by_shard.values()))[0]
            raise InfrastructureError(
                f"{entry.uri}: row group {entry.row_group} became unreadable during the run ({entry.detail}); run again"
            )
        remaining, unreadable = quarantine.readable(*_noted(workspace.store, remaining, groups))
        quarantined += unreadable
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
    return quarantine.readable(*_noted(store, shards, [*stored_before(specs, shards), tuple(specs)]))[0]


def _noted(
    store: Store, shards: Sequence[Shard], groups: Sequence[Sequence[AnySummarizer]]
) -> tuple[list[Shard], list[Note]]:
    remaining, notes = list(shards), list[Note]()
    for specs in groups[::-1]:
        remaining, found = quarantine.noted(store, remaining, specs)
        notes += found
    return remaining, notes


def _readable_again(
    workspace: Workspace, shards: Sequence[Shard], groups: Sequence[Sequence[AnySummarizer]]
) -> tuple[list[Shard], list[Quarantined]]:
    """Return readable shards, and noted row groups, after a look at those that earlier runs noted."""
    remaining, notes = _noted(workspace.store, shards, groups)
    earlier = [note for note in notes if note.path not in workspace.looked_at]
    workspace.looked_at.update(note.path for note in earlier)
    work = Look(workspace.source_options)
    if quarantine.look_again(workspace.store, workspace.engine, workspace.progress, earlier, work):
        remaining, notes = _noted(workspace.store, shards, groups)
    return quarantine.readable(remaining, notes)


Lost = tuple[Sequence[AnySummarizer], dict[str, list[Quarantined]]]
"""Specs, and the row groups that cannot be read in their columns, by shard."""


def _make_all(
    workspace: Workspace,
    shards: Sequence[Shard],
    groups: Sequence[tuple[Sequence[AnySummarizer], str]],
    computed: set[str],
) -> Lost | None:
    """Compute the missing states of groups of specs, one after the other; stop where row groups cannot be read."""
    for specs, stage in groups:
        if lost := _make_states(workspace, shards, specs, stage, computed):
            return specs, lost
    return None


def _make_states(
    workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str, computed: set[str]
) -> dict[str, list[Quarantined]]:
    """Compute missing states; return the row groups that cannot be read, by shard.

    Parameters
    ----------
    computed
        Digests of the shards that were read; those read here are added.
    """
    store, present, lost = workspace.store, workspace.present.names(specs), dict[str, list[Quarantined]]()
    shard_bytes = max(workspace.shard_bytes, FREE_BYTES)
    items = [
        Item(span, name, group)
        for span, name, missing in state_store.missing(workspace.present, shards, specs, shard_bytes)
        for group in _task_groups(specs, missing, workspace.state_bytes)
    ]
    if not items:
        return {}
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
            for shard in item.shards:
                check_as_listed(shard.file, workspace.source_options)
            for digest, entries in unreadable.items():
                known = lost.setdefault(digest, [])
                known += [entry for entry in entries if entry.row_group not in {each.row_group for each in known}]
            for i in item.specs if not unreadable else ():
                present[i].add(item.name)
    return lost


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
