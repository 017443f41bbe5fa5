"""The states of an output: where they are, which are missing, what must fit into memory to make them.

A state is a file whose path says what it is:
``states/<summary>/<spec digest>/<shard digest or merged-...>.arrow``. Beside them
lies what is known to be unreadable.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from featflow.dataset import Quarantined, Shard
from featflow.errors import ConfigurationError
from featflow.reading import batch_rows
from featflow.storage import Store
from featflow.summaries import Summarizer, digest

__all__ = [
    "AnySummarizer",
    "check_sizes",
    "existing",
    "load",
    "missing_partials",
    "path",
    "quarantine",
    "sound",
    "task_bytes",
]

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
    "target_counts": "lower codebook.bins or analyses.uncertainty.groups, or take coarser strata",
}
"""What makes a state smaller, beside more memory."""

AnySummarizer = Summarizer[Any]


def path(summarizer: AnySummarizer, name: str) -> str:
    """Return the path of a state by its name."""
    return f"{_folder(summarizer)}/{name}.arrow"


def _folder(summarizer: AnySummarizer) -> str:
    return f"states/{summarizer.name}/{digest(summarizer)}"


def load(store: Store, summarizer: AnySummarizer, name: str) -> Any:
    """Return a state by its name."""
    return type(summarizer.empty()).from_arrow(store.read_arrow(path(summarizer, name)))


def task_bytes(specs: Sequence[AnySummarizer]) -> int:
    """Return the memory of a task that computes these specs from a shard: states, and a batch of their columns."""
    columns = len({column for spec in specs for column in spec.columns})
    return WORKING_COPIES * sum(spec.nbytes() for spec in specs) + BATCH_COPIES * 8 * batch_rows(columns) * columns


def existing(store: Store, summarizer: AnySummarizer) -> set[str]:
    """Return the names of a spec's states."""
    return {name.removesuffix(".arrow") for name in store.names(_folder(summarizer)) if name.endswith(".arrow")}


def missing_partials(
    store: Store, shards: Sequence[Shard], specs: Sequence[AnySummarizer]
) -> list[tuple[Shard, list[int]]]:
    """Return the shards that lack a partial state, and which specs they lack."""
    there = [existing(store, summarizer) for summarizer in specs]
    lacking = ((shard, [i for i, names in enumerate(there) if shard.digest not in names]) for shard in shards)
    return [(shard, indices) for shard, indices in lacking if indices]


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


def quarantine(store: Store, shard: Shard, specs: Sequence[AnySummarizer], unreadable: Sequence[Quarantined]) -> None:
    """Note what of a shard cannot be read in the columns of these specs."""
    entries = json.dumps([asdict(entry) for entry in unreadable])
    store.write(f"{_quarantine(specs)}/{shard.digest}.json", entries.encode())


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
