"""What lies below a folder of any filesystem: a folder that cannot be listed is an error, never an omission.

fsspec's ``find`` and ``exists`` take every error of a filesystem for "nothing there": a folder that gave EIO for a
moment would be missing from a dataset without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem

from featflow.storage.filesystems import failed, uri_of
from featflow.storage.retries import with_retries

__all__ = ["Entry", "exists", "find", "modified"]


def find(filesystem: Any, folder: str) -> dict[str, dict[str, Any]]:
    """Return the filesystem's entries of all files below a folder, by path; of a file, its own.

    Links of a disk are not followed. A folder that goes while the others are listed is none.

    Raises
    ------
    FileNotFoundError
        There is no such folder, on a filesystem that has folders; elsewhere nothing is found.
    ConfigurationError, InfrastructureError
        A folder cannot be listed; the message names it.
    """
    if _lists_as_one(filesystem):
        return dict(_asked(filesystem, folder, lambda: filesystem.find(folder, detail=True)))
    files: dict[str, dict[str, Any]] = {}
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            entries = _asked(filesystem, path, lambda: filesystem.ls(path, detail=True))  # noqa: B023
        except FileNotFoundError:
            if path == folder:
                raise
            continue
        for info in entries:
            name = info["name"].rstrip("/")
            if info["type"] != "directory":
                files[info["name"]] = info
            elif name != path:
                waiting.append(name)
    return files


def exists(filesystem: Any, path: str) -> bool:
    """Return whether there is a file or folder; raises what the filesystem raises where it does not say."""
    try:
        filesystem.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _lists_as_one(filesystem: Any) -> bool:
    """Return whether a filesystem lists all below a folder in a way of its own, as object stores do.

    The others walk, and leave out what they cannot list.
    """
    if isinstance(filesystem, AsyncFileSystem):
        return type(filesystem)._find is not AsyncFileSystem._find  # noqa: SLF001  what its find calls
    return type(filesystem).find is not AbstractFileSystem.find


def _asked(filesystem: Any, folder: str, operation: Any) -> Any:
    try:
        return with_retries(operation)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(uri_of(filesystem, folder)) from error
    except Exception as error:
        raise failed(uri_of(filesystem, folder), "list it", error) from error


@dataclass(frozen=True)
class Entry:
    """What a listing says of a file."""

    name: str
    size: int
    modified: float | None
    """Seconds since 1970 by the store's clock, None where it does not say."""


def modified(info: dict[str, Any]) -> float | None:
    """Return when a file was written, from its filesystem's entry."""
    value = next(
        (info[key] for key in ("mtime", "LastModified", "last_modified", "created") if info.get(key) is not None), None
    )
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else None
