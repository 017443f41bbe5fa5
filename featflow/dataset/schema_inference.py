"""From the schemas of files to the dataset's columns: names, kinds, roles, and what to read them as."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featflow.columns.column import Column, Kind, Role
from featflow.dataset.files import DataFile
from featflow.dataset.options import DatasetOptions
from featflow.errors import ConfigurationError, SchemaError

__all__ = ["HIVE_NULL", "Inferred", "infer_columns", "leaves"]

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}$")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

WHOLE = {"int64"}

UNREAD = {"other", "image"}
"""Families that are no column of numbers or words."""

FileSchema = tuple[DataFile, pa.Schema]


@dataclass(frozen=True)
class Inferred:
    """What the schemas say."""

    columns: tuple[Column, ...]
    """Columns to analyse."""
    entity: tuple[Column, ...]
    """Join keys, read as strings: rows are told apart by them, nothing more."""
    weight: Column | None
    """Row weights."""
    images: tuple[Column, ...]
    """Images."""
    notes: tuple[str, ...]
    """Columns skipped or widened."""


def infer_columns(schemas: Sequence[FileSchema], options: DatasetOptions) -> Inferred:
    """Return the columns to analyse, the keys, the weight, and notes on columns skipped or widened.

    Raises
    ------
    SchemaError
        Files disagree, a name is duplicated, or a configured column does not exist.
    ConfigurationError
        A column is configured for two roles.
    """
    found = _unify(schemas, set(options.exclude))
    _check_names(options, list(found))
    images = {image.column for image in options.images}
    columns, notes, kept_apart = [], [], {*options.entity, options.weight, *images}
    for name, (family, canonical, source_type, _) in found.items():
        if _named(name, options.exclude) or name in kept_apart:
            continue
        if family in UNREAD:
            key = "targets" if name in options.targets else "event_time" if name == options.event_time else None
            if key:
                raise SchemaError(f"dataset.{key}: '{name}' is {source_type}, which is not analysed; choose another")
            hint = "; if it holds images, name it in dataset.images" if family == "image" else ""
            notes.append(f"column '{name}' skipped: {source_type} is not analysed{hint}")
            continue
        kind = Kind(options.kinds[name]) if name in options.kinds else GUESSED_KIND[family]
        if name == options.event_time:
            role, kind = Role.EVENT_TIME, Kind.NUMBER if family == "number" else Kind.TIME
        else:
            role = Role.TARGET if name in options.targets else Role.FEATURE
        if kind is Kind.TIME and not (
            family in {"time", "clock", "string", "null"} or (canonical in WHOLE and family == "number")
        ):
            raise SchemaError(f"column '{name}' is {source_type} and cannot be read as time; check dataset.kinds")
        if kind is Kind.TEXT and role is Role.TARGET:
            raise SchemaError(
                f"dataset.targets: '{name}' is text, which has no levels to tell apart; check dataset.kinds"
            )
        read_as = _read_as(kind, family, canonical)
        null_values = tuple(options.null_values) if family == "string" else ()
        columns.append(Column(name, read_as, kind, null_values, role, source_type))
        if "|" in source_type:
            notes.append(
                f"column '{name}' is {source_type.replace('|', ' and ')} in different files, read as {read_as}"
            )
    if not images and not any(column.role is not Role.EVENT_TIME for column in columns):
        raise SchemaError("no column is left to analyse; check dataset.exclude and dataset.entity")
    notes += [
        f"dataset.entity: '{name}' is {found[name][2]}, which cannot group rows for error bars"
        for name in options.entity
        if found[name][0] in UNREAD
    ]
    entity = (
        Column(name, "string", Kind.CATEGORY, source_type=found[name][2])
        for name in options.entity
        if found[name][0] not in UNREAD
    )
    of_images = tuple(_image(name, found[name]) for name in found if name in images)
    return Inferred(tuple(columns), tuple(entity), _weight(found, options.weight), of_images, tuple(notes))


def _image(name: str, found: tuple[str, str, str, str]) -> Column:
    family, _, source_type, uri = found
    if family not in {"image", "string"}:
        raise SchemaError(
            f"dataset.images: '{name}' is {source_type} in {uri}; images are bytes, structs of bytes and path, or URIs"
        )
    return Column(name, "image", Kind.IMAGE, source_type=source_type)


def _weight(found: dict[str, tuple[str, str, str, str]], name: str | None) -> Column | None:
    if name is None:
        return None
    if found[name][0] not in {"number", "boolean"}:
        raise SchemaError(f"dataset.weight: '{name}' is {found[name][2]}; weights are numbers")
    return Column(name, "float64", Kind.NUMBER)


def _named(name: str, names: Collection[str]) -> bool:
    """Whether a column, or a struct that holds it, is among the names."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in names for count in range(1, len(parts) + 1))


