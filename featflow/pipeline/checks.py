"""Checks between the rounds of a run: unreadable rows against the budget, and degenerate targets and weights."""

from __future__ import annotations

import math

from featflow.columns.column import Role
from featflow.dataset.dataset import Dataset
from featflow.errors import BadDataError, SchemaError
from featflow.measures.codebook import ColumnStates, target_values
from featflow.pipeline.manifest import Record
from featflow.storage.tables import QUARANTINE

__all__ = ["check_budget", "check_targets", "check_weights"]


def check_targets(dataset: Dataset, states: ColumnStates) -> None:
    """Raise SchemaError if a target has fewer than two values."""
    for target in dataset.with_role(Role.TARGET):
        values = target_values(states, target)
        if values < 2:
            fault = "no finite value, every row is null, NaN or infinite" if values == 0 else "one value in all rows"
            raise SchemaError(
                f"dataset.targets: '{target.name}' has {fault}; nothing can be said about it, take it out"
            )


def check_weights(dataset: Dataset, states: ColumnStates) -> None:
    """Raise SchemaError if weights are 0 in all rows, or too large to add up."""
    squares = states.moments.weight_square_sum
    if dataset.weight and not 0 < squares < math.inf:
        zero = states.moments.weight_sum == 0
        fault = "is 0 in all rows; take it out" if zero else f"has squares that add up to {squares}; scale it"
        raise SchemaError(f"dataset.weight: '{dataset.weight.name}' {fault}")


def check_budget(record: Record) -> None:
    """Raise BadDataError if more rows were unreadable than ``budget.bad_rows`` allows, after writing the quarantine."""
    entries, lost, dataset, writer = record.quarantined, record.lost, record.dataset, record.context.writer
    budget = record.config.budget.bad_rows
    # The rows of a file without a readable footer are not known: its share of the bytes or of the files, the larger.
    whole_files = [entry for entry in entries if entry.rows is None]
    by_bytes = sum(entry.nbytes for entry in whole_files) / max(dataset.nbytes, 1)
    share = lost / dataset.rows + max(by_bytes, len(whole_files) / dataset.files)
    if entries and (share > budget or lost == dataset.rows):
        writer.write(QUARANTINE, [record.quarantine_table()])
        writer.save_manifest(record.manifest("bad data"))
        entry = entries[0]
        where = entry.uri + (f", row group {entry.row_group}" if entry.row_group is not None else "")
        where += f", column '{entry.column}'" if entry.column else ""
        raise BadDataError(
            f"{len(entries)} unreadable piece(s), {share:.2%} of the data against budget.bad_rows "
            f"{budget:.2%}; the first is {where}: {entry.detail}. All are in "
            f"{writer.store.uri(writer.tables['quarantine']['path'])}; "
            f"mend them{'' if lost == dataset.rows else ', or raise budget.bad_rows to go on without'}"
        )
