"""Versions of the images that rows name by path: what tells that a picture was replaced, came, or went.

On disks that is a stat each; on object stores whole folders are listed, a thousand names a request, where many of a
folder are named, and asked for one by one else. Of a night with nothing changed, in seconds of a processor: 10,000 on
a disk 0.2, with the reading of their paths; 2,000 in one folder of an S3 server of this machine, its own work included,
0.6 and two requests.
"""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from featflow.dataset.files import version_of
from featflow.dataset.image_files import ABSENT, LONGEST_KEY, lasts
from featflow.storage.filesystems import failed, resolve
from featflow.storage.retries import with_retries

__all__ = ["GONE", "UNKNOWN", "image_versions"]

GONE, UNKNOWN = "gone", "unknown"
"""Versions of what is not there, and of what storage does not tell of, as of a folder that may not be entered."""
LISTED_FROM = 16
"""Images of a folder from which it is listed: fewer requests ask for fewer, and a folder may hold a million others."""
STATS = 256
"""Files of a disk that a thread looks at one after the other: each takes microseconds, on a network's disk more."""
REQUESTS_AT_ONCE = 32
"""Requests at once, each of which is a wait for storage."""


def image_versions(uris: Iterable[str], options: dict[str, Any]) -> dict[str, str]:
    """Return the versions of images by their URIs, as `featflow.dataset.image_places.ImagePlaces` gives these.

    Raises
    ------
    InfrastructureError
        Storage did not answer.
    """
    local, folders = list[str](), defaultdict[str, list[str]](list)
    for uri in dict.fromkeys(uris):
        if uri.startswith("file://"):
            local.append(uri)
        else:
            folders[uri.rpartition("/")[0]].append(uri)
    listed = [folder for folder, named in folders.items() if len(named) >= LISTED_FROM and _is_listable(folder)]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        pieces = [local[start : start + STATS] for start in range(0, len(local), STATS)]
        found = {uri: version for each in pool.map(_local_versions, pieces) for uri, version in each}
        listings = list(zip(listed, pool.map(lambda folder: _listed(folder, options), listed), strict=True))
        for folder, versions in listings:
            if versions is not None:
                found |= {uri: versions.get(uri.rpartition("/")[2], GONE) for uri in folders.pop(folder)}
        single = [uri for named in folders.values() for uri in named]
        found |= zip(single, pool.map(lambda uri: _version(uri, options), single), strict=True)
    return found


def _local_versions(uris: list[str]) -> list[tuple[str, str]]:
    return [(uri, _local_version(uri)) for uri in uris]


def _local_version(uri: str) -> str:
    try:
        status = with_retries(lambda: Path(uri.removeprefix("file://")).stat())
    except Exception as error:  # noqa: BLE001  sorted out there
        return _without_version(uri, error)
    if not stat.S_ISREG(status.st_mode):
        return UNKNOWN
    # The time of change tells of content that was put in place with an old time of modification, and of new rights.
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _is_listable(folder: str) -> bool:
    """Whether a folder can be listed: web servers list none, and clients drop a slash at the end of a name."""
    return not folder.startswith("http") and not folder.endswith("/")


def _listed(folder: str, options: dict[str, Any]) -> dict[str, str] | None:
    """Return the versions of the files of a folder by name; None where it may not be listed."""
    try:
        filesystem, location = resolve(folder, options)
        entries = with_retries(lambda: filesystem.ls(location, detail=True))
    except FileNotFoundError:
        return {}
    except Exception as error:
        if lasts(error):
            return None
        raise failed(folder, "list it", error) from error
    return {entry["name"].rpartition("/")[2]: _of_entry(entry) for entry in entries if entry["type"] == "file"}


def _version(uri: str, options: dict[str, Any]) -> str:
    try:
        filesystem, location = resolve(uri, options)
        if len(location.encode()) > LONGEST_KEY:
            return UNKNOWN
        entry = with_retries(lambda: filesystem.info(location))
    except Exception as error:  # noqa: BLE001  sorted out there
        return _without_version(uri, error)
    return _of_entry(entry) if entry["type"] == "file" else UNKNOWN


def _of_entry(entry: dict[str, Any]) -> str:
    return f"{entry['size']}:{version_of(entry)}"


def _without_version(uri: str, error: Exception) -> str:
    if isinstance(error, ABSENT):
        return GONE
    if not lasts(error):
        raise failed(uri, "look at it", error) from error
    return UNKNOWN
