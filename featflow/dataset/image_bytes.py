"""The values of an image column as encoded bytes: bytes, structs of bytes and path, or URIs.

A struct's fields go by name, either may be null; where there are no bytes its path is read. Paths that are relative lie
beside the Parquet file. Only the storage that holds the dataset is read: a row cannot name another.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from featflow.dataset.files import read_object
from featflow.errors import InfrastructureError, first_line

__all__ = ["IMAGE_TYPE", "elsewhere", "images_of"]

IMAGE_TYPE = pa.struct([("bytes", pa.large_binary()), ("error", pa.string())])
"""Canonical type of an image: its encoded bytes, or why they could not be read; both null where there is none."""
READS_AT_ONCE = 16
ROW_AT_FAULT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError)
"""What reading raises where the path is at fault, and not the storage."""


def elsewhere(array: pa.Array) -> pa.BooleanArray:
    """Return which images of a column are read from their paths.

    Examples
    --------
    >>> elsewhere(pa.array(["a.png", None])).to_pylist(), elsewhere(pa.array([b"data"])).to_pylist()
    ([True, False], [False])
    """
    data, paths = _parts(array)
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
        Of the dataset's filesystem.

    Raises
    ------
    InfrastructureError
        Storage failed; the image may be sound.
    """
    data, paths = _parts(array)
    data = (pa.compute.if_else(array.is_valid(), data, None) if array.null_count else data).cast(pa.large_binary())
    lacking = elsewhere(array)
    if not pa.compute.any(lacking).as_py():
        return pa.StructArray.from_arrays([data, pa.nulls(len(array), pa.string())], fields=list(IMAGE_TYPE))
    found, wanted = data.to_pylist(), paths.to_pylist()
    errors: list[str | None] = [None] * len(found)

    def read(row: int) -> None:
        try:
            found[row] = read_object(_located(wanted[row], file), options)
        except ROW_AT_FAULT as error:
            errors[row] = first_line(error)
        except Exception as error:  # what may be gone tomorrow must not stay in a state
            raise InfrastructureError(f"{wanted[row]}: cannot read it: {first_line(error)}; retry") from error

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        list(pool.map(read, [row for row, lacks in enumerate(lacking.to_pylist()) if lacks]))
    return pa.StructArray.from_arrays(
        [pa.array(found, pa.large_binary()), pa.array(errors, pa.string())], fields=list(IMAGE_TYPE)
    )


def _parts(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return bytes and paths of a column's images; of a struct that is null, they say nothing."""
    kind = array.type
    if pa.types.is_struct(kind):
        return array.field(kind.get_field_index("bytes")), array.field(kind.get_field_index("path"))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_null(kind):
        return array, pa.nulls(len(array), pa.string())
    return pa.nulls(len(array), pa.large_binary()), array


def _located(path: str, file: str) -> str:
    """Return the URI that a path of a file's row means.

    Examples
    --------
    >>> _located("cat.png", "s3://lake/pets/a.parquet")
    's3://lake/pets/cat.png'
    """
    protocol, other = (uri.partition("://")[0] if "://" in uri else "file" for uri in (file, path))
    absolute = "://" in path or path.startswith("/")
    if absolute and other != protocol:
        raise PermissionError(f"{path} is not on the dataset's storage, {protocol}")
    return path if absolute else f"{file.rpartition('/')[0]}/{path}"
