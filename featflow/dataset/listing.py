"""The files of a dataset's sources, as storage lists them, and what is passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from featflow.dataset.files import DataFile, version_of
from featflow.dataset.formats import PICTURES, Format, format_of, formats_of, nothing_there
from featflow.dataset.image_places import folders_above
from featflow.dataset.local_files import entry, find_local
from featflow.dataset.passed_over import PassedOver, Reason
from featflow.dataset.table_folders import HOW_TO_READ, tables_above, tables_below
from featflow.errors import DatasetError, SchemaError
from featflow.storage.filesystems import failed, is_local, resolve, uri_of
from featflow.storage.folders import exists, find
from featflow.storage.retries import with_retries
from featflow.storage.store import matcher

__all__ = ["Listing", "list_data_files"]

PATTERN = re.compile(r"[*?\[]")
WRITTEN_BY_FEATFLOW = re.compile(
    r"^(.*)/(?:runs/\d{8}T\d{6}Z-[0-9a-f]{6}/"
    r"|states/(?:(?:footers|deletes|images|converted/types)\.arrow|contents\.json|converted/[0-9a-f]{24}\.parquet)$)"
)
"""What no one else writes below an output: a run's folder (`featflow.storage.run_ids.new_run_id`), and what is kept
before a run is finished."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What sources hold."""

    files: tuple[DataFile, ...]
    """Files to read, in order of the sources and sorted by URI within each."""
    passed_over: tuple[PassedOver, ...] = ()
    """What is not read."""


def list_data_files(
    sources: list[str], options: dict[str, Any], output: str | None = None, asked: Format = "auto"
) -> Listing:
    """Return the data files of all sources; a file that several sources name counts once.

    Parameters
    ----------
    output
        Where runs are written; files below it are not read as input.
    asked
        Format of the files.

    Raises
    ------
    DatasetError
        A source does not exist, holds no such file, or is a table of a format that files alone do not tell.
    SchemaError
        A path names a partition key twice.
    InfrastructureError
        Storage did not answer.
    """
    files: dict[str, DataFile] = {}
    passed: dict[str, PassedOver] = {}
    real: dict[str, str] = {}
    roots = []
    looked_up: dict[str, bool] = {}
    for source in sources:
        root, listing = _list_source(source, options, output, asked, looked_up)
        if not listing.files:
            raise _nothing_there(source, asked, listing.passed_over)
        for file in listing.files:
            # Within one source, links are known already.
            is_perhaps_linked = len(sources) > 1 and file.uri.startswith("/")
            known = real.setdefault(os.path.realpath(file.uri) if is_perhaps_linked else file.uri, file.uri)
            if known == file.uri:
                files.setdefault(file.uri, file)
            else:
                passed[file.uri] = PassedOver(file.uri, Reason.LINK_TWICE)
        passed |= {each.uri: each for each in listing.passed_over}
        roots.append(root.rstrip("/").split("/"))
    common_depth = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*roots, strict=False)))
    below = folders_above(roots, common_depth)
    places = {uri: "/".join(uri.split("/")[common_depth:]) for uri in files}
    placed = (replace(file, place=places[uri], images_below=below) for uri, file in files.items())
    return Listing(tuple(placed), tuple(each for each in passed.values() if each.uri not in files))


def _nothing_there(source: str, asked: Format, passed: tuple[PassedOver, ...]) -> DatasetError:
    instead = f"; passed over {len(passed)}, the first is {passed[0].uri} ({passed[0].reason})" if passed else ""
    pattern = (
        "; *, ? and [ ] in it are a pattern, as no file of that very name is there" if PATTERN.search(source) else ""
    )
    return DatasetError(
        f"{source}: {nothing_there(source, asked, [each.uri for each in passed])}{instead}{pattern}; "
        "check dataset.source and dataset.format"
    )


