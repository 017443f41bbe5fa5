"""The stored hashes of all images of a column, and in which part of a split each image lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.column import Column, Kind
from featflow.columns.hashing import DIGEST_BYTES
from featflow.dataset.batches import batch_rows, read_batches
from featflow.dataset.dataset import Quarantined, Shard
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.execution.context import Context
from featflow.execution.derived_columns import stored_rows
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer

if TYPE_CHECKING:
    from featflow.transforms.images.embeddings import Embedding  # torch, for those who have images

__all__ = ["MOST_PARTS", "HashStream", "leading", "split_values"]

MOST_PARTS = 100
"""Values that a split column may have: more are no split, and leakage grows with the square of them."""
WORD_BYTES = 8


@dataclass(frozen=True)
class HashStream:
    """The hashes of a dataset's images."""

    store: Store
    """Store of the states."""
    embedding: Embedding
    """Embedding whose states hold the hashes."""
    shards: tuple[Shard, ...]
    """Shards that have a state."""
    split: Column | None
    """Column of train, test, ..."""
    parts: tuple[str, ...] = ()
    """Values of the split column."""
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Of the dataset's filesystem."""

    def images(self) -> Iterator[tuple[pa.Array, np.ndarray, np.ndarray]]:
        """Yield of all images with a picture: contents, hashes (uint64), and places among the parts, -1 for none.

        Raises
        ------
        InfrastructureError
            There are more or fewer images than rows, or the split column cannot be read.
        """
        fields = [self.embedding.named(name).name for name in ("content", "perceptual_hash")]
        for shard in self.shards:
            places, start = self._places(shard), 0
            for batch in stored_rows(self.store, [StoredSummarizer(self.embedding)], shard.digest, fields):
                place = places[start : start + batch.num_rows]
                start += batch.num_rows
                if start > shard.rows:
                    break
                content, hashes = (batch.column(name) for name in fields)
                with_picture = pc.and_(content.is_valid(), hashes.is_valid())
                picture_rows = with_picture.to_numpy(zero_copy_only=False)
                yield content.filter(with_picture), hashes.filter(with_picture).to_numpy(), place[picture_rows]
            if start != shard.rows:
                raise InfrastructureError(f"{shard.file.uri}: {start} images of {shard.rows} rows; run again")

    def _places(self, shard: Shard) -> np.ndarray:
        if self.split is None:
            return np.full(shard.rows, -1, np.int16)
        known = pa.array(self.parts, pa.string())
        texts = _texts(shard, self.split, self.options)
        places = (pc.index_in(array.dictionary, value_set=known).take(array.indices) for array in texts)
        return np.concatenate([place.fill_null(-1).to_numpy().astype(np.int16) for place in places])


def split_values(context: Context, shards: Sequence[Shard], split: Column) -> tuple[str, ...]:
    """Return the values of a split column as text, ascending.

    Raises
    ------
    ConfigurationError
        There are more than `MOST_PARTS`.
    InfrastructureError
        The column cannot be read.
    """
    seen: set[str] = set()
    for values in context.map(_shard_values, (split, context.workspace.source_options), shards, "images: split"):
        seen |= values
        if len(seen) > MOST_PARTS:
            raise ConfigurationError(
                f"dataset.images: split '{split.name}' has more than {MOST_PARTS} values; "
                "name a column of train, test and the like, or leave split out"
            )
    return tuple(sorted(seen))


def _shard_values(work: tuple[Column, dict[str, Any]], shard: Shard) -> set[str]:
    """Return the values of a shard; where there are too many, some of them."""
    seen: set[str] = set()
    for array in _texts(shard, *work):
        seen |= set(array.unique().to_pylist()) - {None}
        if len(seen) > MOST_PARTS:
            break
    return seen


def _texts(shard: Shard, split: Column, options: dict[str, Any]) -> Iterator[pa.DictionaryArray]:
    columns = (Column(split.name, "string", Kind.CATEGORY, split.null_values),)
    for batch in read_batches(shard, columns, options, batch_rows(columns)):
        if isinstance(batch, Quarantined):
            raise InfrastructureError(f"{batch.uri}: '{split.name}' became unreadable during the run; run again")
        yield batch.column(0)


def leading(content: pa.Array) -> np.ndarray:
    """Return the first eight bytes of every digest as a number, uint64.

    Examples
    --------
    >>> leading(pa.array([bytes(7) + b"a" + bytes(8)], pa.binary(16))).tolist()
    [97]
    """
    if not len(content):
        return np.empty(0, np.uint64)
    words = DIGEST_BYTES // WORD_BYTES
    numbers = np.frombuffer(content.buffers()[1], ">u8", (content.offset + len(content)) * words)
    return numbers.reshape(-1, words)[content.offset :, 0].astype(np.uint64)
