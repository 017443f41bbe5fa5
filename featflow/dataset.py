"""A dataset: files to columns and shards, from footers only."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from featflow.columns import Column, Kind, Role
from featflow.config import DatasetOptions
from featflow.errors import ConfigurationError, DatasetError, InfrastructureError, SchemaError
from featflow.storage import DataFile, first_line, is_corruption, list_data_files, open_parquet

__all__ = ["HIVE_NULL", "Dataset", "Quarantined", "Shard", "leaves", "open_dataset"]

FOOTER_THREADS = 8
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}$")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that could not be read."""

    uri: str
    """File."""
    reason: str
    """unreadable_file or unreadable_row_group."""
    detail: str
    """What the reader said."""
    row_group: int | None = None
    """Row group, None for the whole file."""
    column: str | None = None
    """Column at fault, where known."""
    rows: int | None = None
    """Rows lost, None where the footer cannot be read."""
    nbytes: int = 0
    """Size of a file without a readable footer."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of row groups of one file: the unit of work, retry and reuse."""

    file: DataFile
    """The file."""
    row_groups: tuple[int, ...]
    """Row groups, ascending."""
    group_rows: tuple[int, ...]
    """Rows of each row group."""
    nbytes: int
    """Estimated bytes when decoded."""

    @property
    def rows(self) -> int:
        """Rows in all of its row groups."""
        return sum(self.group_rows)

    @property
    def digest(self) -> str:
        """Name of its content: URI, size, version and row groups."""
        text = repr((self.file.uri, self.file.size, self.file.version, self.row_groups))
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def without(self, row_groups: set[int]) -> Shard:
        """Return the shard less some row groups; another shard with another name."""
        kept = [
            (group, rows)
            for group, rows in zip(self.row_groups, self.group_rows, strict=True)
            if group not in row_groups
        ]
        return replace(self, row_groups=tuple(g for g, _ in kept), group_rows=tuple(r for _, r in kept))


@dataclass(frozen=True)
class Dataset:
    """Columns and shards of everything that was found."""

    columns: tuple[Column, ...]
    """Columns to analyse, in the order of the first file that has them."""
    shards: tuple[Shard, ...]
    """Shards in the order of files and row groups."""
    files: int
    """Number of files, unreadable ones included."""
    nbytes: int
    """Size of all files."""
    quarantined: tuple[Quarantined, ...]
    """Files without a readable footer."""
    notes: tuple[str, ...]
    """Columns skipped or widened, for the run's warnings."""

    @property
    def rows(self) -> int:
        """Rows in all readable footers."""
        return sum(shard.rows for shard in self.shards)

    def with_role(self, role: Role) -> tuple[Column, ...]:
        """Return the columns of a role."""
        return tuple(column for column in self.columns if column.role is role)


@dataclass(frozen=True, slots=True)
class _Footer:
    file: DataFile
    schema: pa.Schema
    group_rows: tuple[int, ...]
    group_bytes: tuple[int, ...]


def open_dataset(options: DatasetOptions) -> Dataset:
    """Plan a dataset from its footers.

    Raises
    ------
    DatasetError
        Nothing to read: no such path, no Parquet file, no rows, no readable footer.
    SchemaError
        Files disagree, a column name is duplicated, or a configured column does not exist.
    """
    files = list_data_files(options.sources, options.storage_options)
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        outcomes = list(pool.map(lambda file: _read_footer(file, options.storage_options), files))
    footers = [outcome for outcome in outcomes if isinstance(outcome, _Footer)]
    quarantined = tuple(outcome for outcome in outcomes if isinstance(outcome, Quarantined))
    if not footers:
        first = quarantined[0]
        raise DatasetError(
            f"{first.uri}: not a readable Parquet file: {first.detail} ({len(files)} of {len(files)} files)"
        )
    columns, notes = _columns(footers, options)
    shards = tuple(shard for footer in footers for shard in _shards(footer, len(columns), int(options.shard_bytes)))
    if not sum(shard.rows for shard in shards):
        raise DatasetError(f"{', '.join(options.sources)}: {len(files)} file(s) and no rows")
    return Dataset(columns, shards, len(files), sum(file.size for file in files), quarantined, notes)


def _read_footer(file: DataFile, storage_options: dict[str, Any]) -> _Footer | Quarantined:
    if file.size == 0:
        return Quarantined(file.uri, "unreadable_file", "the file is empty (0 bytes)")
    try:
        with open_parquet(file.uri, storage_options) as source:
            groups = [source.metadata.row_group(index) for index in range(source.metadata.num_row_groups)]
            rows, sizes = (tuple(getattr(g, name) for g in groups) for name in ("num_rows", "total_byte_size"))
            return _Footer(file, source.schema_arrow, rows, sizes)
    except Exception as error:
        if not is_corruption(error):
            raise InfrastructureError(f"{file.uri}: cannot read its footer: {first_line(error)}") from error
        return Quarantined(file.uri, "unreadable_file", first_line(error), nbytes=file.size)


def _shards(footer: _Footer, columns: int, shard_bytes: int) -> Iterator[Shard]:
    share = min(1.0, columns / max(1, len(footer.schema.names)))
    groups: list[tuple[int, int, int]] = []
    for index, (rows, stored) in enumerate(zip(footer.group_rows, footer.group_bytes, strict=True)):
        if rows:
            groups.append((index, rows, max(int(stored * share), rows * 8 * columns)))
        if groups and (sum(size for _, _, size in groups) >= shard_bytes or index == len(footer.group_rows) - 1):
            indices, group_rows, sizes = zip(*groups, strict=True)
            yield Shard(footer.file, indices, group_rows, sum(sizes))
            groups = []


