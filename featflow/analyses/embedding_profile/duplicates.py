"""Counts of duplicate images, of images that look alike, and of both across the parts of a split.

Images are equal where their contents have one digest, alike where their difference hashes lie within
`featflow.analyses.embedding_profile.hash_distance.DISTANCE` bits. A task holds a range of the digests, or of the mixed
hashes, and looks up those of all shards in it. So every image is counted by one task, nothing is written, and memory
depends on the range alone. Cost: every range reads all states three times, 2 microseconds an image and range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from featflow.analyses.embedding_profile.hash_distance import SLOT_BITS, LikenessTables, informative, slots
from featflow.analyses.embedding_profile.image_hashes import HashStream, leading, split_values
from featflow.columns.column import Column
from featflow.columns.hashing import hash_numbers
from featflow.dataset.dataset import Shard
from featflow.execution.context import Context

if TYPE_CHECKING:
    from featflow.transforms.images.embeddings import Embedding  # torch, for those who have images

__all__ = ["Duplicates", "Leak", "duplicates"]

RANGE_IMAGES = 2**22
"""Images that a task holds at most; fewer where `budget.memory` says so."""
IMAGE_BYTES = 400
"""Bytes of an image that a task holds: 120 of `LikenessTables`, the rest for counts and their sorting. A full range
takes 1.6 GiB."""
MOST_ALIKE = 4096
"""Hashes that share two blocks, beyond which they are not compared by these: time would grow with their square. The
counts are then lower bounds, and the run warns."""
WORDS = 2
"""Words of 64 bits that hold a bit for each part: 128 bits, as there are at most `image_hashes.MOST_PARTS` parts."""
GROUP_ROWS = 2**20
"""Rows that wait before they are aggregated by their keys: more take memory, fewer are aggregated more often."""


@dataclass(frozen=True)
class Leak:
    """Images that two parts of a split share."""

    first: str
    """Value of the split column in the first part, such as train."""
    second: str
    """Value of the split column in the second part, such as test."""
    contents: int
    """Distinct contents that lie in both."""
    exact: int
    """Images of the second part whose content lies in the first, too."""
    near: int
    """Images of the second part whose content the first does not have, and that look like an image of the first."""


@dataclass(frozen=True)
class Duplicates:
    """Counts over all images of a column that have a picture."""

    images: int
    """Images with a picture."""
    exact: int
    """Images beyond the first of each content."""
    near: int
    """Images that look like an image of another content."""
    flat: int
    """Images not compared: their hash is not informative, as no pixel, or every one, is brighter than its neighbour."""
    saturated: int
    """Images not compared with all others: too many hashes are similar (`MOST_ALIKE`), so ``near`` is a lower bound."""
    parts: dict[str, int]
    """Images in each part of the split; of those without a value there are more in ``images``."""
    leakage: tuple[Leak, ...]
    """Every ordered pair of parts."""


Counts = dict[str, Any]
"""Integers and arrays of integers, which add."""


@dataclass(frozen=True)
class _Work:
    stream: HashStream
    ranges: int
    """Ranges that all images are cut into."""


@dataclass(frozen=True)
class _AlikeWork(_Work):
    saturated: np.ndarray
    """Slots of every mask that hold too many hashes, shape (masks, 2^SLOT_BITS)."""


def duplicates(context: Context, shards: Sequence[Shard], embedding: Embedding, split: Column | None) -> Duplicates:
    """Count equal and similar images, and those that parts of a split share.

    Parameters
    ----------
    shards
        Shards that have states of ``embedding``.
    split
        Column of train, test, ...; None where there is none.

    Raises
    ------
    ConfigurationError
        The split column has too many values.
    InfrastructureError
        States or the split column do not hold what they held in this run; run again.
    """
    range_images = max(1, min(RANGE_IMAGES, context.workspace.state_bytes // IMAGE_BYTES))
    ranges = max(1, math.ceil(sum(shard.rows for shard in shards) / range_images))
    memory = range_images * IMAGE_BYTES
    parts = () if split is None else split_values(context, shards, split)
    workspace = context.workspace
    hashes = HashStream(workspace.store, embedding, tuple(shards), split, parts, workspace.source_options)
    work = _Work(hashes, ranges)
    equal = _sum_over_ranges(context, _count_equal, work, "images: equal", memory)
    by_slot = _sum_over_ranges(context, _count_slots, work, "images: hashes", memory)["slots"]
    chance = int(by_slot[0].sum()) >> SLOT_BITS  # hashes that share a slot and nothing else
    alike_work = _AlikeWork(work.stream, ranges, by_slot > MOST_ALIKE + 2 * chance)
    alike = _sum_over_ranges(context, _count_alike, alike_work, "images: alike", memory)
    # Images of equal content have equal hashes, so "by_part" counts them, too.
    near = alike["by_part"] - equal["informative"]
    return Duplicates(
        images=int(equal["images"]),
        exact=int(equal["copies"]),
        near=int(alike["near"]),
        flat=int(equal["flat"]),
        saturated=int(alike["saturated"]),
        parts={part: int(equal["exact"][place, place]) for place, part in enumerate(parts)},
        leakage=tuple(
            Leak(first, second, *(int(counts[a, b]) for counts in (equal["contents"], equal["exact"], near)))
            for a, first in enumerate(parts)
            for b, second in enumerate(parts)
            if a != b
        ),
    )


def _sum_over_ranges(
    context: Context, function: Callable[[Any, int], Counts], work: _Work, stage: str, memory: int
) -> Counts:
    """Return the sum over all ranges of what a function counts in each."""
    totals: Counts = {}
    for counts in context.map(function, work, range(work.ranges), stage, memory):
        totals = {name: totals[name] + count if totals else count for name, count in counts.items()}
    return totals


def _in_range(values: np.ndarray, index: int, ranges: int) -> np.ndarray:
    """Return which of some evenly spread 64-bit numbers lie in a range, shape of ``values``, bool."""
    low, high = (place * 2**64 // ranges for place in (index, index + 1))
    return np.asarray((values >= np.uint64(low)) & (values <= np.uint64(high - 1)))


# --- counting -------------------------------------------------------------------------------------------------------


def _grouped_pieces(pieces: Iterator[pa.Table], keys: list[str], how: dict[str, str]) -> pa.Table:
    """Return one row for each of the keys with other columns aggregated, in memory for the result and `GROUP_ROWS`."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(len(each) for each in waiting[1:]) > max(GROUP_ROWS, len(waiting[0])):
            waiting = [_grouped(waiting, keys, how)]
    return _grouped(waiting, keys, how)


