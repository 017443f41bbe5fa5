"""The plan of a run: what it would read, compute and reuse, and the memory it would take.

It goes through the same rounds as a run, without an engine; it reads footers and states, and no data but the bytes of
files that may be rewritten with one more day (`featflow.dataset.contents`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from featflow.columns.column import Kind, Role
from featflow.config import Config
from featflow.dataset.dataset import Shard, open_dataset
from featflow.dataset.footers import Footers
from featflow.dataset.passed_over import told
from featflow.execution import passes, state_store
from featflow.execution.merge_tree import whole_name
from featflow.execution.state_store import AnySummarizer
from featflow.measures.codebook import ColumnStates
from featflow.pipeline.column_pass import ProfileSpecs
from featflow.pipeline.engine_choice import choose_engine
from featflow.pipeline.fitted import earlier_fits, fit
from featflow.pipeline.rounds import begin, profile_round, relate_round
from featflow.storage.redaction import without_credentials
from featflow.storage.run_writer import RunWriter
from featflow.storage.store import Store
from featflow.transforms.derive import derive_from_states

__all__ = ["Plan", "plan"]

PROCESS_BYTES = 350 * 2**20
"""Memory of a Python process with numpy, pyarrow, torch and ray loaded, before it does any work."""


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
    engine: str
    """Where the work is done: serial or ray."""
    engine_reason: str
    """Reason of the engine's choice."""
    estimates: dict[str, Any]
    """Estimates of analyses, such as how interactions are found: all (every pair on all rows) or sample."""
    state_bytes: dict[str, int]
    """Upper bound of one state, by summary; pass 2 appears once there is a codebook."""
    blocks: dict[str, int]
    """Blocks of columns, or pairs of them, by summary: as many tasks at least."""
    memory_bytes: int
    """Estimated peak of the whole process tree on this machine."""
    memory_budget: int
    passed_over: list[str]
    """What lies below the sources and is not read, by reason."""
    notes: list[str]

    def public(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self)


def plan(config: Config) -> Plan:
    """Return what a run would do.

    Raises
    ------
    InputError
        As `featflow.pipeline.job.run` raises before it reads, also if a state does not fit the budget.
    """
    with without_credentials(config.dataset.secrets):
        return _planned(config)


def _planned(config: Config) -> Plan:
    store = Store(config.output, config.dataset.storage_options)
    dataset = open_dataset(config.dataset, config.output, Footers(store))
    config.analyses.check(dataset, config.dataset.entity)
    memory = int(config.budget.memory)
    writer, warnings = RunWriter(store, "plan"), list[str]()
    fits = earlier_fits(writer, config, warnings.append)
    derived = derive_from_states(store, dataset, config.dataset, fits, memory)
    context, analyses = begin(config, derived.dataset, writer)
    context.derived = derived
    columns, requested = profile_round(context, analyses, config)
    vectors = [each.moments for each in derived.embeddings]
    layers = passes.stored_before((*requested, *vectors), dataset.shards)
    shards = passes.readable(store, dataset.shards, requested)
    present, shard_bytes = state_store.StateIndex(store), max(int(config.dataset.shard_bytes), passes.FREE_BYTES)
    missing = state_store.missing(present, shards, requested, shard_bytes)
    specs: list[AnySummarizer] = [*(spec for layer in layers for spec in layer), *requested]
    state_store.check_sizes(requested, context.workspace.state_bytes)
    task_bytes, relation_shards = max(state_store.task_bytes(each) for each in (requested, *layers)), None
    states = _profile_states(store, shards, columns) if shards and not missing else None
    if states is not None:
        context.dataset = replace(context.dataset, shards=tuple(shards))
        context.columns = states
        fit(context, analyses, config)
        relate_specs = relate_round(context, analyses)
        file_specs = [spec for spec in relate_specs if not spec.of_stored]
        relation_shards = _count_shards(state_store.missing(present, shards, file_specs, shard_bytes))
        task_bytes = max(task_bytes, state_store.task_bytes(file_specs))
        specs += relate_specs
        state_store.check_sizes(relate_specs, context.workspace.state_bytes)
    sizes: dict[str, int] = {}
    for spec in specs:
        sizes[spec.name] = max(sizes.get(spec.name, 0), spec.nbytes())
    engine = choose_engine(config, dataset)
    cores = (os.cpu_count() or 1) if engine.kind == "ray" else 1
    kinds = [column.kind.value for column in context.dataset.columns]
    coded = [c for c in context.dataset.columns if c.kind is not Kind.TEXT and c.role is not Role.EVENT_TIME]
    pairs = len(coded) * (len(coded) - 1) // 2
    return Plan(
        files=dataset.files,
        file_bytes=dataset.nbytes,
        rows=dataset.rows,
        columns={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        targets=[column.name for column in dataset.with_role(Role.TARGET)],
        shards=len(dataset.shards),
        largest_shard_bytes=max(shard.nbytes for shard in dataset.shards),
        profile_shards=_count_shards(missing),
        relation_shards=relation_shards,
        pairs=pairs,
        pair_rows=pairs * dataset.rows,
        engine=engine.kind,
        engine_reason=engine.reason,
        estimates={name: value for analysis in analyses for name, value in analysis.estimate(context).items()},
        state_bytes=sizes,
        blocks=dict(Counter(spec.name for spec in specs)),
        memory_bytes=PROCESS_BYTES * (cores + 1) + cores * task_bytes,
        memory_budget=memory,
        passed_over=told(dataset.passed_over, expected=True),
        notes=[
            *dataset.notes,
            *derived.notes,
            *writer.before.warnings,
            *warnings,
            *context.warnings,
            *(f"{entry.uri}: {entry.detail}" for entry in dataset.quarantined),
        ],
    )


def _count_shards(missing: list[tuple[tuple[Shard, ...], str, list[int]]]) -> int:
    return len({shard.digest for span, _, _ in missing for shard in span})


def _profile_states(store: Store, shards: Sequence[Shard], columns: ProfileSpecs) -> ColumnStates | None:
    """Return the merged states of pass 1; None if no run has left them."""
    name = whole_name(shards)
    try:
        return columns.states(lambda spec: state_store.load(store, spec, name))
    except FileNotFoundError:
        return None
