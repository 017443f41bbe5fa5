"""The files of a dataset's sources, as storage lists them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from featflow.dataset.files import DataFile, version_of
from featflow.dataset.formats import PICTURES, Format, nothing_there, other_formats, pictures
from featflow.errors import DatasetError, InfrastructureError
from featflow.storage.retries import with_retries
from featflow.storage.store import is_local, matching, reason, resolve

__all__ = ["list_data_files"]

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")


def list_data_files(
    sources: list[str], options: dict[str, Any], output: str | None = None, asked: Format = "auto"
) -> list[DataFile]:
    """Return the data files of all sources, sorted by URI within each source.

    Parameters
    ----------
    output
        Where runs are written; files below it are not read as input.
    asked
        Format of the files.

    Raises
    ------
    DatasetError
        A source does not exist, or holds no such file.
    InfrastructureError
        Storage did not answer.
    """
    files: dict[str, DataFile] = {}
    roots = []
    for source in sources:
        root, listed = _list_source(source, options, output, asked)
        if not listed:
            raise DatasetError(f"{source}: {nothing_there(source, asked)}; check dataset.source and dataset.format")
        files.update({file.uri: file for file in listed})
        roots.append(root.rstrip("/").split("/"))
    common_depth = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*roots, strict=False)))
    return [replace(file, place="/".join(file.uri.split("/")[common_depth:])) for file in files.values()]


def _list_source(source: str, options: dict[str, Any], output: str | None, asked: Format) -> tuple[str, list[DataFile]]:
    """Return the URI of the folder that a source names, or in which it is, and its files."""
    filesystem, path = resolve(source.removeprefix(PICTURES), options)
    try:
        root, infos = with_retries(lambda: _folder_and_infos(filesystem, path))
    except FileNotFoundError:
        raise DatasetError(f"{source}: no such file or directory; check dataset.source") from None
    except Exception as error:
        raise InfrastructureError(f"{source}: cannot list it: {reason(error)}") from error
    inputs = [key for key in sorted(infos) if not _is_below(_uri(filesystem, key), output, options)]
    visible = [key for key in inputs if key == path or not _is_hidden(key.removeprefix(root))]
    forms = pictures(visible) if source.startswith(PICTURES) else other_formats(visible, asked)
    if not forms and not source.startswith(PICTURES):
        forms = {key: "parquet" for key in visible if key == path or key.endswith(PARQUET_SUFFIXES)}
    return _uri(filesystem, root), [
        replace(_data_file(filesystem, key, infos[key], root), format=form) for key, form in forms.items()
    ]


def _folder_and_infos(filesystem: Any, path: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the folder below which paths name partitions, and the filesystem's entries of its files, by path."""
    if any(character in path for character in "*?["):
        return re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0], matching(filesystem, path)
    if filesystem.isdir(path):
        return path, filesystem.find(path, detail=True)
    return path.rpartition("/")[0], {path: filesystem.info(path)}


def _is_below(uri: str, output: str | None, options: dict[str, Any]) -> bool:
    if output is None:
        return False
    (filesystem, root), (other, path) = resolve(output, options), resolve(uri, options)
    return type(filesystem) is type(other) and path.startswith(f"{root.rstrip('/')}/")


def _is_hidden(path: str) -> bool:
    """Whether Hive and Spark pass over a path: temporary files, markers and checksums begin with _ or a dot."""
    return any(part.startswith(("_", ".")) for part in PurePosixPath(path).parts)


def _data_file(filesystem: Any, path: str, info: dict[str, Any], root: str) -> DataFile:
    folders = PurePosixPath(path.removeprefix(root)).parts[:-1]
    partitions = tuple((key, unquote(value)) for key, mark, value in (part.partition("=") for part in folders) if mark)
    return DataFile(_uri(filesystem, path), int(info["size"] or 0), version_of(info), partitions)


def _uri(filesystem: Any, path: str) -> str:
    return path if is_local(filesystem) else str(filesystem.unstrip_protocol(path))
