"""Columns made from images: their names, and their values as a shard's states hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from featflow.columns import Column, Kind
from featflow.embedding.descriptors import NAMES
from featflow.storage import Store

__all__ = ["MadeColumns", "described"]


def described(image: str, folder: str) -> tuple[Column, ...]:
    """Return the columns of an image's descriptors, such as ``photo.brightness``.

    Parameters
    ----------
    folder
        Where the states are that hold their vectors.
    """
    return tuple(
        Column(f"{image}.{name}", "float32", Kind.NUMBER, made=(folder, place), source_type="descriptor of an image")
        for place, name in enumerate(NAMES)
    )


class MadeColumns:
    """The values of some made columns in a shard.

    Parameters
    ----------
    shard
        Digest of the shard.
    columns
        Of any kind; those that are read from files are left alone.
    """

    def __init__(self, store: Store, shard: str, columns: Sequence[Column]) -> None:
        self._columns = [(column, *column.made) for column in columns if column.made]
        folders = dict.fromkeys(folder for _, folder, _ in self._columns)
        self._vectors = {folder: _vectors(store, f"{folder}/{shard}.arrow") for folder in folders}

    def beside(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        """Return a batch with the made columns beside its own.

        Parameters
        ----------
        start
            Place of the batch's first row in the shard.
        """
        for column, folder, place in self._columns:
            values = self._vectors[folder][start : start + batch.num_rows, place]
            batch = batch.append_column(column.name, pa.array(values, mask=np.isnan(values)))
        return batch


def _vectors(store: Store, path: str) -> np.ndarray:
    """Return the vectors of a state, NaN where there is none, shape (rows, width), float32."""
    parts = [_dense(batch.column(0)) for batch in store.read_arrow_batches(path, ["vector"])]
    return np.concatenate(parts)


def _dense(vectors: pa.FixedSizeListArray) -> np.ndarray:
    width = vectors.type.list_size
    values = vectors.values.slice(vectors.offset * width, len(vectors) * width)
    found: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(len(vectors), width).copy()
    found[vectors.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found
