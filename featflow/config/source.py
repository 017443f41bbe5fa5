"""The file of a configuration, or what was given in its place."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path, PurePath

from featflow.dataset.formats import PICTURES, SUFFIXES, format_of, name_of_data
from featflow.errors import ConfigurationError, DamagedError, DatasetError

__all__ = ["check_default_output", "is_data", "read_text"]

SOURCES = (PICTURES, "delta:", "iceberg:")
MOST_BYTES = 4 * 2**20
"""Size of a file that is read: 100,000 names of columns fit."""
CONFIGURATIONS = (".yaml", ".yml")
DATA = (".orc", ".avro", ".gz", ".zip")
"""Ends of names of files that hold data in formats that are not read."""
MAGIC = (b"PAR1", b"ARROW1", b"ORC", b"Obj\x01", b"PK\x03\x04", b"\x1f\x8b")
"""First bytes of such files, whatever they are called."""


def is_data(path: str) -> bool:
    """Return whether a path names data and no configuration: by its suffix, as a folder, a glob or a URI.

    Examples
    --------
    >>> is_data("air.csv"), is_data("s3://lake/air/"), is_data("night.yaml")
    (True, True, False)
    """
    if path.lower().endswith(CONFIGURATIONS):
        return False
    is_marked = "://" in path or path.startswith(SOURCES) or any(mark in path for mark in "*?[")
    return is_marked or format_of(path) is not None or (Path(path).is_dir() and not _configurations(Path(path)))


def default_output(source: str) -> str:
    """Return the output of data that is given without a configuration.

    Examples
    --------
    >>> default_output("lake/air.2025.csv.gz"), default_output("iceberg:shop.eu.sales")
    ('featflow-air-2025', 'featflow-eu-sales')
    """
    prefix, path = _parted(source)
    path = path.partition(".")[2] or path if prefix == "iceberg:" else path
    names = (re.sub(r"[^\w-]+", "-", name_of_data(name)).strip("-") for name in reversed(PurePath(path).parts))
    return f"featflow-{next(filter(None, names), 'data')}"


def check_default_output(output: str, sources: list[str]) -> None:
    """Raise ConfigurationError if runs at a default output are of other data: their names have the same end."""
    from featflow.storage.run import Run  # noqa: PLC0415  0.2 s, which a configuration's file need not wait for

    try:
        held = Run.open(output).manifest["config"]["dataset"]["source"]
    except (DatasetError, DamagedError):  # no run, or none that can be read
        return
    if {*map(_placed, held)} != {*map(_placed, sources)}:
        raise ConfigurationError(f"output: {output} holds runs of {', '.join(held)}; add --set output=FOLDER")


def _placed(source: str) -> str:
    prefix, path = _parted(source)
    return source.rstrip("/") if "://" in path or prefix == "iceberg:" else prefix + os.path.abspath(path)  # noqa: PTH100


def _parted(source: str) -> tuple[str, str]:
    prefix = next(filter(source.startswith, SOURCES), "")
    return prefix, source.removeprefix(prefix)


def read_text(path: str) -> str:
    """Return the text of a configuration's file, or one for data alone, whose output is named for it.

    Raises
    ------
    ConfigurationError
        It cannot be read, or is no text; the message says what it is, where that can be told.
    """
    if is_data(path):
        return json.dumps({"dataset": {"source": path}, "output": default_output(path)})
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise ConfigurationError(f"{path}: cannot read the configuration: {_folder(Path(path))}") from None
    except FileNotFoundError:
        near = difflib.get_close_matches(Path(path).name, _files(Path(path).parent), n=1)
        hint = f"; did you mean {Path(path).parent / near[0]}?" if near else ""
        hint = "; it is read from a local file, so copy it here" if "://" in path else hint
        raise ConfigurationError(f"{path}: cannot read the configuration: No such file or directory{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such name of a file"
        raise ConfigurationError(f"{path}: cannot read the configuration: {reason}") from None
    if data.startswith(MAGIC) or path.lower().endswith(DATA):
        raise ConfigurationError(f"{path} is data, not a configuration; {_write(path)}")
    if path.lower().endswith(SUFFIXES["pictures"]):
        raise ConfigurationError(
            f"{path} is a picture, not a configuration; give its folder: {PICTURES}{PurePath(path).parent}"
        )
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"{path} is larger than {MOST_BYTES:,} bytes: it is no configuration")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigurationError(f"{path} is UTF-16 text, not UTF-8; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from None


def _files(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except OSError:
        return []


def _configurations(folder: Path) -> list[str]:
    return sorted(name for name in _files(folder) if name.lower().endswith(CONFIGURATIONS))


def _folder(folder: Path) -> str:
    return f"it is a folder; give the file, such as {folder / _configurations(folder)[0]}"


def _write(source: str) -> str:
    return f"write 'dataset: {{source: {source}}}' and 'output: FOLDER' into a file such as config.yaml, and give that"