def _list_source(
    source: str, options: dict[str, Any], output: str | None, asked: Format, looked_up: dict[str, bool]
) -> tuple[str, Listing]:
    """Return the URI of the folder that a source names, or in which it is, and what it holds.

    Parameters
    ----------
    looked_up
        Whether marks of tables are there, by URI: the same for all files of a folder.
    """
    filesystem, path = resolve(source.removeprefix(PICTURES), options)
    path = os.path.normpath(path) if is_local(filesystem) else path.rstrip("/")
    try:
        found = with_retries(lambda: _find(filesystem, path))
    except FileNotFoundError:
        raise DatasetError(f"{source}: no such file or directory; check dataset.source") from None
    except Exception as error:
        raise failed(source, "list it", error) from error
    own = _root_of(output, filesystem, options)
    outputs = _outputs(found)
    keys, passed = list[str](), list(found.passed)
    for key in sorted(filter(found.is_named, found.infos)):
        why = Reason.OUTPUT if own and _is_below(own, key, filesystem) else None
        why = why or (None if key == path else _reason_against(key.removeprefix(found.root), key, outputs))
        if why:
            passed.append(PassedOver(uri_of(filesystem, key), why))
        else:
            keys.append(key)
    forms = formats_of(keys, "pictures" if source.startswith(PICTURES) else asked, path)
    passed += [
        PassedOver(uri_of(filesystem, key), Reason.OTHER_FORMAT if format_of(key) else Reason.OTHER_NAME)
        for key in keys
        if key not in forms
    ]
    files = [_data_file(filesystem, key, found.infos[key], found.root, form) for key, form in forms.items()]
    above = tables_above(found.root, _is_there(filesystem, looked_up), with_root=path in found.infos)
    _refuse_tables(filesystem, dict(tables_below(found.root, found.infos)) | dict(above), files)
    named = [replace(each, uri=uri_of(filesystem, each.uri)) for each in passed]
    return uri_of(filesystem, found.root), Listing(tuple(files), tuple(named))


@dataclass(frozen=True, slots=True)
class _Found:
    root: str
    """Folder below which paths name partitions."""
    infos: dict[str, dict[str, Any]]
    """The filesystem's entries of all files below it, by path."""
    passed: list[PassedOver]
    """What is passed over whatever it is named."""
    is_named: Callable[[str], bool] = lambda _: True
    """Whether the source names a path."""


def _find(filesystem: Any, path: str) -> _Found:
    """Return what a source names; a path that is there is taken as it is written, only another one is a pattern."""
    if PATTERN.search(path) and not exists(filesystem, path):
        root = PATTERN.split(path, maxsplit=1)[0].rpartition("/")[0]
        return _Found(root, *_find_below(filesystem, root), _is_matched(path, root))
    if filesystem.isdir(path):
        return _Found(path, *_find_below(filesystem, path))
    info = entry(path) if is_local(filesystem) else filesystem.info(path)
    if info["type"] == "directory":  # isdir says no also where the filesystem gave no answer
        return _Found(path, *_find_below(filesystem, path))
    if info["size"] is None and is_local(filesystem) and not Path(path).is_symlink():
        raise FileNotFoundError(path)
    return _Found(path.rpartition("/")[0], {path: info}, [])


def _find_below(filesystem: Any, root: str) -> tuple[dict[str, dict[str, Any]], list[PassedOver]]:
    if is_local(filesystem):
        return find_local(root)
    infos = find(filesystem, root)
    return {path: info for path, info in infos.items() if info["type"] == "file" and not path.endswith("/")}, []


def _is_matched(pattern: str, root: str) -> Callable[[str], bool]:
    """Return whether a file, or a folder in which it lies, matches a pattern, as a function."""
    matches = lru_cache(matcher(pattern.rstrip("/")))
    depth = root.count("/") + 1

    def is_matched(path: str) -> bool:
        parts = path.split("/")
        return any(matches("/".join(parts[:count])) for count in range(len(parts), depth, -1))

    return is_matched


def _root_of(output: str | None, filesystem: Any, options: dict[str, Any]) -> str | None:
    """Return the path of the output with a slash at its end; None if it lies on another kind of storage."""
    if output is None:
        return None
    other, path = resolve(output, options)
    return f"{path.rstrip('/')}/" if uri_of(other, path) == uri_of(filesystem, path) else None


