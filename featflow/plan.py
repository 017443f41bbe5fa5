"""What a run would read, compute and reuse, and what it would take. Reads footers and states, never data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from featflow import passes, states
from featflow.analyses import ProfileSpecs, profile_specs, relation_specs, state_bytes
from featflow.columns import Role
from featflow.config import Config
from featflow.dataset import Shard, open_dataset
from featflow.measures.codebook import ColumnStates, build_codebook
from featflow.storage import Store
from featflow.trees import whole_name
from featflow.uncertainty import check

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
    state_bytes: dict[str, int]
    """Upper bound of one state, by summary; pass 2 appears once there is a codebook."""
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
        As `featflow.job.run` would, before reading: also when a state cannot fit the budget.
    """
    dataset = open_dataset(config.dataset, config.output)
    check(config, dataset)
    store = Store(config.output, config.dataset.storage_options)
    first = profile_specs(dataset.columns, config, dataset.weight)
    wanted = first.all()
    shards, _ = states.sound(store, dataset.shards, wanted)
    shard_bytes = max(int(config.dataset.shard_bytes), passes.FREE_BYTES)
    lacking = states.missing(store, shards, wanted, shard_bytes)
    sizes = {spec.name: spec.nbytes() for spec in wanted}
    states.check_sizes(wanted, state_bytes(config))
    profiled = _states(store, shards, first) if shards and not lacking else None
    task, relation_shards = states.task_bytes(wanted), None
    if profiled is not None:
        codebook = build_codebook(dataset.columns, profiled, config.codebook)
        rows = max(shard.rows for shard in shards)
        relations = relation_specs(codebook, config, dataset, profiled, rows)
        second = (*relations.over_shards(), *relations.codes)
        relation_shards = _shards(states.missing(store, shards, second, shard_bytes))
        task = max(task, states.task_bytes(second))
        for spec in (*second, *relations.pairs):
            sizes[spec.name] = max(sizes.get(spec.name, 0), spec.nbytes())
        states.check_sizes((*second, *relations.pairs), state_bytes(config))
    cores = (os.cpu_count() or 1) if config.engine.kind == "ray" else 1
    kinds = [column.kind.value for column in dataset.columns]
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
        state_bytes=sizes,
        memory_bytes=PROCESS_BYTES * (cores + 1) + cores * task,
        memory_budget=int(config.budget.memory),
        notes=[*dataset.notes, *(f"{entry.uri}: {entry.detail}" for entry in dataset.quarantined)],
    )


def _shards(lacking: list[tuple[tuple[Shard, ...], str, list[int]]]) -> int:
    return len({shard.digest for span, _, _ in lacking for shard in span})


def _states(store: Store, shards: Sequence[Shard], first: ProfileSpecs) -> ColumnStates | None:
    """Return pass 1's whole states if a run has left them."""
    name = whole_name([shard.digest for shard in shards])
    try:
        return first.states(lambda spec: states.load(store, spec, name))
    except FileNotFoundError:
        return None
