"""The values of an image column as encoded bytes: bytes, structs of bytes and path, or URIs.

A struct has the fields ``bytes`` and ``path``; either may be null, and the path is read where there are no bytes.
Relative paths are resolved against the Parquet file's folder. Only the dataset's own storage is read: a row of data
must not make a job read from any other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from featflow.dataset.files import read_object
from featflow.errors import InfrastructureError, first_line

__all__ = ["IMAGE_TYPE", "images_of", "stored_by_path"]

IMAGE_TYPE = pa.struct([("bytes", pa.large_binary()), ("error", pa.string())])
"""Canonical type of an image: its encoded bytes, or why they could not be read; both null where there is none."""
READS_AT_ONCE = 16
"""Files read at once: reads of small files wait for storage most of their time, so more than there are cores."""
ROW_AT_FAULT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError)
"""Errors of reading that are the path's fault, not the storage's: the image counts as unreadable, the run goes on."""


def stored_by_path(array: pa.Array) -> pa.BooleanArray:
    """Return which images of a column are read from their paths.

    Examples
    --------
    >>> stored_by_path(pa.array(["a.png", None])).to_pylist(), stored_by_path(pa.array([b"data"])).to_pylist()
    ([True, False], [False])
    """
    data, paths = _bytes_and_paths(array)
    return pa.compute.and_(array.is_valid(), pa.compute.and_(data.is_null(), paths.is_valid()))


def images_of(array: pa.Array, file: str, options: dict[str, Any]) -> pa.Array:
    """Return the images of a column, of type `IMAGE_TYPE`.

    Parameters
    ----------
    array
        Binary, struct of bytes and path, or strings.
    file
        URI of the file that holds the column.
    options
        Options of the dataset's filesystem.

    Raises
    ------
    InfrastructureError
        Storage failed; the image may be sound.
    """
    data, paths = _bytes_and_paths(array)
    data = (pa.compute.if_else(array.is_valid(), data, None) if array.null_count else data).cast(pa.large_binary())
    by_path = stored_by_path(array)
    if not pa.compute.any(by_path).as_py():
        return pa.StructArray.from_arrays([data, pa.nulls(len(array), pa.string())], fields=list(IMAGE_TYPE))
    contents, locations = data.to_pylist(), paths.to_pylist()
    errors: list[str | None] = [None] * len(contents)

    def read(row: int) -> None:
        try:
            contents[row] = read_object(_resolve_path(locations[row], file), options)
        except ROW_AT_FAULT as error:
            errors[row] = first_line(error)
        except Exception as error:  # an outage may be over tomorrow: it must not be stored in a state
            raise InfrastructureError(f"{locations[row]}: cannot read it: {first_line(error)}; retry") from error

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        list(pool.map(read, [row for row, reads in enumerate(by_path.to_pylist()) if reads]))
    return pa.StructArray.from_arrays(
        [pa.array(contents, pa.large_binary()), pa.array(errors, pa.string())], fields=list(IMAGE_TYPE)
    )


def _bytes_and_paths(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return bytes and paths of a column's images; where a struct itself is null, both are meaningless."""
    kind = array.type
    if pa.types.is_struct(kind):
        return array.field(kind.get_field_index("bytes")), array.field(kind.get_field_index("path"))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_null(kind):
        return array, pa.nulls(len(array), pa.string())
    return pa.nulls(len(array), pa.large_binary()), array


def _resolve_path(path: str, file: str) -> str:
    """Return the URI of a path that a row of a file holds; raise PermissionError where it names other storage.

    Examples
    --------
    >>> _resolve_path("cat.png", "s3://lake/pets/a.parquet")
    's3://lake/pets/cat.png'
    """
    protocol, other = (uri.partition("://")[0] if "://" in uri else "file" for uri in (file, path))
    absolute = "://" in path or path.startswith("/")
    if absolute and other != protocol:
        raise PermissionError(f"{path} is not on the dataset's storage, {protocol}")
    return path if absolute else f"{file.rpartition('/')[0]}/{path}"
