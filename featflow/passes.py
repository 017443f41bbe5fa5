"""The two ways over data: shards x summaries, and block pairs over codes.

Work is the set of states that are not there yet. States are merged in the order
of shards with a constant fan-in, so the same data gives the same bits on any engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from featflow import progress, states
from featflow.binning import row_weights, weight_faults
from featflow.coding import CodedBatch
from featflow.columns import Column
from featflow.dataset import Quarantined, Shard
from featflow.engines.base import Engine, Resources
from featflow.errors import SchemaError
from featflow.progress import Reporter
from featflow.reading import batch_rows, read_batches
from featflow.states import AnySummarizer
from featflow.storage import Store, check_unchanged
from featflow.summaries import (
    CodesSummarizer,
    KeptCounts,
    KeptCountsSummarizer,
    MomentsSummarizer,
    PairCountsSummarizer,
    Summary,
    absorb,
)

__all__ = ["Computed", "Workspace", "compute", "count_pairs", "look_again", "merge", "whole_name"]

Result = TypeVar("Result")

FAN_IN = 8
"""States merged by one task."""


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
    source_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the dataset's filesystem."""


@dataclass(frozen=True)
class Computed:
    """What a pass over shards left behind."""

    shards: tuple[Shard, ...]
    """Shards whose partial states exist: those given, less what could not be read."""
    quarantined: tuple[Quarantined, ...]
    """Row groups that could not be read."""
    computed: frozenset[str]
    """Digests of the shards that were read; the others were found."""


# --- shards x summaries ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ShardWork:
    store: Store
    specs: tuple[AnySummarizer, ...]
    options: dict[str, Any] = field(repr=False)


def compute(workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str) -> Computed:
    """Make the partial states of all shards that are not there yet.

    A shard with unreadable row groups leaves no state: it goes on as another shard without them.

    Raises
    ------
    ConfigurationError
        A state cannot fit ``budget.memory``; nothing was read.
    """
    states.check_sizes(specs, workspace.state_bytes)
    store, remaining, done = workspace.store, list(shards), set[str]()
    quarantined: list[Quarantined] = []
    while True:
        remaining, bad = states.sound(store, remaining, specs)
        quarantined += bad
        missing = states.missing_partials(store, remaining, specs)
        if not missing:
            break
        items = [
            (shard, group) for shard, indices in missing for group in _groups(specs, indices, workspace.state_bytes)
        ]
        memory = max((states.task_bytes([specs[i] for i in group]) for _, group in items), default=0)
        work = _ShardWork(store, tuple(specs), workspace.source_options)
        with progress.stage(workspace.progress, stage, len(items)):
            reports = workspace.engine.map(_summarize_shard, work, items, Resources(memory=memory))
            for (shard, _), unreadable in zip(items, reports, strict=True):
                workspace.progress.advance(shard.rows)
                done.add(shard.digest)
                if unreadable:
                    states.quarantine(store, shard, specs, unreadable)
    return Computed(tuple(remaining), tuple(quarantined), frozenset(done))


def _groups(specs: Sequence[AnySummarizer], indices: list[int], limit: int) -> Iterator[tuple[int, ...]]:
    """Cut specs into groups whose states fit one task together."""
    group: list[int] = []
    for index in indices:
        if group and sum(specs[i].nbytes() for i in [*group, index]) > limit:
            yield tuple(group)
            group = []
        group.append(index)
    if group:
        yield tuple(group)


def _summarize_shard(work: _ShardWork, item: tuple[Shard, tuple[int, ...]]) -> list[Quarantined]:
    """Write the partial states of one shard, or return its unreadable row groups and write nothing.

    Raises
    ------
    SchemaError
        Weights are negative, missing or infinite; nothing was written.
    """
    shard, indices = item
    specs = [work.specs[i] for i in indices]
    columns = tuple(dict.fromkeys(column for spec in specs for column in spec.columns))
    made = [spec.empty() for spec in specs]
    bad: list[Quarantined] = []
    weight = next((spec.weight for spec in specs if isinstance(spec, MomentsSummarizer)), None)  # pass 1 sees them all
    faults = np.zeros(3, np.int64)
    for batch in read_batches(shard, columns, work.options, batch_rows(len(columns))):
        if isinstance(batch, Quarantined):
            bad.append(batch)
        elif not bad and batch.num_rows:
            faults += weight_faults(row_weights(batch, weight))
            if not faults.any():
                coded = CodedBatch(batch)
                made = [absorb(spec, state, coded) for spec, state in zip(specs, made, strict=True)]
    check_unchanged(shard.file, work.options)
    if not bad:
        _check_weights(shard, weight, faults)
        for spec, state in zip(specs, made, strict=True):
            work.store.write_arrow(states.path(spec, shard.digest), state.to_arrow())
    return bad


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
    codes: tuple[CodesSummarizer, ...] = ()
    """For pair counts: the specs of the codes that the first level counts."""


