"""Files below a folder of this machine: links are followed, and each file is named once.

fsspec's own walk does not enter linked folders, and gives the link's time of modification, not the file's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from featflow.dataset.passed_over import PassedOver, Reason
from featflow.storage.filesystems import failed
from featflow.storage.retries import with_retries

__all__ = ["entry", "find_local"]

NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}

Found = tuple[dict[str, dict[str, Any]], list[PassedOver]]
Visited = tuple[str, bool, Reason | None]
"""Path, whether a link leads to it, and why it is passed over, None if it is not."""


def find_local(root: str) -> Found:
    """Return entries of all files below a folder, by path, as fsspec gives them, and what is passed over.

    The entry of a link to nowhere has the size None. A file that is reached by its own path is passed over where a link
    leads to it once more; of two links to one file the first in order of names counts.

    Raises
    ------
    ConfigurationError, InfrastructureError
        A folder cannot be listed, or a file not looked at; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = open(f"{folder}/a.parquet", "w").write("data")
    ...     os.symlink("a.parquet", f"{folder}/b.parquet")
    ...     files, passed = find_local(folder)
    >>> [info["size"] for info in files.values()], [entry.reason.name for entry in passed]
    ([4], ['LINK_TWICE'])
    """
    files: dict[str, dict[str, Any]] = {}
    passed: list[PassedOver] = []
    linked: list[str] = []
    for path, is_linked, reason in _walk(root, (_identity(Path(root).stat()),), set(), is_linked=False):
        if reason:
            passed.append(PassedOver(path, reason))
            continue
        info = entry(path)
        if info["size"] is None and not Path(path).is_symlink():  # it went while the others were listed
            continue
        files[path] = info
        if is_linked:
            linked.append(path)
    of_links = set(linked)
    known = {info["identity"] for path, info in files.items() if path not in of_links}
    for path in linked:
        if files[path]["size"] is not None and files[path]["identity"] in known:
            del files[path]
            passed.append(PassedOver(path, Reason.LINK_TWICE))
        else:
            known.add(files[path]["identity"])
    return files, passed


def entry(path: str) -> dict[str, Any]:
    """Return type, size and times of what is at a path or behind a link; the size None if there is nothing.

    Raises
    ------
    ConfigurationError, InfrastructureError
        It cannot be looked at.
    """
    status = _status(path, Path(path).stat)
    if status is None:
        return {"type": "file", "size": None, "mtime": None, "identity": path}
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file"
    times = {"mtime": status.st_mtime, "status_changed": status.st_ctime_ns}
    return {"type": kind, "size": status.st_size, "identity": _identity(status)} | times


def _status(path: str, look: Callable[[], os.stat_result]) -> os.stat_result | None:
    """Return the status of what is at a path, None of a link to nowhere or in a circle, and of what is gone."""
    try:
        return with_retries(look)
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return None
        raise failed(path, "look at it", error) from error


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _walk(
    folder: str, above: tuple[tuple[int, int], ...], linked: set[tuple[int, int]], *, is_linked: bool
) -> Iterator[Visited]:
    """Yield what is below a folder.

    Parameters
    ----------
    above
        Identities of the folder and of those above it, which a link in a circle leads back to.
    linked
        Identities of folders that links have led to: each is entered once, or links among n folders make n! ways.
    """
    for each in _listed(folder, is_root=len(above) == 1):
        link = is_linked or each.is_symlink()
        if _is_text(each.name):
            yield from _visit(each, above, linked, is_linked=link)
        else:
            yield os.fsencode(each.path).decode("utf-8", "backslashreplace"), link, Reason.NAME


def _listed(folder: str, *, is_root: bool) -> list[os.DirEntry[str]]:
    def entries() -> list[os.DirEntry[str]]:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda each: each.name)

    try:
        return with_retries(entries)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not is_root:  # it went while the others were listed
            return []
        raise failed(folder, "list it", error) from error


def _visit(
    each: os.DirEntry[str], above: tuple[tuple[int, int], ...], linked: set[tuple[int, int]], *, is_linked: bool
) -> Iterator[Visited]:
    status = _status(each.path, each.stat)
    if status is None:
        if each.is_symlink():
            yield each.path, is_linked, None
        return
    if not stat.S_ISDIR(status.st_mode):
        yield each.path, is_linked, None if stat.S_ISREG(status.st_mode) else Reason.NOT_REGULAR
    elif _identity(status) in above:
        yield each.path, is_linked, Reason.LINK_LOOP
    elif is_linked and _identity(status) in linked:
        yield each.path, is_linked, Reason.LINK_TWICE
    else:
        if is_linked:
            linked.add(_identity(status))
        yield from _walk(each.path, (*above, _identity(status)), linked, is_linked=is_linked)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
