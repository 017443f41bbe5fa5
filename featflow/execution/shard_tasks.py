"""One task of a pass: a span of shards is read once, batch by batch, and the states of some specs made of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from featflow.columns.batch_cache import CachedBatch
from featflow.columns.column import Column, Kind
from featflow.columns.values import row_weights, weight_faults
from featflow.dataset.batches import batch_rows, read_batches
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.files import check_unchanged
from featflow.dataset.image_batches import image_batches
from featflow.errors import SchemaError
from featflow.execution import state_store
from featflow.execution.derived_columns import DerivedColumns, file_columns
from featflow.execution.state_store import AnySummarizer
from featflow.storage.store import Store

__all__ = ["Item", "ShardWork", "summarize", "summarize_again"]


@dataclass(frozen=True)
class Item:
    """One task: some specs over a span of shards."""

    shards: tuple[Shard, ...]
    name: str
    """Of the states that it makes."""
    specs: tuple[int, ...]
    parts: int = 1
    """A batch has the usual rows divided by this."""

    def lighter(self) -> Item:
        """Return the same work in smaller batches."""
        return replace(self, parts=4 * self.parts)


@dataclass(frozen=True)
class ShardWork:
    """What every task is given."""

    store: Store
    specs: tuple[AnySummarizer, ...]
    options: dict[str, Any] = field(repr=False)


def summarize_again(work: ShardWork, item: Item, attempt: int) -> dict[str, list[Quarantined]]:
    """Do as `summarize`; where that ended a process, by what specs have for a second attempt."""
    if attempt:
        work = replace(work, specs=tuple(spec.second_attempt() for spec in work.specs))
    return summarize(work, item)


def summarize(work: ShardWork, item: Item) -> dict[str, list[Quarantined]]:
    """Write the states of a span, or return unreadable row groups by shard and write nothing.

    Raises
    ------
    SchemaError
        Weights are negative, missing or infinite; nothing was written.
    """
    specs = [work.specs[i] for i in item.specs]
    columns = tuple(dict.fromkeys(column for spec in specs for column in spec.columns))
    read = file_columns(columns)
    found = [spec.empty() for spec in specs]
    bad: dict[str, list[Quarantined]] = defaultdict(list)
    weight = next((spec.weight for spec in specs if spec.weight), None)
    for shard in item.shards:
        faults = np.zeros(3, np.int64)
        derived, start = DerivedColumns(work.store, shard.digest, columns), 0
        rows = max(1, batch_rows(columns, shard.nbytes // shard.rows) // item.parts)
        batches = read_batches(shard, read, work.options, rows)
        for batch in image_batches(batches, rows) if any(c.kind is Kind.IMAGE for c in read) else batches:
            if isinstance(batch, Quarantined):
                bad[shard.digest].append(batch)
            elif not bad and batch.num_rows:
                batch, start = derived.of(batch, start), start + batch.num_rows  # noqa: PLW2901
                faults += weight_faults(row_weights(batch, weight))
                if not faults.any():
                    coded = CachedBatch(batch)
                    found = [spec.update(state, coded) for spec, state in zip(specs, found, strict=True)]
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
