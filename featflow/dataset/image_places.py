"""Where a row's image is, and whether a row may name it: below the dataset's own folder, or one that is allowed.

Rows come from whoever writes the data, and are read with the rights of who runs the job. So what lies elsewhere is
refused by its name alone, before storage is asked: an answer would tell what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from featflow.dataset.files import DataFile
from featflow.dataset.formats import FRAME
from featflow.dataset.image_options import ImageOptions
from featflow.errors import printable

__all__ = [
    "ANYWHERE",
    "MORE",
    "ImagePathError",
    "ImagePlaces",
    "allowed",
    "encoded_text",
    "folder_uri",
    "folders_above",
    "shown",
]

ANYWHERE = "*"
"""Stands for all folders: rows that featflow wrote itself, of pictures that it listed."""
MORE = "; allow in dataset.images names more that rows may read"
"""End of the reason for which a row may not name a file."""
LONGEST_PATH = 4096
"""Bytes of a path: PATH_MAX of Linux, and four times the longest name of an object."""
LONGEST_SHOWN = 120
"""Characters of a path in a message: what is no path may have millions."""
LOCAL = "file"
SAME = {"local": LOCAL, "s3a": "s3", "gcs": "gs", "az": "abfss", "abfs": "abfss"}
"""Schemes of the same storage, by the one that stands for them."""
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
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


class ImagePlaces:
    """Turns the paths in rows of a file into URIs.

    Parameters
    ----------
    file
        The file that holds the rows.
    allowed
        Folders beside the dataset's own, as `folder_uri` gives them.

    Examples
    --------
    >>> table = DataFile("s3://lake/pets/a.parquet", 1, "", images_below=("s3://lake/pets",))
    >>> ImagePlaces(table).uri("cats/1.png")
    's3://lake/pets/cats/1.png'
    >>> ImagePlaces(table).uri("../payroll/1.png")
    Traceback (most recent call last):
    ...
    featflow.dataset.image_places.ImagePathError: ../payroll/1.png lies outside the dataset's folder; allow in ...
    """

    def __init__(self, file: DataFile, allowed: Iterable[str] = ()) -> None:
        folders = [*file.images_below, *allowed]
        self._anywhere = ANYWHERE in folders
        self._folders = [_split(folder) for folder in folders if folder != ANYWHERE]
        self._real = {path: os.path.realpath(path) for scheme, path in self._folders if scheme == LOCAL}
        self._protocol, holder = _split(file.uri)
        self._folder = None if file.uri.startswith(FRAME) else holder.rpartition("/")[0]
        self._real_folders: dict[str, str] = {}

    def uri(self, path: str) -> str:
        """Return the URI of a path as it stands in a row, less links where it is on this machine.

        Raises
        ------
        ImagePathError
            It is no path, or rows may not name it.
        """
        encoding = encoded_text(path)
        if encoding:
            raise ImagePathError(f"it is {encoding} and no path; store the bytes in a binary column")
        if len(path) > LONGEST_PATH or len(os.fsencode(path)) > LONGEST_PATH:
            raise ImagePathError(f"{shown(path)}: too long for a path")
        if "\0" in path:
            raise ImagePathError("embedded null byte")
        if SCHEME.match(path) or path.startswith("/"):
            scheme, location = _split(path)
        elif self._folder is None:
            raise ImagePathError(f"{shown(path)} is relative, and a frame lies in no folder; write whole paths")
        else:
            scheme, location = self._protocol, f"{self._folder}/{path}"
        if scheme == LOCAL:
            return f"{LOCAL}://{self._resolved(path, location)}"
        names = _normal(location)
        self._check(path, scheme, names, names)
        return f"{scheme}://{names}"

    def _resolved(self, path: str, location: str) -> str:
        """Return the path of a local file less links; disks look where '..' leads from behind a link."""
        location = location if location.startswith("/") else f"{os.getcwd()}/{location}"  # noqa: PTH109
        if self._anywhere:
            return location
        self._check(path, LOCAL, os.path.normpath(location), os.path.normpath(location))
        folder, _, name = location.rpartition("/")
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder or "/")
        real = f"{self._real_folders[folder].rstrip('/')}/{name}"
        if name in {".", ".."} or os.path.islink(real):  # noqa: PTH114
            real = os.path.realpath(real)
        self._check(path, LOCAL, real, "")
        return real

    def _check(self, path: str, scheme: str, location: str, named: str) -> None:
        """Raise ImagePathError for what lies in none of the folders.

        Parameters
        ----------
        named
            What may also lie in a folder by the name that it was given, which may be a link.
        """
        for each, folder in self._folders:
            if each == scheme and (
                _is_below(location, self._real.get(folder, folder)) or (named and _is_below(named, folder))
            ):
                return
        if self._anywhere:
            return
        if scheme != self._protocol:
            raise ImagePathError(f"{shown(path)} is not on the dataset's storage, {self._protocol}{MORE}")
        raise ImagePathError(f"{shown(path)} lies outside the dataset's folder{MORE}")


def folders_above(roots: Sequence[list[str]], common_depth: int) -> tuple[str, ...]:
    """Return the folder above all sources; those of each where above all is but a disk's root, or several buckets.

    Parameters
    ----------
    roots
        Names on the way to the folder of each source.
    common_depth
        How many of them all have in common.

    Examples
    --------
    >>> folders_above([["", "lake", "a"], ["", "lake", "b"]], 2), folders_above([["", "lake"], ["", "home"]], 1)
    (('/lake',), ('/lake', '/home'))
    """
    above = "/".join(roots[0][:common_depth]) if roots else ""
    is_folder = above.partition("://")[2] if "://" in above else above.strip("/").rstrip(":")
    return (above,) if is_folder else tuple(dict.fromkeys("/".join(root) for root in roots))


def allowed(images: Sequence[ImageOptions], column: str) -> tuple[str, ...]:
    """Return the URIs of the folders that the entries of a column of images allow."""
    return tuple(dict.fromkeys(folder_uri(each) for image in images if image.column == column for each in image.allow))


def folder_uri(folder: str) -> str:
    """Return a folder or prefix of ``allow`` as the URI that all processes understand.

    Examples
    --------
    >>> folder_uri("s3a://photos/2026/"), folder_uri("/srv/photos/")
    ('s3://photos/2026', 'file:///srv/photos')
    """
    scheme, location = _split(folder)
    if scheme == LOCAL:
        location = os.path.abspath(os.path.expanduser(location))  # noqa: PTH100, PTH111  links stay
    return f"{scheme}://{location.rstrip('/') or '/'}"


def shown(path: str) -> str:
    """Return a path for a message."""
    return printable(path if len(path) <= LONGEST_SHOWN else f"{path[:LONGEST_SHOWN]}...")


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


def _split(uri: str) -> tuple[str, str]:
    """Return the scheme of a URI, in one spelling, and what follows; of a path, that of this machine."""
    scheme = SCHEME.match(uri)
    if not scheme:
        return LOCAL, uri
    return SAME.get(scheme[1].lower(), scheme[1].lower()), uri[scheme.end() :]


def _normal(location: str) -> str:
    """Return a location on a store without '.' and '..', which clients and servers do not take for names alike.

    One that leads out of its bucket is nowhere: the empty text.
    """
    names: list[str] = []
    for name in location.split("/"):
        if name == "..":
            if len(names) < 2:
                return ""
            names.pop()
        elif name != ".":
            names.append(name)
    return "/".join(names)


def _is_below(location: str, folder: str) -> bool:
    return location == folder or location.startswith(f"{folder.rstrip('/')}/")
