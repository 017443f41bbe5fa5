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

    Threads that decode would else wait, at the end of every small row group, for the one with the largest image, and
    for storage. Beside the batch that is yielded and the next one, the first piece of that after it is held.

    Parameters
    ----------
    batches
        As `featflow.dataset.batches.read_batches` yields them.
    rows
        Of a batch at most.

    Examples
    --------
    >>> ones = [pa.record_batch({"image": [bytes([number])]}) for number in range(5)]
    >>> [batch.num_rows for batch in image_batches(iter(ones), 2)]
    [2, 2, 1]
    """
    joined = _joined(batches, rows)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_next, joined)
        while found := coming.result():
            coming = reader.submit(_next, joined)
            yield found.pop()


def _next(batches: Iterator[Batch]) -> list[Batch]:
    """Return the next one; none at the end."""
    return list(islice(batches, 1))


def _joined(batches: Iterator[Batch], rows: int) -> Iterator[Batch]:
    waiting: list[pa.RecordBatch] = []
    held_rows = held_bytes = 0
    for batch in batches:
        full = isinstance(batch, Quarantined) or (
            held_rows + batch.num_rows > rows or held_bytes + batch.nbytes > IMAGE_BYTES
        )
        if full and waiting:
            yield _one(waiting)
            waiting, held_rows, held_bytes = [], 0, 0
        if isinstance(batch, Quarantined):
            yield batch
        else:
            waiting.append(batch)
            held_rows, held_bytes = held_rows + batch.num_rows, held_bytes + batch.nbytes
    if waiting:
        yield _one(waiting)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Return batches as one; a single one is not copied."""
    return pa.concat_batches(batches) if len(batches) > 1 else batches[0]
