"""The values of an image column as encoded bytes: bytes, structs of bytes and path, or URIs.

A struct has the fields ``bytes`` and ``path``; either may be null, and the path is read where there are no bytes.
Relative paths are resolved against the Parquet file's folder (`image_places`). Bytes and texts may be of any of Arrow's
types for them, or dictionaries of these.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from featflow.dataset.image_files import read_image_file
from featflow.dataset.image_places import ImagePathError, ImagePlaces
from featflow.errors import first_line

__all__ = ["IMAGE_TYPE", "images_of", "paths_of", "stored_by_path"]

IMAGE_TYPE = pa.struct([("bytes", pa.large_binary()), ("error", pa.string())])
"""Canonical type of an image: its encoded bytes, or why they could not be read; both null where there is none."""
READS_AT_ONCE = 16
"""Files read at once: reads of small files wait for storage most of their time, so more than there are cores."""


def stored_by_path(array: pa.Array) -> pa.BooleanArray:
    """Return which images of a column are read from their paths.

    Examples
    --------
    >>> stored_by_path(pa.array(["a.png", None])).to_pylist(), stored_by_path(pa.array([b"data"])).to_pylist()
    ([True, False], [False])
    """
    data, paths = _bytes_and_paths(array)
    return pa.compute.and_(array.is_valid(), pa.compute.and_(data.is_null(), paths.is_valid()))


def images_of(array: pa.Array, places: ImagePlaces, options: dict[str, Any]) -> pa.Array:
    """Return the images of a column, of type `IMAGE_TYPE`.

    Parameters
    ----------
    array
        Binary, struct of bytes and path, or strings.
    places
        Where the file that holds the column may have images.
    options
        Options of the dataset's filesystem.

    Raises
    ------
    InfrastructureError
        Storage failed; the image may be sound.
    """
    data, paths = _bytes_and_paths(array)
    data = pa.compute.if_else(array.is_valid(), data, None) if array.null_count else data
    by_path = stored_by_path(array)
    if not pa.compute.any(by_path).as_py():
        return pa.StructArray.from_arrays([data, pa.nulls(len(array), pa.string())], fields=list(IMAGE_TYPE))
    contents, locations = data.to_pylist(), paths.to_pylist()
    errors: list[str | None] = [None] * len(contents)

    def read(row: int) -> None:
        try:
            # On disks names are bytes: those that are not UTF-8 name files, too.
            contents[row] = read_image_file(os.fsdecode(locations[row]), places, options)
        except ImagePathError as error:
            errors[row] = first_line(error)

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        list(pool.map(read, [row for row, reads in enumerate(by_path.to_pylist()) if reads]))
    return pa.StructArray.from_arrays(
        [pa.array(contents, pa.large_binary()), pa.array(errors, pa.string())], fields=list(IMAGE_TYPE)
    )


def paths_of(array: pa.Array) -> pa.Array:
    """Return the paths of a column of texts as large_binary; nulls of one that holds none."""
    return _as_binary(array) if _is_text(array.type) else pa.nulls(len(array), pa.large_binary())


def _bytes_and_paths(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return bytes and paths of a column's images, both large_binary; where a struct is null, both are meaningless."""
    kind = array.type
    if pa.types.is_struct(kind):
        data, paths = (array.field(kind.get_field_index(name)) for name in ("bytes", "path"))
        return _as_binary(data), _as_binary(paths)
    values = _as_binary(array)
    nothing = pa.nulls(len(array), pa.large_binary())
    return (nothing, values) if _is_text(kind) else (values, nothing)


def _as_binary(array: pa.Array) -> pa.Array:
    """Return bytes or texts, or a dictionary of them, as large_binary: 32-bit offsets would end at 2 GiB."""
    if pa.types.is_dictionary(array.type):
        return _as_binary(array.dictionary).take(array.indices)
    return array.cast(pa.large_binary())


def _is_text(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return values in {pa.string(), pa.large_string(), pa.string_view()}
