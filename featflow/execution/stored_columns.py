"""Reading stored columns, such as codes, of all shards, in pieces large enough to count fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.columns.hashing import hash64, hash_numbers
from featflow.dataset.dataset import Shard
from featflow.execution import merge_tree, progress, state_store
from featflow.execution.derived_columns import stored_rows
from featflow.execution.engines.base import Resources
from featflow.execution.passes import merge, merge_states
from featflow.execution.workspace import Workspace
from featflow.storage.store import Store
from featflow.summaries import PairCountsSummarizer, RowsSpec

__all__ = ["PIECE_BYTES", "StoredColumns", "count_totals", "stored_columns_of"]

PIECE_BYTES = 64 * 2**20
"""Bytes of codes counted at once: kernels of pairs are slow on short pieces; a task holds one beside its counts."""
JOINED_BYTES = 2**18
"""Bytes of codes that are worth a file of their own. Over a year of daily files, reading the codes of each day one by
one, and listing states three times, took half of a night."""
READS_AT_ONCE = 8
"""Files read at once where all codes are held in memory: the time of a small file is a wait for storage."""
VALUE_BYTES = 8
"""Bytes of a decoded value, whose code takes one."""


@dataclass(frozen=True)
class StoredColumns:
    """The stored columns of a dataset, such as its codes."""

    store: Store
    """The output that holds them."""
    specs: tuple[RowsSpec, ...]
    """Specs of the stored columns, one a block of columns."""
    shards: tuple[Shard, ...]
    """Shards whose rows they hold."""
    joined: tuple[str, ...] = ()
    """Names of states that hold several neighbouring shards, if all rows fit one piece, which is then read once."""

    def count(self, spec: Any, share: float = 1.0) -> Any:
        """Return a spec's counts over the codes of all shards.

        Parameters
        ----------
        spec
            A summarizer of stored codes, whose ``fields`` names those that it counts.
        share
            Share of the rows to sample; a smaller sample is part of any larger one.
        """
        state = spec.empty()
        for piece in self.pieces(list(spec.fields), share):
            state = spec.update(state, piece)
            del piece  # free it before the next one is read
        return state

    def pieces(self, fields: list[str], share: float = 1.0) -> Iterator[pa.RecordBatch]:
        """Yield the codes of some fields in pieces of about `PIECE_BYTES`, which may span shards."""
        if share >= 1 and self._all_rows is not None:
            yield self._all_rows.select(fields)
            return
        waiting: list[pa.RecordBatch] = []
        nbytes = 0
        for shard in self.shards:
            for batch in self._sample(shard, fields, share):
                waiting.append(batch)
                nbytes += batch.nbytes
                if nbytes >= PIECE_BYTES:
                    piece, waiting, nbytes = _joined(waiting), [], 0
                    yield piece
                    del piece, batch  # free this piece before the next one is read
        if waiting:
            yield _joined(waiting)

    @cached_property
    def _all_rows(self) -> pa.RecordBatch | None:
        """All codes as one batch; None where they are more than one piece."""
        if not self.joined:
            return None
        fields = [field for spec in self.specs for field in spec.fields]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            batch_lists = pool.map(lambda name: list(self._batches(name, fields)), self.joined)
            return _joined([batch for batches in batch_lists for batch in batches])

    def _sample(self, shard: Shard, fields: list[str], share: float) -> Iterator[pa.RecordBatch]:
        """Yield the codes of the shard's rows whose hash is below the share."""
        if share >= 1:
            yield from self._batches(shard.digest, fields)
            return
        chosen, start = _row_hashes(shard) < np.uint64(share * 2.0**64), 0
        for batch in self._batches(shard.digest, fields):
            yield batch.filter(pa.array(chosen[start : start + batch.num_rows]))
            start += batch.num_rows

    def _batches(self, name: str, fields: list[str]) -> Iterator[pa.RecordBatch]:
        yield from stored_rows(self.store, self.specs, name, fields)


def stored_columns_of(workspace: Workspace, shards: Sequence[Shard], codes: tuple[RowsSpec, ...]) -> StoredColumns:
    """Return the codes of all shards, for repeated reading.

    If all codes fit one piece, those of small neighbouring shards are joined and stored joined: reading a file a shard
    would take longer than counting.
    """
    nbytes = sum(shard.rows for shard in shards) * sum(spec.row_bytes for spec in codes)
    if nbytes > PIECE_BYTES:
        return StoredColumns(workspace.store, codes, tuple(shards))
    level = merge_tree.subtree_level(JOINED_BYTES, nbytes // len(shards), len(shards))
    joined = tuple(merge_states(workspace, shards, codes, "joining", level))
    return StoredColumns(workspace.store, codes, tuple(shards), joined)


def _row_hashes(shard: Shard) -> np.ndarray:
    """Return a hash of every row's place in the dataset, shape (rows,), uint64.

    The hash depends on the file's place, the row group and the row within it, not on how shards are cut.
    """
    seeds = hash64(pa.array([f"{shard.file.place}:{group}" for group in shard.row_groups]))
    ranges = [shard.part] if shard.part else map(range, shard.group_rows)
    rows = (np.arange(each.start, each.stop, dtype=np.uint64) for each in ranges)
    return np.concatenate([hash_numbers(row + seed) for row, seed in zip(rows, seeds, strict=True)])


@dataclass(frozen=True)
class _Totals:
    store: Store
    specs: tuple[PairCountsSummarizer, ...]
    codes: tuple[RowsSpec, ...]


def count_totals(
    workspace: Workspace, shards: Sequence[Shard], codes: tuple[RowsSpec, ...], specs: Sequence[Any], stage: str
) -> dict[Any, str]:
    """Count block pairs over the codes of spans of shards and merge; return the name of each merged state.

    If the counts outweigh all codes together, nothing is written and nothing returned: counting again is cheaper.
    """
    state_store.check_sizes(specs, workspace.state_bytes)
    code_bytes = max(workspace.shard_bytes // VALUE_BYTES, 1)
    if sum(spec.nbytes() for spec in specs) > code_bytes * len(shards):
        return {}
    items = [
        (index, span, name)
        for span, name, missing in state_store.missing(workspace.present, shards, specs, code_bytes)
        for index in missing
    ]
    memory = max((spec.nbytes() for spec in specs), default=0) * state_store.WORKING_COPIES
    work = _Totals(workspace.store, tuple(specs), codes)
    if items:
        with progress.stage(workspace.progress, stage, len(items)):
            counted = workspace.engine.map(_count_span, work, items, Resources(workspace.gpus, memory))
            present = workspace.present.names(specs)
            for (index, _, name), rows in zip(items, counted, strict=True):
                workspace.progress.advance(rows)
                present[index].add(name)
    return dict(zip(specs, merge(workspace, shards, specs, "merging"), strict=True))


def _count_span(work: _Totals, item: tuple[int, tuple[Shard, ...], str]) -> int:
    index, shards, name = item
    spec = work.specs[index]
    state = StoredColumns(work.store, work.codes, shards).count(spec)
    work.store.write_arrow(state_store.path(spec, name), state.to_arrow())
    return int(state.rows)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    combined = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return combined[0] if combined else batches[0]  # small shards may have no row in a sample
