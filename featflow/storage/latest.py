"""Moving ``LATEST``, the name of the run that readers see: only ever from what it was while the lock was held.

Its value is read once the lock is held, and compared with what is there when it is moved: another value then was
written by a run that took the lock over. S3 compares once more as it writes (If-Match, If-None-Match), so that nothing
comes between; other stores, and servers of S3 that ignore conditions, write in any case. There, a run that finds its
lock lost after it wrote puts back the name of a run that finished meanwhile.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from featflow.errors import ConfigurationError
from featflow.storage.filesystems import failed, is_local, resolve
from featflow.storage.records.latest import PATH
from featflow.storage.retries import with_retries
from featflow.storage.run import survey
from featflow.storage.store import Store

__all__ = ["Seen", "check_movable", "look", "move", "put_forward"]

REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
"""S3's answers where a file is not the one that a write was to replace."""


@dataclass(frozen=True)
class Seen:
    """LATEST at one moment."""

    value: bytes | None
    """Its bytes, whatever they are; None where there is none."""
    tag: str | None
    """What S3 knows it by."""


def look(store: Store) -> Seen:
    """Return what LATEST is now."""
    filesystem, location = resolve(store.uri(PATH), store.options)
    tag = None
    try:
        if _is_s3(filesystem):  # before its bytes: if it changes in between, the write is refused
            tag = str(with_retries(lambda: filesystem.info(location))["ETag"])
        return Seen(store.read(PATH), tag)
    except FileNotFoundError:
        return Seen(None, None)
    except Exception as error:
        raise failed(store.uri(PATH), "read it", error) from error


def move(store: Store, run_id: str, seen: Seen) -> bool:
    """Make LATEST name a run; return False if it is no longer what was seen and the store can tell."""
    filesystem, location = resolve(store.uri(PATH), store.options)
    if not _is_s3(filesystem):
        store.write(PATH, run_id.encode())
        return True
    condition = {"IfMatch": seen.tag} if seen.tag else {"IfNoneMatch": "*"}
    try:
        with_retries(lambda: filesystem.pipe_file(location, run_id.encode(), **condition))
    except Exception as error:
        code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
        if isinstance(error, FileExistsError) or code in REFUSED:
            return look(store).value == run_id.encode()  # an attempt whose answer was lost
        if code != "NotImplemented":
            raise failed(store.uri(PATH), "write it", error) from error
        store.write(PATH, run_id.encode())
    return True


def put_forward(store: Store, started: str) -> bool:
    """Make LATEST name the newest run that began after a time, ended, and is to be the latest; False if it did already.

    For a run that moved LATEST and then found that it had lost the lock: it may have come after the one that took over.
    """
    moved = False
    while newest := _newest(store, datetime.fromisoformat(started)):
        seen = look(store)
        if seen.value == newest.encode():
            break
        moved = move(store, newest, seen) or moved
    return moved


def check_movable(store: Store) -> None:
    """Raise ConfigurationError where LATEST on a disk is another user's to replace, before any work is done."""
    filesystem, location = resolve(store.uri(PATH), store.options)
    if not is_local(filesystem):
        return
    try:
        file, folder = Path(location).lstat(), Path(location).parent.stat()
    except OSError:  # not there; storage that fails says so elsewhere
        return
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in {0, file.st_uid, folder.st_uid}:
        raise ConfigurationError(
            f"{store.uri(PATH)}: belongs to another user, who alone may replace it as {store.root} is sticky; "
            "let that user run, or choose another output"
        )


def _newest(store: Store, after: datetime) -> str | None:
    """Return the newest finished run that is to be the latest and began after a time, but not in the future."""
    runs, _ = survey(store)
    begun = {
        datetime.fromisoformat(run.manifest["started"]): run.run_id
        for run in runs
        if run.manifest["config"].get("latest", True)
    }
    moments = [started for started in begun if after < started <= datetime.now(UTC)]
    return begun[max(moments)] if moments else None


def _is_s3(filesystem: Any) -> bool:
    return "s3" in filesystem.protocol
