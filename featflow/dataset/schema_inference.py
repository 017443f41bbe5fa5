"""From the schemas of files to the dataset's columns: names, kinds, roles, and what to read them as."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from featflow.columns.column import Column, Kind, Role
from featflow.dataset.file_schemas import FileSchema, Found, unify
from featflow.dataset.image_options import ImageOptions
from featflow.dataset.options import DatasetOptions
from featflow.dataset.transform_options import Derivation, TransformOptions
from featflow.errors import ConfigurationError, SchemaError

__all__ = ["Inferred", "infer_columns"]

WHOLE = {"int64"}

OF_FILES = {"entity", "images"}
"""Keys that name columns of files: rows are joined by them, or pictures read from them."""
UNREAD = {"other", "image"}
"""Families that are no column of numbers or words."""


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
    derivations: tuple[Derivation, ...] = ()
    """What is made of columns."""


def infer_columns(schemas: Sequence[FileSchema], options: DatasetOptions) -> Inferred:
    """Return the columns to analyse, the keys, the weight, and notes on columns skipped or widened.

    Raises
    ------
    SchemaError
        Files disagree, a name is duplicated, or a configured column does not exist.
    ConfigurationError
        A column is configured for two roles.
    """
    bases = {name for entry in options.derive for name in entry.inputs}
    found = unify(schemas, lambda name: name not in bases and _named(name, options.exclude))
    derivations = _derivations(options, found)
    made = {column.name: column for each in derivations for column in each.outputs}
    _check_names(options, list(found), list(made))
    images = {image.column for image in options.images}
    columns, notes, kept_apart = [], [], {*options.entity, options.weight, *images}
    for name, (family, canonical, source_type, _) in (found | _as_found(made)).items():
        excluded = name in options.exclude and name not in found if name in made else _named(name, options.exclude)
        if excluded or name in kept_apart:
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
        null_values = tuple(options.null_values) if family == "string" and name not in made else ()
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
    _check_splits(options, [*(column.name for column in columns if column.name not in made), *options.entity])
    weight = _weight(found | _as_found(made), options.weight)
    derivations = [
        replace(each, outputs=tuple(column for column in columns if column.name in {out.name for out in each.outputs}))
        for each in derivations
    ]
    files = tuple(column for column in columns if column.name not in made)
    return Inferred(files, tuple(entity), weight, of_images, tuple(notes), tuple(derivations))


def _derivations(options: DatasetOptions, found: dict[str, Found]) -> list[Derivation]:
    """Return what is to be made of columns, as it is called before anything else is said of it.

    Raises
    ------
    SchemaError
        It is to be made of a column that is not there or cannot serve, or has the name of one that is.
    """
    derivations: list[Derivation] = []
    makers: dict[str, str] = {}
    made: dict[str, Column] = {}
    entries: list[tuple[str, TransformOptions | ImageOptions]] = [("images", entry) for entry in options.images]
    for key, entry in [*entries, *(("derive", entry) for entry in options.derive)]:
        for name in entry.inputs:
            if name not in (found if key in OF_FILES else [*found, *made]):
                _refuse(key, name, [*found, *made])
        if key == "images" and any(found[name][0] == "excluded" for name in entry.inputs):
            continue  # which is said with all that is named twice
        inputs = tuple(made.get(name) or _as_base(name, found[name], options) for name in entry.inputs)
        outputs = entry.columns(inputs)
        for column in outputs:
            if column.name in found and found[column.name][0] != "excluded":
                raise SchemaError(f"column '{column.name}' is what dataset.{key} makes; rename it, or exclude it")
            if column.name in made:
                before = makers[column.name]
                raise SchemaError(
                    f"dataset.{key}: column '{column.name}' is what dataset.{before} makes; leave one out"
                )
            made[column.name], makers[column.name] = column, key
        derivations.append(Derivation(entry, inputs, outputs))
    return derivations


def _as_base(name: str, found: Found, options: DatasetOptions) -> Column:
    """Return the column that others are made of; as words, numbers or times, whatever it is analysed as."""
    family, canonical, source_type, _ = found
    if family == "image" or name in {image.column for image in options.images}:
        return _image(name, found)
    kind = GUESSED_KIND.get(family, Kind.CATEGORY)
    if options.kinds.get(name) == "time":
        kind = Kind.TIME
    null_values = tuple(options.null_values) if family == "string" else ()
    return Column(name, _read_as(kind, family, canonical), kind, null_values, source_type=source_type)


def _as_found(made: dict[str, Column]) -> dict[str, Found]:
    """Return what is known of made columns as if they were read from files."""
    families = {Kind.NUMBER: "number", Kind.TIME: "time"}
    return {
        name: (families.get(column.kind, "string"), column.type, column.source_type, "")
        for name, column in made.items()
    }


def _image(name: str, found: Found) -> Column:
    family, _, source_type, uri = found
    if family not in {"image", "string"}:
        raise SchemaError(
            f"dataset.images: '{name}' is {source_type} in {uri}; images are bytes, structs of bytes and path, or URIs"
        )
    return Column(name, "image", Kind.IMAGE, source_type=source_type)


def _weight(found: dict[str, Found], name: str | None) -> Column | None:
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


def _check_names(options: DatasetOptions, files: list[str], made: list[str]) -> None:
    event_time = [options.event_time] if options.event_time else []
    weight = [options.weight] if options.weight else []
    keys = {"entity": options.entity, "event_time": event_time, "targets": options.targets, "weight": weight}
    keys |= {"exclude": options.exclude, "images": [image.column for image in options.images]}
    for key, wanted in (keys | {"kinds": list(options.kinds)}).items():
        names = files if key in OF_FILES else [*files, *made]
        for name in wanted:
            if name not in names and not (key == "exclude" and any(_named(known, [name]) for known in files)):
                _refuse(key, name, names)
    _check_once(options, keys, made)


def _refuse(key: str, name: str, names: list[str]) -> None:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"the nearest is '{near[0]}'" if near else f"columns are {', '.join(names[:20])}"
    raise SchemaError(f"dataset.{key}: no column '{name}'; {hint}")


def _check_splits(options: DatasetOptions, names: list[str]) -> None:
    for image in options.images:
        if image.split and image.split not in names:
            near = difflib.get_close_matches(image.split, sorted(names), n=1)
            hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, or no column of the dataset"
            raise SchemaError(f"dataset.images: split of '{image.column}': no column '{image.split}'; {hint}")


def _check_once(options: DatasetOptions, keys: dict[str, list[str]], made: list[str]) -> None:
    """Raise ConfigurationError where a column is to be two things."""
    seen: dict[str, str] = {}
    for key, wanted in keys.items():
        for name in wanted:
            if seen.setdefault(name, key) != key:
                raise ConfigurationError(
                    f"column '{name}' stands in dataset.{seen[name]} and in dataset.{key}; take it out of one"
                )
    for name, key in seen.items():
        if key != "exclude" and name not in made and _named(name, options.exclude):
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