def merge(workspace: Workspace, shards: Sequence[Shard], specs: Sequence[AnySummarizer], stage: str) -> list[str]:
    """Merge the partial states of every spec; return the name of each spec's whole state."""
    return _tree(workspace, _MergeWork(workspace.store, tuple(specs)), [shard.digest for shard in shards], stage)


def count_pairs(
    workspace: Workspace,
    shards: Sequence[Shard],
    codes: Sequence[CodesSummarizer],
    specs: Sequence[PairCountsSummarizer],
    stage: str,
) -> list[str]:
    """Count every block pair over the shards' codes; return the name of each whole state."""
    states.check_sizes(specs, workspace.state_bytes)
    work = _MergeWork(workspace.store, tuple(specs), tuple(codes))
    return _tree(workspace, work, [shard.digest for shard in shards], stage)


def _tree(workspace: Workspace, work: _MergeWork, leaves: list[str], stage: str) -> list[str]:
    existing = [states.existing(work.store, spec) for spec in work.specs]
    memory = max((spec.nbytes() for spec in work.specs), default=0) * states.WORKING_COPIES
    level, first = leaves, bool(work.codes)
    while len(level) > 1 or first:
        pairs = _level(level, merge_one=first)
        items = [(i, g, n) for i, found in enumerate(existing) for g, n in pairs if n not in found and n not in g]
        if items:
            step = _MergeWork(work.store, work.specs, work.codes if first else ())
            with progress.stage(workspace.progress, stage, len(items)):
                for rows in workspace.engine.map(_merge_group, step, items, Resources(memory=memory)):
                    workspace.progress.advance(rows if first else 0)  # merging goes over states, not rows
        level, first = [name for _, name in pairs], False
    return level * len(work.specs)


def whole_name(leaves: list[str]) -> str:
    """Return the name of the state that `merge` leaves for these shards."""
    while len(leaves) > 1:
        leaves = [name for _, name in _level(leaves, merge_one=False)]
    return leaves[0]


def _level(members: list[str], *, merge_one: bool) -> list[tuple[tuple[str, ...], str]]:
    """Return the groups of one level of the tree and the names of what they give."""
    groups = [tuple(members[i : i + FAN_IN]) for i in range(0, len(members), FAN_IN)]
    return [(group, _merged_name(group) if len(group) > 1 or merge_one else group[0]) for group in groups]


def _merged_name(group: tuple[str, ...]) -> str:
    return "merged-" + hashlib.sha256("\n".join(group).encode()).hexdigest()[:24]


def _merge_group(work: _MergeWork, item: tuple[int, tuple[str, ...], str]) -> int:
    index, group, name = item
    spec = work.specs[index]
    state: Any = spec.empty()
    for member in group:
        for piece in _leaf(work, spec, member):
            state = state.merge(piece)
    work.store.write_arrow(states.path(spec, name), state.to_arrow())
    return int(state.rows)


def look_again(
    workspace: Workspace,
    shards: Sequence[Shard],
    codes: Sequence[CodesSummarizer],
    specs: Sequence[KeptCountsSummarizer],
    measure: Callable[[KeptCountsSummarizer, KeptCounts], Result],
) -> Iterator[Result]:
    """Yield what a measure says of every spec's counts over all codes; nothing is stored."""
    memory = max((spec.nbytes() for spec in specs), default=0) * states.WORKING_COPIES
    work = _LookWork(_MergeWork(workspace.store, (), tuple(codes)), tuple(shard.digest for shard in shards), measure)
    return workspace.engine.map(_look, work, list(specs), Resources(memory=memory))


@dataclass(frozen=True)
class _LookWork:
    merging: _MergeWork
    shards: tuple[str, ...]
    measure: Callable[[Any, Any], Any]


def _look(work: _LookWork, spec: KeptCountsSummarizer) -> Any:
    state: Any = spec.empty()
    for shard in work.shards:
        for piece in _leaf(work.merging, spec, shard):
            state = state.merge(piece)
    return work.measure(spec, state)


def _leaf(work: _MergeWork, spec: Any, name: str) -> Iterator[Summary]:
    """Yield what to merge: a stored state, or counts of a shard's codes made piece by piece."""
    if not work.codes:
        yield states.load(work.store, spec, name)
        return
    wanted = [(codes, [field for field in codes.fields if field in spec.fields]) for codes in work.codes]
    files = [(states.path(codes, name), fields) for codes, fields in wanted if fields]
    for batches in zip(*(work.store.read_arrow_batches(*file) for file in files), strict=True):
        arrays = {
            field: array for batch in batches for field, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        yield spec.summarize(pa.record_batch(arrays))
