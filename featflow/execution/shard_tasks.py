"""One task of a pass: read a span of shards once, batch by batch, and compute the states of some specs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from featflow.columns.batch_cache import CachedBatch
from featflow.columns.column import Column, Kind
from featflow.columns.values import row_weights, weight_faults
from featflow.dataset.batches import batch_rows, read_batches, unreadable
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.files import check_unchanged
from featflow.dataset.image_batches import image_batches
from featflow.dataset.not_given import NotGiven
from featflow.errors import InfrastructureError, SchemaError
from featflow.execution import state_store
from featflow.execution.derived_columns import DerivedColumns, file_columns
from featflow.execution.quarantine import columns_of
from featflow.execution.state_store import AnySummarizer
from featflow.storage import retries
from featflow.storage.store import Store

__all__ = ["Item", "ShardWork", "summarize", "summarize_again"]

READS = 3
"""Times that a span is read where a row group that could not be read can be read a moment later."""


@dataclass(frozen=True)
class Item:
    """One task: some specs over a span of shards."""

    shards: tuple[Shard, ...]
    name: str
    """Name of the states that the task writes."""
    specs: tuple[int, ...]
    """Indices among the specs of `ShardWork`."""
    parts: int = 1
    """A batch has the usual rows divided by this."""

    def lighter(self) -> Item:
        """Return the same work in batches of a quarter of the rows, for an attempt after one that ran out of memory."""
        return replace(self, parts=4 * self.parts)


@dataclass(frozen=True)
class ShardWork:
    """Input that all tasks share."""

    store: Store
    specs: tuple[AnySummarizer, ...]
    options: dict[str, Any] = field(repr=False)
    """Options of the dataset's filesystem."""


def summarize_again(work: ShardWork, item: Item, attempt: int) -> dict[str, list[Quarantined]]:
    """Do as `summarize`; after an attempt that ended its process, with the specs' variants for a second attempt."""
    if attempt:
        work = replace(work, specs=tuple(spec.second_attempt() for spec in work.specs))
    return summarize(work, item)


def summarize(work: ShardWork, item: Item) -> dict[str, list[Quarantined]]:
    """Write the states of a span, or return by shard the row groups that cannot be read twice, and write nothing.

    Raises
    ------
    SchemaError
        Weights are negative, missing or infinite; nothing was written.
    InfrastructureError
        Storage gave other bytes from one time to the next.
    """
    for _ in range(READS):
        found = _summarized(work, item)
        faulty = [shard for shard in item.shards if shard.digest in found]
        lasting = {shard.digest: _again(work, item, shard, found[shard.digest]) for shard in faulty}
        passing = [entry for name, entries in found.items() for entry in entries if entry not in lasting[name]]
        if not passing:
            return lasting
        # What came before the fault may be as wrong: the span is read again from its beginning.
        retries.count("storage")
    entry = passing[0]
    raise InfrastructureError(
        f"{entry.uri}: row group {entry.row_group} reads at one time and not at another ({entry.detail}); storage or "
        "memory gives wrong bytes, look at it and run again"
    )


def _again(work: ShardWork, item: Item, shard: Shard, entries: list[Quarantined]) -> list[Quarantined]:
    """Return those row groups that cannot be read from a fresh handle either."""
    columns = columns_of([work.specs[i] for i in item.specs])
    groups = {entry.row_group for entry in entries}
    rows = max(1, batch_rows(columns, shard.nbytes // shard.rows) // item.parts)
    still = {each.row_group for each in unreadable(shard.only(groups), columns, work.options, rows)}
    return [entry for entry in entries if entry.row_group in still]


def _summarized(work: ShardWork, item: Item) -> dict[str, list[Quarantined]]:
    """Do as `summarize`, for row groups that cannot be read once."""
    specs = [work.specs[i] for i in item.specs]
    columns = tuple(dict.fromkeys(column for spec in specs for column in spec.columns))
    read_columns = file_columns(columns)
    states = [spec.empty() for spec in specs]
    faulty: dict[str, list[Quarantined]] = defaultdict(list)
    weight = next((spec.weight for spec in specs if spec.weight), None)
    for shard in item.shards:
        faults = np.zeros(3, np.int64)
        derived, start = DerivedColumns(work.store, shard.digest, columns), 0
        not_given = NotGiven(shard, read_columns)
        rows = max(1, batch_rows(columns, shard.nbytes // shard.rows) // item.parts)
        batches = read_batches(shard, read_columns, work.options, rows)
        for batch in image_batches(batches, rows) if any(c.kind is Kind.IMAGE for c in read_columns) else batches:
            if isinstance(batch, Quarantined):
                faulty[shard.digest].append(batch)
            elif not faulty and batch.num_rows:
                not_given.see(batch, start)
                batch, start = derived.of(batch, start), start + batch.num_rows  # noqa: PLW2901
                faults += weight_faults(row_weights(batch, weight))
                if not faults.any():
                    coded = CachedBatch(batch)
                    states = [spec.update(state, coded) for spec, state in zip(specs, states, strict=True)]
        check_unchanged(shard.file, work.options)
        if not faulty:
            _check_weights(shard, weight, faults)
            not_given.save(work.store)
    if not faulty:
        for spec, state in zip(specs, states, strict=True):
            work.store.write_arrow(state_store.path(spec, item.name), state.to_arrow())
    return dict(faulty)


def _check_weights(shard: Shard, weight: Column | None, faults: np.ndarray) -> None:
    if weight and faults.any():
        counts = zip(faults.tolist(), ("negative", "missing", "infinite"), strict=True)
        faulty = " and ".join(f"{count} {kind}" for count, kind in counts if count)
        raise SchemaError(
            f"{shard.file.uri}: column '{weight.name}' holds {faulty} weights; "
            "dataset.weight must be finite and not negative"
        )
