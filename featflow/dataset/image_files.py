"""Files that rows name as their images: whole regular files of bounded size, where rows may name them.

Whatever stands in a row, the worst that it can do is to have no image: a path that leads nowhere, to a device or to
where it may not, or that is no path at all, is that row's fault. An outage is not: it may be over tomorrow, and
must not be stored in a state.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

from featflow.dataset.image_places import ImagePathError, ImagePlaces, encoded_text, shown
from featflow.errors import ConfigurationError, FeatflowError, InfrastructureError, first_line
from featflow.storage.retries import is_refused, is_transient, with_retries
from featflow.storage.store import reason, resolve

__all__ = ["ABSENT", "MOST_BYTES", "NOT_GIVEN", "encoded_text", "is_given", "lasts", "read_image_file"]

MOST_BYTES = 2**29
"""Largest file that is read: 100 million pixels, the most that are decoded by default, take 400 MB uncompressed."""
LONGEST_KEY = 1024
"""Longest name of an object in S3, Google Cloud Storage and Azure, bytes; some answer a longer one as by an outage."""
ABSENT = (FileNotFoundError, NotADirectoryError)
"""Errors of a file that is not there."""
NOT_GIVEN = "storage does not give it: "
"""Begin of the reason why a file could not be read that is, or may be, there: it is asked for again every night."""


def read_image_file(path: str, places: ImagePlaces, options: dict[str, Any]) -> bytes:
    """Return the bytes of the file that a row names.

    Parameters
    ----------
    path
        As it stands in the row: relative to the folder of the file that holds it, or absolute.
    places
        Where rows of that file may have images.
    options
        Options of the dataset's filesystem.

    Raises
    ------
    ImagePathError
        The path is at fault, or storage will not give the file until a person changes something.
    InfrastructureError
        Storage failed; the image may be sound.

    Examples
    --------
    >>> from featflow.dataset.files import DataFile
    >>> places = ImagePlaces(DataFile("/lake/a.parquet", 1, "", images_below=("/lake",)))
    >>> read_image_file("data:image/png;base64,iVBORw0KGgo", places, {})
    Traceback (most recent call last):
    ...
    featflow.dataset.image_places.ImagePathError: it is a data: URI and no path; store the bytes in a binary column
    """
    uri = places.uri(path)
    try:
        return with_retries(lambda: _read(uri, options))
    except ImagePathError:
        raise
    except Exception as error:
        raise InfrastructureError(f"{shown(path)}: cannot read it: {first_line(error)}; retry") from error


def is_given(uri: str, options: dict[str, Any]) -> bool:
    """Return whether storage gives a file that it would not give before.

    Raises
    ------
    InfrastructureError
        Storage failed.
    """
    try:
        with_retries(lambda: _read(uri, options))
    except ImagePathError as error:
        return not str(error).startswith(NOT_GIVEN)
    except Exception as error:
        raise InfrastructureError(f"{shown(uri)}: cannot read it: {first_line(error)}; retry") from error
    return True


def lasts(error: Exception) -> bool:
    """Return whether storage will say the same to the next attempt, so that it is the path's fault.

    A token that has expired is not: no image can be read with it.

    Examples
    --------
    >>> lasts(PermissionError("Access Denied")), lasts(PermissionError("The token has expired"))
    (True, False)
    >>> lasts(TimeoutError()), lasts(InfrastructureError("storage does not answer"))
    (False, False)
    """
    if isinstance(error, FeatflowError):
        return isinstance(error, ConfigurationError)
    return not is_transient(error) and (is_refused(error) or not isinstance(error, PermissionError))


def _read(uri: str, options: dict[str, Any]) -> bytes:
    """Return the bytes at a URI; raise ImagePathError for what another attempt would not mend."""
    scheme, _, location = uri.partition("://")
    try:
        return _read_local(location) if scheme == "file" else _read_object(uri, options)
    except ImagePathError:
        raise
    except Exception as error:
        if not lasts(error):
            raise
        message = f"{shown(uri)}: {reason(error)}"
        raise ImagePathError(message if isinstance(error, ABSENT) else f"{NOT_GIVEN}{message}") from error


def _read_local(location: str) -> bytes:
    """Return the bytes of a regular file: a pipe would be waited for, and a device has no end."""
    status = Path(location).stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImagePathError(f"{location} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no regular file'}")
    _check_size(status.st_size)
    with Path(location).open("rb") as opened:
        return opened.read(status.st_size)


def _read_object(uri: str, options: dict[str, Any]) -> bytes:
    """Return the bytes of an object, all that storage says it has: an answer that is cut short is no damaged image."""
    filesystem, location = resolve(uri, options)
    if len(location.encode()) > LONGEST_KEY:
        raise ImagePathError(f"{shown(location)} is longer than a name may be")
    entry = filesystem.info(location)
    if entry["type"] != "file":
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    size = entry.get("size")
    _check_size(size or 0)
    data = bytes(filesystem.cat_file(location, start=0, end=MOST_BYTES + 1)) if size != 0 else b""
    _check_size(len(data))
    if size is not None and len(data) != size:
        raise OSError(errno.EIO, f"{len(data)} of {size} bytes came")
    return data


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ImagePathError(f"it has more than {MOST_BYTES:,} bytes")
