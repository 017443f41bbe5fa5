"""Images that are there twice, images that look alike, and what of both lies in several parts of a split.

Images are equal where their contents have one digest, alike where their difference hashes lie within
`featflow.analyses.embedding_profile.hash_distance.DISTANCE` bits. A task holds a range of the digests, or of the mixed
hashes, and looks up those of all shards in it. So every image is counted by one task, nothing is written, and memory
depends on the range alone. Cost: three looks at the states a range, 2 microseconds an image and range.
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
"""Bytes of each: tables, counts, and their sorting."""
MOST_ALIKE = 4096
"""Hashes that share two blocks, beyond which they are not compared by these: time would grow with their square."""
WORDS = 2
"""Words of 64 bits that hold a bit for each part."""
GROUP_ROWS = 2**20
"""Rows that wait to be counted by their keys."""


@dataclass(frozen=True)
class Leak:
    """What two parts of a split share."""

    first: str
    """Value of the split column, such as train."""
    second: str
    """Another."""
    contents: int
    """Distinct contents that lie in both."""
    exact: int
    """Images of the second part whose content lies in the first, too."""
    near: int
    """Images of the second part that have no such twin, and look like an image of the first."""


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
    """Images that are like none: their hash says nothing, as no pixel, or every one, is brighter than its neighbour."""
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


def duplicates(context: Context, shards: Sequence[Shard], made: Embedding, split: Column | None) -> Duplicates:
    """Count equal and similar images, and what parts of a split share of them.

    Parameters
    ----------
    shards
        Those whose states of ``made`` exist.
    split
        Column of train, test, ...; None where there is none.

    Raises
    ------
    ConfigurationError
        The split column has too many values.
    InfrastructureError
        States or the split column do not hold what they held in this run; run again.
    """
    held = max(1, min(RANGE_IMAGES, context.workspace.state_bytes // IMAGE_BYTES))
    ranges = max(1, math.ceil(sum(shard.rows for shard in shards) / held))
    memory = held * IMAGE_BYTES
    parts = () if split is None else split_values(context, shards, split)
    workspace = context.workspace
    hashes = HashStream(workspace.store, made, tuple(shards), split, parts, workspace.source_options)
    work = _Work(hashes, ranges)
    equal = _total(context, _count_equal, work, "images: equal", memory)
    by_slot = _total(context, _count_slots, work, "images: hashes", memory)["slots"]
    chance = int(by_slot[0].sum()) >> SLOT_BITS  # hashes that share a slot and nothing else
    alike_work = _AlikeWork(work.stream, ranges, by_slot > MOST_ALIKE + 2 * chance)
    alike = _total(context, _count_alike, alike_work, "images: alike", memory)
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


def _total(context: Context, function: Callable[[Any, int], Counts], work: _Work, stage: str, memory: int) -> Counts:
    """Return the sum over all ranges of what a function counts in each."""
    whole: Counts = {}
    for counts in context.map(function, work, range(work.ranges), stage, memory):
        whole = {name: whole[name] + count if whole else count for name, count in counts.items()}
    return whole


def _within(values: np.ndarray, index: int, ranges: int) -> np.ndarray:
    """Return which of some evenly spread numbers lie in a range of them all."""
    low, high = (place * 2**64 // ranges for place in (index, index + 1))
    return np.asarray((values >= np.uint64(low)) & (values <= np.uint64(high - 1)))


# --- counting -------------------------------------------------------------------------------------------------------


def _grouped(pieces: Iterator[pa.Table], keys: list[str], how: dict[str, str]) -> pa.Table:
    """Return one row for each of the keys, its other columns aggregated."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(len(each) for each in waiting[1:]) > max(GROUP_ROWS, len(waiting[0])):
            waiting = [_group(waiting, keys, how)]
    return _group(waiting, keys, how)


def _group(tables: list[pa.Table], keys: list[str], how: dict[str, str]) -> pa.Table:
    whole = pa.concat_tables(tables)
    return whole.group_by(keys, use_threads=False).aggregate(list(how.items())).rename_columns([*keys, *how])


