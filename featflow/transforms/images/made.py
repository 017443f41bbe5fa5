"""Columns made from images: their names, and their values as a shard's states hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column, Kind
from featflow.storage.store import Store
from featflow.transforms.images.descriptors import NAMES
from featflow.transforms.projection.projection import Fit

__all__ = ["MadeColumns", "described", "kept", "placed"]


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


def placed(image: str, folder: str, fit: Fit) -> tuple[Column, ...]:
    """Return the columns of a model's vectors, ``photo.direction_1`` and so on, and ``photo.cluster``.

    Parameters
    ----------
    folder
        Where the states are that hold them.
    """
    kind = "principal direction of vectors"
    found = [
        Column(f"{image}.direction_{place + 1}", "float32", Kind.NUMBER, made=(folder, place), source_type=kind)
        for place in range(fit.kept)
    ]
    if len(fit.centres):
        of = (folder, fit.kept)
        found.append(Column(f"{image}.cluster", "string", Kind.CATEGORY, made=of, source_type="cluster of vectors"))
    return tuple(found)


def kept(image: str, folder: str) -> tuple[Column, Column]:
    """Return a column of an image's vectors, and one of the digests of its bytes, for summaries of these."""
    names = ("vector", "content")
    vector, content = (Column(f"{image}.{name}", "vector", Kind.VECTOR, made=(folder, name)) for name in names)
    return vector, content


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
        fields = dict.fromkeys((folder, _field(place)) for _, folder, place in self._columns)
        self._arrays = {(folder, name): _array(store, f"{folder}/{shard}.arrow", name) for folder, name in fields}
        numbers = {folder for _, folder, place in self._columns if isinstance(place, int)}
        self._numbers = {folder: _dense(self._arrays[folder, "vector"]) for folder in numbers}

    def beside(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        """Return a batch with the made columns beside its own.

        Parameters
        ----------
        start
            Place of the batch's first row in the shard.
        """
        for column, folder, place in self._columns:
            if isinstance(place, str):
                array = self._arrays[folder, place].slice(start, batch.num_rows)
            else:
                values = self._numbers[folder][start : start + batch.num_rows, place]
                array = pa.array(values, mask=np.isnan(values))
            if column.type == "string":
                array = array.cast(pa.int32()).cast(pa.string()).dictionary_encode()
            batch = batch.append_column(column.name, array)
        return batch


def _field(place: int | str) -> str:
    return place if isinstance(place, str) else "vector"


def _array(store: Store, path: str, name: str) -> pa.Array:
    return pa.concat_arrays([batch.column(0) for batch in store.read_arrow_batches(path, [name])])


def _dense(vectors: pa.FixedSizeListArray) -> np.ndarray:
    """Return vectors, NaN where there is none, shape (rows, width), float32."""
    width = vectors.type.list_size
    values = vectors.values.slice(vectors.offset * width, len(vectors) * width)
    found: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(len(vectors), width).copy()
    found[vectors.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found
