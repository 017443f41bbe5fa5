"""Files of a disk, written whole or not at all: beside their place under a name of their own, then renamed."""

from __future__ import annotations

import shutil
import stat
import uuid
from pathlib import Path

from featflow.errors import DamagedError

__all__ = ["check_regular", "create_local", "move_local", "write_local"]


def write_local(location: str, data: bytes) -> None:
    """Write a file in place of what is there."""
    Path(location).parent.mkdir(parents=True, exist_ok=True)
    # A hidden name: readers that take the folder for a table read every file that is not hidden.
    partial = Path(location).with_name(f".{Path(location).name}.{uuid.uuid4().hex[:8]}.partial")
    partial.write_bytes(data)
    partial.replace(location)


def move_local(file: str, location: str) -> None:
    """Move a file in place of what is there, from another disk, too."""
    target = Path(location)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    shutil.move(file, partial)
    partial.replace(target)


def create_local(location: str, data: bytes) -> None:
    """Write a file where there is nothing; FileExistsError where there is something."""
    Path(location).parent.mkdir(parents=True, exist_ok=True)
    partial = Path(f"{location}.{uuid.uuid4().hex[:8]}.partial")
    partial.write_bytes(data)
    try:
        Path(location).hardlink_to(partial)  # appears whole, and only where there is nothing
    finally:
        partial.unlink()


def check_regular(location: str, uri: str, most: int | None) -> None:
    """Raise DamagedError for what is no regular file, or longer than it may be."""
    found = Path(location).stat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{uri}: damaged: it is no file; move it away")
    if most is not None and found.st_size > most:
        raise DamagedError(f"{uri}: damaged: {found.st_size:,} bytes, which it never has; move it away")
