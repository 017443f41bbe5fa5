"""The way over shards: every summary of every span of them that is not there yet, then merged into one.

Work is the set of states that are not there yet. States are merged in the order
of shards with a constant fan-in, so the same data gives the same bits on any engine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np

from featflow.columns.batch_cache import CodedBatch
from featflow.columns.column import Column, Kind
from featflow.columns.values import row_weights, weight_faults
from featflow.dataset.batches import batch_rows, read_batches
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.files import check_unchanged
from featflow.dataset.image_batches import image_batches
from featflow.errors import SchemaError
from featflow.execution import merge_tree, progress, state_store
from featflow.execution.engines.base import Engine, Resources
from featflow.execution.progress import Reporter
from featflow.execution.state_store import AnySummarizer
from featflow.storage.store import Store
from featflow.transforms.images.made import MadeColumns

__all__ = ["FREE_BYTES", "Computed", "Workspace", "compute", "merge", "merge_spans"]

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
    """Bytes of a shard, for the shards that make one state (see `featflow.execution.merge_tree.span_level`)."""
    source_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the dataset's filesystem."""
    gpus: float = 0.0
    """Share of a GPU that a task reserves that counts pairs."""
    encoder_gpus: float | None = None
    """Share of a GPU that an actor reserves that encodes images; None takes a whole one where there is any."""
    used: state_store.Used = field(default_factory=state_store.Used)
    """States that the run has taken so far."""

    @cached_property
    def present(self) -> state_store.Present:
        """States that are there already."""
        return state_store.Present(self.store)


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


@dataclass(frozen=True)
class _Item:
    """One task: some specs over a span of shards."""

    shards: tuple[Shard, ...]
    name: str
    """Of the states that it makes."""
    specs: tuple[int, ...]
    parts: int = 1
    """A batch has the usual rows divided by this."""

    def lighter(self) -> _Item:
        """Return the same work in smaller batches."""
        return replace(self, parts=4 * self.parts)


@dataclass(frozen=True)
class _ShardWork:
    store: Store
    specs: tuple[AnySummarizer, ...]
    options: dict[str, Any] = field(repr=False)


def compute(
    workspace: Workspace,
    shards: Sequence[Shard],
    specs: Sequence[AnySummarizer],
    stage: str,
    layers: Sequence[Sequence[AnySummarizer]] = (),
) -> Computed:
    """Make the states of all spans of shards that are not there yet.

    A shard with unreadable row groups leaves no state: it goes on as another shard without them.

    Parameters
    ----------
    layers
        Specs whose states hold columns of ``specs``, and of the layers after them: they are made first, of whatever
        shards go on.

    Raises
    ------
    ConfigurationError
        A state cannot fit ``budget.memory``; nothing was read.
    """
    state_store.check_sizes(specs, workspace.state_bytes)
    shard_bytes = max(workspace.shard_bytes, FREE_BYTES)
    store, remaining, done = workspace.store, list(shards), set[str]()
    quarantined: list[Quarantined] = []
    present = workspace.present.names(specs)
    while True:
        remaining, bad = state_store.sound(store, remaining, specs)
        quarantined += bad
        if layers:
            made = compute(workspace, remaining, layers[-1], f"images: {layers[-1][0].name}", layers[:-1])
            quarantined += made.quarantined
            done |= made.computed
            if made.quarantined:
                remaining = list(made.shards)
                continue
        items = [
            _Item(span, name, group)
            for span, name, lacking in state_store.missing(workspace.present, remaining, specs, shard_bytes)
            for group in _groups(specs, lacking, workspace.state_bytes)
        ]
        if not items:
            break
        memory = max(state_store.task_bytes([specs[i] for i in item.specs]) for item in items)
        work = _ShardWork(store, tuple(specs), workspace.source_options)
        with progress.stage(workspace.progress, stage, len(items)):
            if any(spec.worker.resident for spec in specs):
                gpus = workspace.encoder_gpus if any(spec.worker.gpus for spec in specs) else 0.0
                reports = workspace.engine.map_resident(_again, work, items, Resources(gpus, memory, _Item.lighter))
            else:
                reports = workspace.engine.map(_summarize, work, items, Resources(memory=memory, lighter=_Item.lighter))
            for item, unreadable in zip(items, reports, strict=True):
                rows, nbytes = sum(shard.rows for shard in item.shards), sum(shard.nbytes for shard in item.shards)
                workspace.progress.advance(rows, len(item.shards), nbytes)
                done |= {shard.digest for shard in item.shards}
                for digest, entries in unreadable.items():
                    state_store.quarantine(store, digest, specs, entries)
                for i in item.specs if not unreadable else ():
                    present[i].add(item.name)
    workspace.used.add(specs, remaining)
    return Computed(tuple(remaining), tuple(quarantined), frozenset(done))


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


def _again(work: _ShardWork, item: _Item, attempt: int) -> dict[str, list[Quarantined]]:
    """Do as `_summarize`; where that ended a process, by what specs have for a second attempt."""
    if attempt:
        work = replace(work, specs=tuple(spec.second_attempt() for spec in work.specs))
    return _summarize(work, item)


def _summarize(work: _ShardWork, item: _Item) -> dict[str, list[Quarantined]]:
    """Write the states of a span, or return unreadable row groups by shard and write nothing.

    Raises
    ------
    SchemaError
        Weights are negative, missing or infinite; nothing was written.
    """
    specs = [work.specs[i] for i in item.specs]
    columns = tuple(dict.fromkeys(column for spec in specs for column in spec.columns))
    read = tuple(column for column in columns if not column.made)
    found = [spec.empty() for spec in specs]
    bad: dict[str, list[Quarantined]] = defaultdict(list)
    weight = next((spec.weight for spec in specs if spec.weight), None)
    for shard in item.shards:
        faults = np.zeros(3, np.int64)
        made, start = MadeColumns(work.store, shard.digest, columns), 0
        rows = max(1, batch_rows(columns, shard.nbytes // shard.rows) // item.parts)
        batches = read_batches(shard, read, work.options, rows)
        for batch in image_batches(batches, rows) if any(c.kind is Kind.IMAGE for c in read) else batches:
            if isinstance(batch, Quarantined):
                bad[shard.digest].append(batch)
            elif not bad and batch.num_rows:
                batch, start = made.beside(batch, start), start + batch.num_rows  # noqa: PLW2901
                faults += weight_faults(row_weights(batch, weight))
                if not faults.any():
                    coded = CodedBatch(batch)
                    found = [spec.absorb(state, coded) for spec, state in zip(specs, found, strict=True)]
        check_unchanged(shard.file, work.options)
        if not bad:
            _check_weights(shard, weight, faults)
    if not bad:
        for spec, state in zip(specs, found, strict=True):
            work.store.write_arrow(state_store.path(spec, item.name), state.to_arrow())
    return dict(bad)


def _check_weights(shard: Shard, weight: Column | None, faults: np.ndarray) -> None:
    if weight and faults.any():
        named = zip(faults.tolist(), ("negative", "missing", "infinite"), strict=True)
        said = " and ".join(f"{count} {kind}" for count, kind in named if count)
        raise SchemaError(
            f"{shard.file.uri}: column '{weight.name}' holds {said} weights; "
            "dataset.weight must be finite and not negative"
        )


# --- merging --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MergeWork:
    store: Store
    specs: tuple[AnySummarizer, ...]


def merge(workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str) -> list[str]:
    """Merge the states of every spec; return the name of each spec's whole state."""
    return merge_spans(workspace, shards, specs, stage) * len(specs)


def merge_spans(
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
