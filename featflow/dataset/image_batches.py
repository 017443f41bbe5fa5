"""Batches of images, large enough for many threads, read while those before are encoded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeAlias

import pyarrow as pa

from featflow.dataset.batches import IMAGE_BYTES
from featflow.dataset.dataset import Quarantined

__all__ = ["image_batches"]

Batch: TypeAlias = pa.RecordBatch | Quarantined


def image_batches(batches: Iterator[Batch], rows: int) -> Iterator[Batch]:
    """Yield neighbouring batches as one, while together they are within the limits of one; read one ahead.

    Without this, decoding threads would wait at the end of every small row group for the thread with the largest image,
    and for storage: photographs of 224 x 224 on two threads reached 0.50 to 0.57 of bare decoding, against 0.61 to 0.72
    (docs/benchmarks.md). Memory holds the batch that is yielded, the next one, and the first piece of that after it.

    Parameters
    ----------
    batches
        As `featflow.dataset.batches.read_batches` yields them.
    rows
        Most rows of a batch.

    Examples
    --------
    >>> ones = [pa.record_batch({"image": [bytes([number])]}) for number in range(5)]
    >>> [batch.num_rows for batch in image_batches(iter(ones), 2)]
    [2, 2, 1]
    """
    joined = _join_small(batches, rows)
    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(_take_one, joined)
        while taken := upcoming.result():
            upcoming = reader.submit(_take_one, joined)
            yield taken.pop()


def _take_one(batches: Iterator[Batch]) -> list[Batch]:
    """Return a list of the next batch, empty at the end."""
    return list(islice(batches, 1))


def _join_small(batches: Iterator[Batch], rows: int) -> Iterator[Batch]:
    """Yield neighbouring batches concatenated up to `rows` and `IMAGE_BYTES`; `Quarantined` pass in their order."""
    waiting: list[pa.RecordBatch] = []
    held_rows = held_bytes = 0
    for batch in batches:
        full = isinstance(batch, Quarantined) or (
            held_rows + batch.num_rows > rows or held_bytes + batch.nbytes > IMAGE_BYTES
        )
        if full and waiting:
            yield _concatenated(waiting)
            waiting, held_rows, held_bytes = [], 0, 0
        if isinstance(batch, Quarantined):
            yield batch
        else:
            waiting.append(batch)
            held_rows, held_bytes = held_rows + batch.num_rows, held_bytes + batch.nbytes
    if waiting:
        yield _concatenated(waiting)


def _concatenated(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Return batches as one; a single batch is not copied."""
    return pa.concat_batches(batches) if len(batches) > 1 else batches[0]