def _grouped(tables: list[pa.Table], keys: list[str], how: dict[str, str]) -> pa.Table:
    rows = pa.concat_tables(tables)
    return rows.group_by(keys, use_threads=False).aggregate(list(how.items())).rename_columns([*keys, *how])


def _count_equal(work: _Work, index: int) -> Counts:
    """Count the images whose content lies in a range."""

    def pieces() -> Iterator[pa.Table]:
        for content, hashes, places in work.stream.images():
            inside = _in_range(leading(content), index, work.ranges)
            arrays = [content.filter(pa.array(inside)), places[inside], informative(hashes[inside])]
            yield pa.table([*arrays, np.ones(inside.sum(), np.int64)], ["content", "place", "informative", "images"])

    groups = _grouped_pieces(pieces(), ["content", "place", "informative"], {"images": "sum"})
    contents = groups["content"].combine_chunks().dictionary_encode()
    places, usable, images = (groups[name].to_numpy() for name in ("place", "informative", "images"))
    total, parts = images.sum(), max(len(work.stream.parts), 1)
    counts = {"images": total, "copies": total - len(contents.dictionary), "flat": images[~usable].sum()}
    in_a_part, rows = places >= 0, contents.indices.to_numpy()
    present, *weighted = (
        sparse.csr_array(
            (weights[in_a_part], (rows[in_a_part], places[in_a_part])), (max(len(contents.dictionary), 1), parts)
        )
        for weights in (np.ones_like(images), np.ones_like(images), images, images * usable)
    )
    shared = ((present.T @ each).toarray() for each in weighted)
    return counts | dict(zip(("contents", "exact", "informative"), shared, strict=True))


