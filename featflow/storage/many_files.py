"""Copies and removals of files that never change: without moving bytes, and several at once, where a store can."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from featflow.storage.filesystems import failed
from featflow.storage.retries import with_retries
from featflow.storage.store import Store, is_local, resolve

__all__ = ["copy", "remove_all", "remove_folder"]

REQUESTS = 16
"""Requests of a removal under way at once on an object store: each is mostly waiting. (S3 removes a thousand keys in
one request, but s3fs does not say which of them stayed.)"""


def copy(store: Store, source: str, target: str) -> None:
    """Give a file of a store another path as well.

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    InfrastructureError
        Storage failed.
    """
    filesystem, at = resolve(store.uri(source), store.options)
    _, to = resolve(store.uri(target), store.options)
    copy_file = _link if is_local(filesystem) else filesystem.cp_file
    try:
        with_retries(lambda: copy_file(at, to))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise failed(store.uri(target), "write it", error) from error


def remove_all(store: Store, paths: Sequence[str], check: Callable[[], None]) -> None:
    """Remove files of a store; ``check`` is called right before each, and ends the removal by what it raises."""

    def remove(path: str) -> None:
        check()
        store.remove(path)

    requests = 1 if is_local(resolve(store.root, store.options)[0]) else REQUESTS
    with ThreadPoolExecutor(requests) as pool:
        for removed in [pool.submit(remove, path) for path in paths]:
            removed.result()


def remove_folder(store: Store, folder: str) -> None:
    """Remove a folder of a store and all files in it."""
    for path in store.sizes(folder):
        store.remove(path)
    if is_local(resolve(store.root, store.options)[0]):
        with suppress(OSError):  # somebody else's empty folders are in it
            Path(store.absolute(folder)).rmdir()


def _link(source: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        Path(target).hardlink_to(source)
    except FileExistsError:  # files that never change and have one path are the same
        return
    except FileNotFoundError:
        raise
    except OSError:  # a disk without links, or whose links are for owners alone
        partial = Path(target).with_name(f".{Path(target).name}.{uuid.uuid4().hex[:8]}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
