"""Files that rows name as their images: whole regular files of bounded size, on the dataset's own storage.

Whatever stands in a row, the worst that it can do is to have no image: a path that leads nowhere, to a device or out of
the dataset's storage, or that is no path at all, is that row's fault. An outage is not: it may be over tomorrow, and
must not be stored in a state.
"""

from __future__ import annotations

import errno
import posixpath
import re
import stat
from pathlib import Path
from typing import Any

from featflow.errors import ConfigurationError, InfrastructureError, first_line
from featflow.storage.retries import with_retries
from featflow.storage.store import resolve

__all__ = ["MOST_BYTES", "ImagePathError", "encoded_text", "read_image_file"]

MOST_BYTES = 2**29
"""Largest file that is read: 100 million pixels, the most that are decoded by default, take 400 MB uncompressed."""
LONGEST_KEY = 1024
"""Longest name of an object in S3, Google Cloud Storage and Azure, bytes; some answer a longer one as by an outage."""
LONGEST_SHOWN = 120
"""Characters of a path in a message: what is no path may have millions."""
LOCAL = {"file", "local"}
ROW_AT_FAULT = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ValueError,
    ConfigurationError,
)
"""Errors of reading that are the path's fault, not the storage's."""
ERRNOS_AT_FAULT = {errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP}
NAMES_AT_FAULT = {"ParamValidationError"}
"""Names of errors that clients raise of what no bucket or object may be called."""
DATA_URI = re.compile(r"data:[\w.+/-]*[;,]", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{100}")
"""A hundred characters of base64: more than any header of a picture, and without the dot of a file's suffix."""
BASE64_STARTS = {
    "iVBORw0KGgo": "PNG",
    "/9j/": "JPEG",
    "R0lGOD": "GIF",
    "UklGR": "WebP",
    "SUkqA": "TIFF",
    "TU0AK": "TIFF",
    "Qk": "BMP",
}


class ImagePathError(ValueError):
    """A row's path leads to no image; the message says why."""


def read_image_file(path: str, file: str, options: dict[str, Any]) -> bytes:
    """Return the bytes of the file that a row names.

    Parameters
    ----------
    path
        As it stands in the row: relative to the folder of ``file``, or absolute.
    file
        URI of the file that holds the row.
    options
        Options of the dataset's filesystem.

    Raises
    ------
    ImagePathError
        The path is at fault.
    InfrastructureError
        Storage failed; the image may be sound.

    Examples
    --------
    >>> read_image_file("data:image/png;base64,iVBORw0KGgo", "file:///lake/a.parquet", {})
    Traceback (most recent call last):
    ...
    featflow.dataset.image_files.ImagePathError: it is a data: URI and no path; store the bytes in a binary column
    """
    encoding = encoded_text(path)
    if encoding:
        raise ImagePathError(f"it is {encoding} and no path; store the bytes in a binary column")
    uri = _resolve_path(path, file)
    try:
        return with_retries(lambda: _read(uri, options))
    except ImagePathError:
        raise
    except Exception as error:
        raise InfrastructureError(f"{_shown(path)}: cannot read it: {first_line(error)}; retry") from error


def _read(uri: str, options: dict[str, Any]) -> bytes:
    """Return the bytes at a URI; raise ImagePathError for what another attempt would not mend."""
    protocol, _, location = uri.partition("://")
    try:
        return _read_local(location) if protocol in LOCAL else _read_object(uri, options)
    except ImagePathError:
        raise
    except Exception as error:
        lasts = isinstance(error, ROW_AT_FAULT) or type(error).__name__ in NAMES_AT_FAULT
        if lasts or getattr(error, "errno", None) in ERRNOS_AT_FAULT:
            message = first_line(error)
            raise ImagePathError(message if location in message else f"{_shown(uri)}: {message}") from error
        raise


def _shown(path: str) -> str:
    return path if len(path) <= LONGEST_SHOWN else f"{path[:LONGEST_SHOWN]}..."


def encoded_text(text: str) -> str:
    """Return what text is that holds an image itself; empty if it is other text, such as a path.

    Examples
    --------
    >>> encoded_text("iVBORw0KGgo" * 20), encoded_text("cats/iVBORw0KGgo.png")
    ('base64 text of a PNG', '')
    """
    if DATA_URI.match(text):
        return "a data: URI"
    kind = next((kind for start, kind in BASE64_STARTS.items() if text.startswith(start)), "")
    return f"base64 text of a {kind}" if kind and BASE64.match(text) else ""


def _resolve_path(path: str, file: str) -> str:
    """Return the URI of a path that a row of a file holds; raise ImagePathError where it names other storage.

    Examples
    --------
    >>> _resolve_path("cat.png", "s3://lake/pets/a.parquet"), _resolve_path("../cat.png", "s3://lake/pets/a.parquet")
    ('s3://lake/pets/cat.png', 's3://lake/cat.png')
    """
    if "://" not in file:
        file = f"file://{file}"
    protocol, _, holder = file.partition("://")
    other = path.partition("://")[0] if "://" in path else "file"
    if "://" in path or path.startswith("/"):
        if other != protocol and not {other, protocol} <= LOCAL:
            raise ImagePathError(f"{_shown(path)} is not on the dataset's storage, {protocol}")
        return path if "://" in path else f"{protocol}://{path}"
    folder = posixpath.dirname(holder)
    if protocol in LOCAL or ".." not in path.split("/"):
        return f"{protocol}://{folder}/{path}"
    # Object stores take '..' for a name; disks look where a link leads.
    location = posixpath.normpath(f"{folder}/{path}")
    if location.split("/")[0] != holder.split("/")[0]:
        raise ImagePathError(f"{_shown(path)} leads out of {protocol}://{holder.split('/')[0]}")
    return f"{protocol}://{location}"


def _read_local(location: str) -> bytes:
    """Return the bytes of a regular file: a pipe would be waited for, and a device has no end."""
    status = Path(location).stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImagePathError(f"{location} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no regular file'}")
    _check_size(status.st_size)
    with Path(location).open("rb") as opened:
        return opened.read(status.st_size)


def _read_object(uri: str, options: dict[str, Any]) -> bytes:
    """Return the bytes of an object in one request; only an empty one takes two, as it has no first byte."""
    try:
        filesystem, location = resolve(uri, options)
    except ConfigurationError as error:  # the dataset's own URI was understood
        raise ImagePathError(first_line(error)) from error
    if len(location.encode()) > LONGEST_KEY:
        raise ImagePathError(f"{_shown(location)} is longer than a name may be")
    try:
        data = bytes(filesystem.cat_file(location, start=0, end=MOST_BYTES + 1))
    except FileNotFoundError:
        raise
    except Exception:
        entry = filesystem.info(location)
        if entry["type"] != "file" or entry["size"]:
            raise
        data = b""
    _check_size(len(data))
    return data


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ImagePathError(f"it has more than {MOST_BYTES:,} bytes")
