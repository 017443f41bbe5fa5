"""The files of a dataset, and whether they changed while they were read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from featflow.dataset.local_files import entry
from featflow.dataset.table_files import IMMUTABLE, TableFile
from featflow.errors import DatasetError, InfrastructureError
from featflow.storage.filesystems import failed, is_local, resolve
from featflow.storage.retries import with_retries

__all__ = [
    "DataFile",
    "changed_error",
    "check_as_listed",
    "check_unchanged",
    "gone_error",
    "is_gone",
    "readable_size",
    "version_of",
]


CHANGE = ", changed "
"""What stands in a version before the time of the last change of status, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One input file as it was when listed."""

    uri: str
    """Full URI."""
    size: int
    """Bytes."""
    version: str
    """ETag, or times of modification and, on a disk, of change of status; changes when the content does."""
    partitions: tuple[tuple[str, str], ...] = ()
    """Hive partition keys and values, from the path below the source."""
    place: str = ""
    """Path below the deepest folder that holds all sources; a copy of the dataset has the same places."""
    format: str = field(default="parquet", repr=False)
    """What it is, such as csv. Neither this nor `parquet` is part of digests: `version` says what it became."""
    parquet: str = field(default="", repr=False)
    """URI of the Parquet file that it became, which never changes; empty where it is one itself."""

    table: TableFile | None = field(default=None, repr=False)
    """How the table that lists it reads it; None for a plain file."""
    options: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Options of its filesystem, such as credentials that a catalog lent; empty where the dataset's are to be used."""
    images_below: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Folders of the dataset, in which rows may name images."""

    @property
    def readable(self) -> str:
        """URI of the Parquet file that holds its rows."""
        return self.parquet or self.uri


def check_unchanged(file: DataFile, options: dict[str, Any]) -> None:
    """Raise InfrastructureError if a file changed since it was listed: what was read may mix two versions.

    One that became Parquet was looked at then. This may be another machine than the one that listed the file, with a
    copy on its own disk: see `check_as_listed`.
    """
    if file.parquet or file.version == IMMUTABLE:
        return
    size, version = _found(file, options)
    if (size, version.partition(CHANGE)[0]) != (file.size, file.version.partition(CHANGE)[0]):
        raise changed_error(file.uri)


def check_as_listed(file: DataFile, options: dict[str, Any]) -> None:
    """Raise as `check_unchanged`, also where content was replaced under the same size and time of modification.

    For the machine that listed the file: times of change of status are those of its disk.
    """
    if CHANGE in file.version and not file.parquet and _found(file, options) != (file.size, file.version):
        raise changed_error(file.uri)


def _found(file: DataFile, options: dict[str, Any]) -> tuple[int, str]:
    """Return the size and version of a file as it is now."""
    filesystem, path = resolve(file.uri, options)
    try:
        info = entry(path) if is_local(filesystem) else with_retries(lambda: filesystem.info(path))
    except FileNotFoundError:
        info = {"size": None}
    except Exception as error:
        raise failed(file.uri, "look at it", error) from error
    if info["size"] is None and file.size:
        raise InfrastructureError(f"{file.uri}: gone while it was read; run again")
    return int(info["size"] or 0), version_of(info)


def is_gone(file: DataFile, error: Exception) -> bool:
    """Return whether an error says that a table's file is not there: no retry brings it back."""
    return file.version == IMMUTABLE and isinstance(error, FileNotFoundError)


def gone_error(uri: str) -> DatasetError:
    """Return the error of a file that a table's metadata lists and that is not there."""
    return DatasetError(
        f"{uri}: the table's metadata lists it, and it is not there; where old files were removed (vacuum, expired "
        "snapshots), set a later dataset.version"
    )


def changed_error(uri: str) -> InfrastructureError:
    """Return the error of a file whose content is not what was listed."""
    return InfrastructureError(f"{uri}: the input changed while it was read; run again")


def version_of(info: dict[str, Any]) -> str:
    """Return the version of a file from its filesystem's entry.

    Examples
    --------
    >>> version_of({"ETag": '"d41d8"'}), version_of({"mtime": 1.5, "status_changed": 17})
    ('d41d8', '1.5, changed 17')
    """
    value = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(key)), "")
    # Some filesystems list seconds, and give a datetime for a single file: both must give the same text.
    text = str(value.timestamp() if isinstance(value, datetime) else value)
    return text.strip('"') + (f"{CHANGE}{info['status_changed']}" if "status_changed" in info else "")


def readable_size(file: DataFile, options: dict[str, Any]) -> int:
    """Return the bytes of the Parquet file that holds a file's rows; raises what the filesystem raises."""
    if not file.parquet:
        return file.size
    filesystem, path = resolve(file.parquet, options)
    return int(with_retries(lambda: filesystem.info(path))["size"])
