"""What a run would read, compute and reuse, and what it would take. Reads footers and states, never data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from featflow.analyses.ranking.checks import check
from featflow.analyses.requests import ProfileSpecs, profile_specs, relation_specs, searches_samples, state_bytes
from featflow.columns.column import Kind, Role
from featflow.config import Config
from featflow.dataset.dataset import Dataset, Shard, open_dataset
from featflow.dataset.footers import Footers
from featflow.execution import passes, state_store
from featflow.execution.merge_tree import whole_name
from featflow.execution.state_store import AnySummarizer
from featflow.measures.codebook import ColumnStates
from featflow.pipeline.fitted import earlier_basis, make_basis
from featflow.storage.store import Store
from featflow.transforms.images.columns import Images, image_specs, joined, key_specs, made_columns, to_fit

__all__ = ["Plan", "plan"]

PROCESS_BYTES = 350 * 2**20
"""A Python process with numpy, pyarrow, torch and ray loaded."""


@dataclass(frozen=True)
class Plan:
    """Estimates of one run."""

    files: int
    file_bytes: int
    rows: int
    columns: dict[str, int]
    """Columns by kind."""
    targets: list[str]
    shards: int
    largest_shard_bytes: int
    """Decoded."""
    profile_shards: int
    """Shards that pass 1 would read; the others are reused."""
    relation_shards: int | None
    """Shards that pass 2 would read; None until there is a codebook."""
    pairs: int
    """Pairs of columns: every one of them is in the correlation table's q-values."""
    pair_rows: int
    """Pairs times rows."""
    interactions: str | None
    """How interactions are found: all (every pair on all rows), sample, or not."""
    state_bytes: dict[str, int]
    """Upper bound of one state, by summary; pass 2 appears once there is a codebook."""
    blocks: dict[str, int]
    """Blocks of columns, or pairs of them, by summary: as many tasks at least."""
    memory_bytes: int
    """Estimated peak of the whole process tree on this machine."""
    memory_budget: int
    notes: list[str]

    def public(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self)


def plan(config: Config) -> Plan:
    """Return what a run would do.

    Raises
    ------
    InputError
        As `featflow.pipeline.job.run` would, before reading: also when a state cannot fit the budget.
    """
    store = Store(config.output, config.dataset.storage_options)
    dataset = open_dataset(config.dataset, config.output, Footers(store))
    check(config, dataset)
    images, notes = _images(store, dataset, config)
    dataset = joined(dataset, images)
    first = profile_specs(dataset.columns, config, dataset.weight)
    wanted = (*first.all(), *key_specs(dataset))
    shards = _sound(store, dataset.shards, (*images.layers, wanted))
    shard_bytes = max(int(config.dataset.shard_bytes), passes.FREE_BYTES)
    present = state_store.Present(store)
    lacking = state_store.missing(present, shards, wanted, shard_bytes)
    made = [spec for layer in images.layers for spec in layer]
    sizes = {spec.name: spec.nbytes() for spec in (*made, *wanted)}
    blocks = Counter(spec.name for spec in (*made, *wanted))
    state_store.check_sizes(wanted, state_bytes(config))
    profiled = _states(store, shards, first) if shards and not lacking else None
    task, relation_shards = max(state_store.task_bytes(specs) for specs in (wanted, *images.layers)), None
    if profiled is not None:
        basis = make_basis(dataset, profiled, config, earlier_basis(store, config, dataset))
        rows = max(shard.rows for shard in shards)
        relations = relation_specs(basis, config, dataset, profiled.rows, rows)
        second = (*relations.over_shards(), *relations.codes)
        relation_shards = _shards(state_store.missing(present, shards, second, shard_bytes))
        task = max(task, state_store.task_bytes(second))
        second = (*second, *relations.pairs, *relations.screens)
        for spec in second:
            sizes[spec.name] = max(sizes.get(spec.name, 0), spec.nbytes())
        blocks += Counter(spec.name for spec in second)
        state_store.check_sizes(second, state_bytes(config))
    cores = (os.cpu_count() or 1) if config.engine.kind == "ray" else 1
    kinds = [column.kind.value for column in dataset.columns]
    coded = [c for c in dataset.columns if c.kind is not Kind.TEXT and c.role is not Role.EVENT_TIME]
    pairs = len(coded) * (len(coded) - 1) // 2
    return Plan(
        files=dataset.files,
        file_bytes=dataset.nbytes,
        rows=dataset.rows,
        columns={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        targets=[column.name for column in dataset.with_role(Role.TARGET)],
        shards=len(dataset.shards),
        largest_shard_bytes=max(shard.nbytes for shard in dataset.shards),
        profile_shards=_shards(lacking),
        relation_shards=relation_shards,
        pairs=pairs,
        pair_rows=pairs * dataset.rows,
        interactions=_interactions(config, dataset),
        state_bytes=sizes,
        blocks=dict(blocks),
        memory_bytes=PROCESS_BYTES * (cores + 1) + cores * task,
        memory_budget=int(config.budget.memory),
        notes=[*dataset.notes, *notes, *(f"{entry.uri}: {entry.detail}" for entry in dataset.quarantined)],
    )


def _images(store: Store, dataset: Dataset, config: Config) -> tuple[Images, list[str]]:
    """Return what is made of images, and notes; of a model's vectors nothing until a run has left their moments."""
    specs = image_specs(dataset, config)
    fitted = to_fit(specs, config)
    shards = _sound(store, dataset.shards, (specs, [spec for pair in fitted.values() for spec in pair]))
    name = whole_name([shard.digest for shard in shards])
    try:
        return made_columns(specs, config, lambda spec: state_store.load(store, spec, name)), []
    except FileNotFoundError:
        return Images(specs), [f"columns of '{spec.column.name}' are known once it is encoded" for spec in fitted]


def _sound(store: Store, shards: Sequence[Shard], layers: Sequence[Sequence[AnySummarizer]]) -> list[Shard]:
    """Return the shards without what is known to be unreadable in any layer of specs."""
    for specs in layers:
        shards, _ = state_store.sound(store, shards, specs)
    return list(shards)


def _interactions(config: Config, dataset: Dataset) -> str | None:
    if not config.analyses.interaction or not dataset.with_role(Role.TARGET):
        return None
    features = [column for column in dataset.with_role(Role.FEATURE) if column.kind is not Kind.TEXT]
    return "sample" if searches_samples(config, len(features), dataset.rows) else "all"


def _shards(lacking: list[tuple[tuple[Shard, ...], str, list[int]]]) -> int:
    return len({shard.digest for span, _, _ in lacking for shard in span})


def _states(store: Store, shards: Sequence[Shard], first: ProfileSpecs) -> ColumnStates | None:
    """Return pass 1's whole states if a run has left them."""
    name = whole_name([shard.digest for shard in shards])
    try:
        return first.states(lambda spec: state_store.load(store, spec, name))
    except FileNotFoundError:
        return None