def _columns(footers: list[_Footer], options: DatasetOptions) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    found = _unify(footers)
    _check_names(options, list(found))
    columns, notes = [], []
    for name, (family, canonical, source_type, _) in found.items():
        if name in options.exclude or name in options.entity:
            continue
        if family == "other":
            notes.append(f"column '{name}' skipped: {source_type} is not analysed")
            continue
        kind = Kind(options.kinds[name]) if name in options.kinds else GUESSED_KIND[family]
        if name == options.event_time:
            role, kind = Role.EVENT_TIME, Kind.NUMBER if family == "number" else Kind.TIME
        else:
            role = Role.TARGET if name in options.targets else Role.FEATURE
        if kind in {Kind.CATEGORY, Kind.TEXT}:
            canonical = "string"
        elif kind is Kind.TIME:
            canonical = "int64"
        elif family not in {"number", "duration"}:  # a number by the user's word
            canonical = "float64" if family == "string" else "int64"
        null_values = tuple(options.null_values) if family == "string" else ()
        columns.append(Column(name, canonical, kind, null_values, role, source_type))
        if "|" in source_type:
            notes.append(
                f"column '{name}' is {source_type.replace('|', ' and ')} in different files, read as {canonical}"
            )
    if not any(column.role is not Role.EVENT_TIME for column in columns):
        raise SchemaError("no column is left to analyse; check dataset.exclude and dataset.entity")
    return tuple(columns), tuple(notes)


def _check_names(options: DatasetOptions, names: list[str]) -> None:
    event_time = [options.event_time] if options.event_time else []
    keys = {"entity": options.entity, "event_time": event_time, "targets": options.targets, "exclude": options.exclude}
    for key, wanted in (keys | {"kinds": list(options.kinds)}).items():
        for name in wanted:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"the nearest is '{near[0]}'" if near else f"columns are {', '.join(names[:20])}"
                raise SchemaError(f"dataset.{key}: no column '{name}'; {hint}")
    seen: dict[str, str] = {}
    for key, wanted in keys.items():
        for name in wanted:
            if seen.setdefault(name, key) != key:
                raise ConfigurationError(f"column '{name}' stands in dataset.{seen[name]} and in dataset.{key}")


GUESSED_KIND = {
    "number": Kind.NUMBER,
    "duration": Kind.NUMBER,
    "time": Kind.TIME,
    "string": Kind.CATEGORY,
    "boolean": Kind.CATEGORY,
    "null": Kind.CATEGORY,
}


def _family(kind: pa.DataType) -> tuple[str, str]:
    """Return what types may stand for one another, and the canonical type of numbers."""
    if pa.types.is_dictionary(kind):
        return _family(kind.value_type)
    if pa.types.is_integer(kind):
        return "number", "uint64" if kind == pa.uint64() else "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", "float32" if kind in {pa.float16(), pa.float32()} else "float64"
    tests = (
        ("duration", pa.types.is_duration),
        ("time", pa.types.is_temporal),
        ("string", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
        ("boolean", pa.types.is_boolean),
        ("null", pa.types.is_null),
    )
    return next((name for name, test in tests if test(kind)), "other"), "int64"


def leaves(
    fields: Iterable[pa.Field], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], pa.DataType]]:
    """Yield name, path and type of every column of a file, those of structs dotted."""
    for field in fields:
        here = (*path, field.name)
        if pa.types.is_struct(field.type) and field.type.num_fields and not _is_image(field.type):
            yield from leaves(field.type, here)
        else:
            yield ".".join(here), here, field.type


def _is_image(kind: pa.DataType) -> bool:
    """Whether a struct is the Hugging Face image convention, which is one value and not two columns."""
    return {kind.field(index).name for index in range(kind.num_fields)} == {"bytes", "path"}


def _unify(footers: list[_Footer]) -> dict[str, tuple[str, str, str, str]]:
    """Return family, canonical type, source type and first file of every column over all files."""
    found: dict[str, tuple[str, str, str, str]] = {}
    for footer in footers:
        here: set[str] = set()
        for name, _, kind in leaves(footer.schema):
            if name in here:
                raise SchemaError(f"{footer.file.uri}: column name '{name}' is duplicated; rename one of them")
            here.add(name)
            family, canonical = _family(kind)
            found[name] = _widen(name, found.get(name), (family, canonical, str(kind), footer.file.uri))
    partitions: dict[str, set[str]] = {}
    for footer in footers:
        for key, value in footer.file.partitions:
            partitions.setdefault(key, set()).add(value)
    for key, values in partitions.items():
        if key in found:
            raise SchemaError(
                f"column '{key}' is both in {found[key][3]} and a partition folder; exclude is no help, rename one"
            )
        values.discard(HIVE_NULL)
        if values and all(re.fullmatch(r"-?\d{1,18}", value) for value in values):
            found[key] = ("number", "int64", "int64", "")
        else:
            dates = bool(values) and all(ISO_DATE.match(value) for value in values)
            found[key] = ("time" if dates else "string", "int64", "string", "")
    return found


def _widen(
    name: str, left: tuple[str, str, str, str] | None, right: tuple[str, str, str, str]
) -> tuple[str, str, str, str]:
    if left is None or left[0] == "null":
        return right
    if right[0] == "null" or left[2] == right[2]:
        return left
    if left[0] != right[0]:
        raise SchemaError(
            f"column '{name}' is {left[2]} in {left[3]} and {right[2]} in {right[3]}; "
            "make them agree, or leave the column out with dataset.exclude"
        )
    types = {left[1], right[1]}
    canonical = left[1] if len(types) == 1 else "float64"
    merged = left[2] if right[2] in left[2].split("|") else f"{left[2]}|{right[2]}"
    return (left[0], canonical, merged, left[3])