def _read_as(kind: Kind, family: str, canonical: str) -> str:
    """Return the canonical type of a column's batches."""
    if kind in {Kind.CATEGORY, Kind.TEXT}:
        return "string"
    if kind is Kind.NUMBER and family == "string":  # a number by the user's word
        return "float64"
    return canonical if kind is Kind.NUMBER and family == "number" else "int64"


def _check_names(options: DatasetOptions, names: list[str]) -> None:
    event_time = [options.event_time] if options.event_time else []
    weight = [options.weight] if options.weight else []
    keys = {"entity": options.entity, "event_time": event_time, "targets": options.targets, "weight": weight}
    keys |= {"exclude": options.exclude, "images": [image.column for image in options.images]}
    for key, wanted in (keys | {"kinds": list(options.kinds)}).items():
        for name in wanted:
            if name not in names and not (key == "exclude" and any(_named(known, [name]) for known in names)):
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"the nearest is '{near[0]}'" if near else f"columns are {', '.join(names[:20])}"
                raise SchemaError(f"dataset.{key}: no column '{name}'; {hint}")
    _check_once(options, keys)


def _check_once(options: DatasetOptions, keys: dict[str, list[str]]) -> None:
    """Raise ConfigurationError where a column is to be two things."""
    seen: dict[str, str] = {}
    for key, wanted in keys.items():
        for name in wanted:
            if seen.setdefault(name, key) != key:
                raise ConfigurationError(
                    f"column '{name}' stands in dataset.{seen[name]} and in dataset.{key}; take it out of one"
                )
    for name, key in seen.items():
        if key != "exclude" and _named(name, options.exclude):
            raise ConfigurationError(f"dataset.{key}: dataset.exclude leaves out what '{name}' is a field of")
    for name in keys["images"]:
        kind = options.kinds.get(name, "image")
        if kind != "image":
            raise ConfigurationError(f"column '{name}' stands in dataset.images and is {kind} in dataset.kinds")


GUESSED_KIND = {
    "number": Kind.NUMBER,
    "duration": Kind.NUMBER,
    "time": Kind.TIME,
    "clock": Kind.TIME,
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
        ("clock", pa.types.is_time),
        ("time", pa.types.is_temporal),
        ("string", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
        ("boolean", pa.types.is_boolean),
        ("null", pa.types.is_null),
        ("image", lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t) or _is_image(t)),
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
    """Whether a type is the Hugging Face image convention, a struct that is one value and not two columns."""
    names = {kind.field(index).name for index in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
    return names == {"bytes", "path"}


def _unify(schemas: Sequence[FileSchema], exclude: set[str]) -> dict[str, tuple[str, str, str, str]]:
    """Return family, canonical type, source type and first file of every column over all files."""
    found: dict[str, tuple[str, str, str, str]] = {}
    for file, schema in schemas:
        here: set[str] = set()
        for name, _, kind in leaves(schema):
            if _named(name, exclude):
                found.setdefault(name, ("excluded", "", str(kind), file.uri))
                continue
            if name in here:
                raise SchemaError(f"{file.uri}: column name '{name}' is duplicated; rename one of them")
            here.add(name)
            family, canonical = _family(kind)
            found[name] = _widen(name, found.get(name), (family, canonical, str(kind), file.uri))
    partitions: dict[str, set[str]] = {}
    for file, _ in schemas:
        for key, value in file.partitions:
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