def _is_below(root: str, path: str, filesystem: Any) -> bool:
    """Whether a file lies below a folder, which may be named through links."""
    is_linked = is_local(filesystem) and f"{_real(os.path.dirname(path))}/".startswith(f"{_real(root)}/")  # noqa: PTH120
    return path.startswith(root) or is_linked


@lru_cache(2)  # files of a folder follow each other
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _outputs(found: _Found) -> set[str]:
    """Return the folders below a source that featflow wrote to, each with a slash at its end."""
    matches = (WRITTEN_BY_FEATFLOW.match(path.removeprefix(found.root)) for path in found.infos)
    return {f"{found.root}{match[1]}/" for match in matches if match and match[1]}


def _reason_against(path: str, key: str, outputs: set[str]) -> Reason | None:
    """Return why a file is not read whatever it holds, None if it may be.

    Parameters
    ----------
    path, key
        Path below the source, and whole path.
    """
    if any(key.startswith(output) for output in outputs):
        return Reason.OTHER_OUTPUT
    *folders, name = PurePosixPath(path.lstrip("/")).parts
    if name.startswith(("_", ".")) or any(map(_is_hidden, folders)):
        return Reason.HIDDEN
    return None


def _is_hidden(folder: str) -> bool:
    """Whether Hive and Spark pass over a folder: temporary ones begin with _ or a dot, and so may a partition key."""
    return folder.startswith(".") or (folder.startswith("_") and "=" not in folder)


def _is_there(filesystem: Any, looked_up: dict[str, bool]) -> Callable[[str], bool]:
    def look_up(path: str) -> bool:
        """Return whether a path is there; where its last name has a *, whether a path of its folder matches it."""
        folder, _, name = path.rpartition("/")
        if "*" not in name:
            return exists(filesystem, path)
        try:
            return any(each.endswith(name.strip("*")) for each in filesystem.ls(folder, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def is_there(path: str) -> bool:
        uri = uri_of(filesystem, path)
        if uri not in looked_up:
            try:
                looked_up[uri] = with_retries(lambda: look_up(path))
            except PermissionError:  # who may read one file need not be let in beside it
                looked_up[uri] = False
            except Exception as error:
                raise failed(uri, "look at it", error) from error
        return looked_up[uri]

    return is_there


def _refuse_tables(filesystem: Any, tables: dict[str, str], files: list[DataFile]) -> None:
    """Raise DatasetError where files belong to a table whose metadata say which of them count, and which rows."""
    for folder, name in sorted(tables.items()):
        table = uri_of(filesystem, folder)
        if any(file.uri.startswith(f"{table}/") for file in files):
            article, remedy = "an" if name == "Iceberg" else "a", HOW_TO_READ[name].format(table=table)
            raise DatasetError(f"{table}: {article} {name} table, whose files may hold removed rows; {remedy}")


def _data_file(filesystem: Any, path: str, info: dict[str, Any], root: str, form: str) -> DataFile:
    size = -1 if info["size"] is None else int(info["size"])
    return DataFile(uri_of(filesystem, path), size, version_of(info), _partitions(path, root), format=form)


def _partitions(path: str, root: str) -> tuple[tuple[str, str], ...]:
    """Return the hive partition keys and values of a file, those of the source's own last folders included.

    Examples
    --------
    >>> _partitions("lake/day=1/order%20type=a%2Fb/x.parquet", "lake/day=1")
    (('day', '1'), ('order type', 'a/b'))
    """
    names = root.split("/")
    while names and "=" in names[-1]:
        names.pop()
    folders = path.split("/")[len(names) : -1]
    pairs = [(unquote(key), unquote(value)) for key, mark, value in (part.partition("=") for part in folders) if mark]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise SchemaError(f"{path}: partition key '{repeated}' is twice in this path; rename one of the folders")
    return tuple(pairs)