def _count_equal(work: _Work, index: int) -> Counts:
    """Count the images whose content lies in a range."""

    def pieces() -> Iterator[pa.Table]:
        for content, hashes, places in work.stream.images():
            inside = _within(leading(content), index, work.ranges)
            arrays = [content.filter(pa.array(inside)), places[inside], informative(hashes[inside])]
            yield pa.table([*arrays, np.ones(inside.sum(), np.int64)], ["content", "place", "informative", "images"])

    found = _grouped(pieces(), ["content", "place", "informative"], {"images": "sum"})
    contents = found["content"].combine_chunks().dictionary_encode()
    places, says, images = (found[name].to_numpy() for name in ("place", "informative", "images"))
    total, parts = images.sum(), max(len(work.stream.parts), 1)
    counts = {"images": total, "copies": total - len(contents.dictionary), "flat": images[~says].sum()}
    there, rows = places >= 0, contents.indices.to_numpy()
    present, *weighted = (
        sparse.csr_array((weights[there], (rows[there], places[there])), (max(len(contents.dictionary), 1), parts))
        for weights in (np.ones_like(images), np.ones_like(images), images, images * says)
    )
    shared = ((present.T @ each).toarray() for each in weighted)
    return counts | dict(zip(("contents", "exact", "informative"), shared, strict=True))


@dataclass(frozen=True)
class _Hashes:
    """The hashes of a range."""

    hashes: np.ndarray
    """Each once, ascending, uint64."""
    images: np.ndarray
    """Images of each."""
    varied: np.ndarray
    """Whether they are of several contents."""
    parts: np.ndarray
    """In which parts they lie, a bit each, shape (hashes, WORDS), uint64."""
    by_part: sparse.csr_array
    """Images of each in each part, shape (hashes, parts)."""


def _hashes(work: _Work, index: int) -> _Hashes:
    def pieces() -> Iterator[pa.Table]:
        for content, hashes, places in work.stream.images():
            inside = informative(hashes) & _within(hash_numbers(hashes), index, work.ranges)
            low = leading(content)[inside]  # 64 bits tell contents apart that share a hash
            ones = np.ones(len(low), np.int64)
            yield pa.table([hashes[inside], places[inside], ones, low, low], ["hash", "place", "images", "low", "high"])

    how = {"images": "sum", "low": "min", "high": "max"}
    found = _grouped(pieces(), ["hash", "place"], how).sort_by("hash")
    of, places, images, low, high = (column.to_numpy() for column in found.columns)
    first = _starts(of)
    row = np.repeat(np.arange(len(first)), np.diff(first, append=len(of)))
    there, parts = places >= 0, max(len(work.stream.parts), 1)
    by_part = sparse.csr_array((images[there], (row[there], places[there])), (len(first), parts))
    varied = np.minimum.reduceat(low, first) != np.maximum.reduceat(high, first)
    return _Hashes(of[first], np.add.reduceat(images, first), varied, _joined(_bits(places), first), by_part)


def _bits(places: np.ndarray) -> np.ndarray:
    """Return a bit for each part, none for -1, shape (places, WORDS), uint64."""
    bits = np.uint64(1) << (places % 64).astype(np.uint64)
    return np.where(places[:, None] // 64 == np.arange(WORDS), bits[:, None], np.uint64(0))


def _starts(ordered: np.ndarray) -> np.ndarray:
    """Return where each value begins."""
    return np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))


def _joined(bits: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.asarray(np.bitwise_or.reduceat(bits, first, axis=0) if len(first) else bits[:0])


def _count_slots(work: _Work, index: int) -> Counts:
    """Count the hashes of a range by their slots under each mask."""
    places = slots(_hashes(work, index).hashes)
    return {"slots": np.stack([np.bincount(of, minlength=2**SLOT_BITS) for of in places]).astype(np.int32)}


def _count_alike(work: _AlikeWork, index: int) -> Counts:
    """Count the images whose hash lies in a range and that look like others, wherever these lie."""
    held = _hashes(work, index)
    saturated = np.stack([full[of] for full, of in zip(work.saturated, slots(held.hashes), strict=True)])
    tables = LikenessTables(held.hashes, ~saturated)
    near, parts = held.varied.copy(), held.parts.copy()
    for _, hashes, places in work.stream.images():
        says = informative(hashes)
        order = np.argsort(hashes[says])
        others = hashes[says][order]
        first = _starts(others)
        bits = _joined(_bits(places[says][order]), first)
        for mine, theirs in tables.close(others[first]):
            near[mine] = True
            for word in range(WORDS if work.stream.parts else 0):
                np.bitwise_or.at(parts[:, word], mine, bits[theirs, word])
    beside = ((parts[:, part // 64] >> np.uint64(part % 64)) & np.uint64(1) for part in range(held.by_part.shape[1]))
    by_part = np.stack([held.by_part.T @ each.astype(np.int64) for each in beside])
    return {"near": held.images[near].sum(), "saturated": held.images[saturated.any(axis=0)].sum(), "by_part": by_part}
