"""The two ways over data: shards x summaries, and block pairs over codes.

A state is a file whose path says what it is:
``states/<summary>/<spec digest>/<shard digest or merged-...>.arrow``. Work is
the set of files that are not there yet. States are merged in the order of
shards with a constant fan-in, so the same data gives the same bits on any engine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from featflow import progress
from featflow.dataset import Quarantined, Shard
from featflow.engines.base import Engine, Resources
from featflow.errors import ConfigurationError
from featflow.progress import Reporter
from featflow.reading import batch_rows, read_batches
from featflow.storage import Store, check_unchanged
from featflow.summaries import CodesSummarizer, PairCountsSummarizer, Summarizer, Summary, digest

__all__ = [
    "Computed",
    "Workspace",
    "check_sizes",
    "compute",
    "count_pairs",
    "load",
    "merge",
    "missing_partials",
    "sound",
    "task_bytes",
    "whole_name",
]

FAN_IN = 8
"""States merged by one task."""
WORKING_COPIES = 4
"""States alive in a task at once: the running one, a batch's, the merged one, and its serialized form."""
BATCH_COPIES = 6
"""A batch as Arrow, as float64, as a mask, and in products."""
QUARANTINE = "states/quarantine"
REMEDIES = {
    "codes": "lower dataset.shard_bytes, or write smaller row groups",
    "levels": "lower codebook.levels, or exclude columns",
    "pair_counts": "lower codebook.pair_bins",
    "quantiles": "lower codebook.cells, or exclude columns",
    "target_counts": "lower codebook.bins or codebook.pair_bins, or exclude columns",
}
"""What makes a state smaller, beside more memory."""

AnySummarizer = Summarizer[Any]


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


def folder(summarizer: AnySummarizer) -> str:
    """Return the folder of a spec's states."""
    return f"states/{summarizer.name}/{digest(summarizer)}"


def load(store: Store, summarizer: AnySummarizer, name: str) -> Any:
    """Return a state by its name."""
    return type(summarizer.empty()).from_arrow(store.read_arrow(f"{folder(summarizer)}/{name}.arrow"))


def task_bytes(specs: Sequence[AnySummarizer]) -> int:
    """Return the memory of a task that computes these specs from a shard: states, and a batch of their columns."""
    columns = len({column for spec in specs for column in spec.columns})
    return WORKING_COPIES * sum(spec.nbytes() for spec in specs) + BATCH_COPIES * 8 * batch_rows(columns) * columns


def _existing(store: Store, summarizer: AnySummarizer) -> set[str]:
    return {name.removesuffix(".arrow") for name in store.names(folder(summarizer)) if name.endswith(".arrow")}


def missing_partials(
    store: Store, shards: Sequence[Shard], specs: Sequence[AnySummarizer]
) -> list[tuple[Shard, list[int]]]:
    """Return the shards that lack a partial state, and which specs they lack."""
    existing = [_existing(store, summarizer) for summarizer in specs]
    lacking = ((shard, [i for i, names in enumerate(existing) if shard.digest not in names]) for shard in shards)
    return [(shard, indices) for shard, indices in lacking if indices]


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
    check_sizes(specs, workspace.state_bytes)
    store, remaining, done = workspace.store, list(shards), set[str]()
    quarantined: list[Quarantined] = []
    while True:
        remaining, bad = sound(store, remaining, specs)
        quarantined += bad
        missing = missing_partials(store, remaining, specs)
        if not missing:
            break
        items = [
            (shard, group) for shard, indices in missing for group in _groups(specs, indices, workspace.state_bytes)
        ]
        memory = max((task_bytes([specs[i] for i in group]) for _, group in items), default=0)
        work = _ShardWork(store, tuple(specs), workspace.source_options)
        with progress.stage(workspace.progress, stage, len(items)):
            reports = workspace.engine.map(_summarize_shard, work, items, Resources(memory=memory))
            for (shard, _), unreadable in zip(items, reports, strict=True):
                workspace.progress.advance(shard.rows)
                done.add(shard.digest)
                if unreadable:
                    name = f"{_quarantine(specs)}/{shard.digest}.json"
                    store.write(name, json.dumps([asdict(entry) for entry in unreadable]).encode())
    return Computed(tuple(remaining), tuple(quarantined), frozenset(done))


def check_sizes(specs: Sequence[AnySummarizer], limit: int) -> None:
    """Raise ConfigurationError if a state cannot fit a task; `compute` and `count_pairs` call it before they read."""
    for spec in specs:
        if spec.nbytes() > limit:
            times = math.ceil(10 * spec.nbytes() / limit) / 10
            raise ConfigurationError(
                f"budget.memory: one {spec.name} state of {len(spec.columns)} columns takes "
                f"{spec.nbytes() / 2**20:,.0f} MiB and a task may hold {limit / 2**20:,.0f} MiB; "
                f"raise budget.memory {times} times or {REMEDIES.get(spec.name, 'exclude columns')}"
            )


def sound(
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
    """Write the partial states of one shard, or return its unreadable row groups and write nothing."""
    shard, indices = item
    specs = [work.specs[i] for i in indices]
    columns = tuple(dict.fromkeys(column for spec in specs for column in spec.columns))
    states = [spec.empty() for spec in specs]
    bad: list[Quarantined] = []
    for batch in read_batches(shard, columns, work.options, batch_rows(len(columns))):
        if isinstance(batch, Quarantined):
            bad.append(batch)
        elif not bad and batch.num_rows:
            states = [state.merge(spec.summarize(batch)) for spec, state in zip(specs, states, strict=True)]
    check_unchanged(shard.file, work.options)
    if not bad:
        for spec, state in zip(specs, states, strict=True):
            work.store.write_arrow(f"{folder(spec)}/{shard.digest}.arrow", state.to_arrow())
    return bad


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
    check_sizes(specs, workspace.state_bytes)
    work = _MergeWork(workspace.store, tuple(specs), tuple(codes))
    return _tree(workspace, work, [shard.digest for shard in shards], stage)


def _tree(workspace: Workspace, work: _MergeWork, leaves: list[str], stage: str) -> list[str]:
    existing = [_existing(work.store, spec) for spec in work.specs]
    memory = max((spec.nbytes() for spec in work.specs), default=0) * WORKING_COPIES
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
    work.store.write_arrow(f"{folder(spec)}/{name}.arrow", state.to_arrow())
    return int(state.rows)


def _leaf(work: _MergeWork, spec: AnySummarizer, name: str) -> Iterator[Summary]:
    """Yield what to merge: a stored state, or counts of a shard's codes made piece by piece."""
    if not isinstance(spec, PairCountsSummarizer) or not work.codes:
        yield load(work.store, spec, name)
        return
    wanted = [(codes, [field for field in codes.fields if field in spec.fields]) for codes in work.codes]
    files = [(f"{folder(codes)}/{name}.arrow", fields) for codes, fields in wanted if fields]
    for batches in zip(*(work.store.read_arrow_batches(*file) for file in files), strict=True):
        arrays = {
            field: array for batch in batches for field, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        yield spec.summarize(pa.record_batch(arrays))