@dataclass(frozen=True)
class _RangeHashes:
    """The distinct hashes of a range, and their images."""

    hashes: np.ndarray
    """Each once, ascending, uint64."""
    images: np.ndarray
    """Images of each hash."""
    varied: np.ndarray
    """Whether a hash is of several contents."""
    parts: np.ndarray
    """Parts that hold an image of the hash, a bit each, shape (hashes, WORDS), uint64."""
    by_part: sparse.csr_array
    """Images of each in each part, shape (hashes, parts)."""


def _range_hashes(work: _Work, index: int) -> _RangeHashes:
    def pieces() -> Iterator[pa.Table]:
        for content, hashes, places in work.stream.images():
            inside = informative(hashes) & _in_range(hash_numbers(hashes), index, work.ranges)
            low = leading(content)[inside]  # 64 bits tell contents apart that share a hash
            ones = np.ones(len(low), np.int64)
            yield pa.table([hashes[inside], places[inside], ones, low, low], ["hash", "place", "images", "low", "high"])

    how = {"images": "sum", "low": "min", "high": "max"}
    groups = _grouped_pieces(pieces(), ["hash", "place"], how).sort_by("hash")
    values, places, images, low, high = (column.to_numpy() for column in groups.columns)
    first = _starts(values)
    row = np.repeat(np.arange(len(first)), np.diff(first, append=len(values)))
    in_a_part, parts = places >= 0, max(len(work.stream.parts), 1)
    by_part = sparse.csr_array((images[in_a_part], (row[in_a_part], places[in_a_part])), (len(first), parts))
    varied = np.minimum.reduceat(low, first) != np.maximum.reduceat(high, first)
    return _RangeHashes(
        values[first], np.add.reduceat(images, first), varied, _or_by_hash(_bits(places), first), by_part
    )


def _bits(places: np.ndarray) -> np.ndarray:
    """Return a bit for each part, none for -1, shape (places, WORDS), uint64."""
    bits = np.uint64(1) << (places % 64).astype(np.uint64)
    return np.where(places[:, None] // 64 == np.arange(WORDS), bits[:, None], np.uint64(0))


def _starts(ordered: np.ndarray) -> np.ndarray:
    """Return the index at which each value of an ascending array begins."""
    return np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))


def _or_by_hash(bits: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.asarray(np.bitwise_or.reduceat(bits, first, axis=0) if len(first) else bits[:0])


def _count_slots(work: _Work, index: int) -> Counts:
    """Count the hashes of a range by their slots under each mask."""
    places = slots(_range_hashes(work, index).hashes)
    return {
        "slots": np.stack([np.bincount(hash_slots, minlength=2**SLOT_BITS) for hash_slots in places]).astype(np.int32)
    }


def _count_alike(work: _AlikeWork, index: int) -> Counts:
    """Count the images whose hash lies in a range and that look like others, wherever these lie."""
    held_hashes = _range_hashes(work, index)
    saturated = np.stack(
        [
            saturated_slots[hash_slots]
            for saturated_slots, hash_slots in zip(work.saturated, slots(held_hashes.hashes), strict=True)
        ]
    )
    tables = LikenessTables(held_hashes.hashes, ~saturated)
    near, parts = held_hashes.varied.copy(), held_hashes.parts.copy()
    for _, hashes, places in work.stream.images():
        usable = informative(hashes)
        order = np.argsort(hashes[usable])
        others = hashes[usable][order]
        first = _starts(others)
        bits = _or_by_hash(_bits(places[usable][order]), first)
        for mine, theirs in tables.close(others[first]):
            near[mine] = True
            for word in range(WORDS if work.stream.parts else 0):
                np.bitwise_or.at(parts[:, word], mine, bits[theirs, word])
    members = (
        (parts[:, part // 64] >> np.uint64(part % 64)) & np.uint64(1) for part in range(held_hashes.by_part.shape[1])
    )
    by_part = np.stack([held_hashes.by_part.T @ each.astype(np.int64) for each in members])
    return {
        "near": held_hashes.images[near].sum(),
        "saturated": held_hashes.images[saturated.any(axis=0)].sum(),
        "by_part": by_part,
    }
