"""From the schemas of files to the dataset's columns: names, kinds, roles, and what to read them as."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from featflow.columns.column import Column, Kind, Role
from featflow.dataset.file_notes import absences, listed, same_but_for_case
from featflow.dataset.file_schemas import FileColumn, unify
from featflow.dataset.footer import Footer
from featflow.dataset.image_options import ImageOptions
from featflow.dataset.image_places import allowed
from featflow.dataset.options import DatasetOptions
from featflow.dataset.transform_options import Derivation, TransformOptions
from featflow.errors import ConfigurationError, SchemaError

__all__ = ["Inferred", "infer_columns"]

TIME_NUMBERS = {"int64"}
"""Canonical types of numbers that may be read as time, in microseconds since 1970 UTC."""
FILE_KEYS = {"entity", "images"}
"""Keys whose columns must be in files, not derived: rows are joined by them, or pictures read from them."""
UNREAD = {"other", "image", "binary", "encrypted"}
"""Families of types that are neither numbers nor words, so that columns of them are skipped."""
READ_AS_WORDS = {"category", "text"}
"""Kinds that a column of bytes may be set to."""
NO_KEY = UNREAD - {"binary"}
"""Families of which a join key cannot be."""
NAMED_TYPES = 5
"""Types of columns that a message names."""


@dataclass(frozen=True)
class Inferred:
    """The dataset's columns, as inferred from schemas and options."""

    columns: tuple[Column, ...]
    """Columns to analyse."""
    entity: tuple[Column, ...]
    """Join keys, read as strings: they identify rows and are not analysed."""
    weight: Column | None
    """Row weights."""
    images: tuple[Column, ...]
    """Images."""
    notes: tuple[str, ...]
    """Columns skipped or widened."""
    derivations: tuple[Derivation, ...] = ()
    """Columns to be derived from others."""
    skipped: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of columns that are not analysed, by their type."""


def infer_columns(footers: Sequence[Footer], options: DatasetOptions) -> Inferred:
    """Return the columns to analyse, the keys, the weight, and notes on columns skipped or widened.

    Raises
    ------
    SchemaError
        Files disagree, a name is duplicated, or a configured column does not exist.
    ConfigurationError
        A column is configured for two roles.
    """
    derive_inputs = {name for entry in options.derive for name in entry.inputs}
    file_columns = unify(footers, lambda path: ".".join(path) not in derive_inputs and _is_named(path, options.exclude))
    derivations = _derivations(options, file_columns)
    derived = {column.name: column for each in derivations for column in each.outputs}
    _check_names(options, file_columns, list(derived))
    images = {image.column for image in options.images}
    columns, notes, skipped = [], [], dict[str, tuple[str, ...]]()
    set_apart = {*options.entity, options.weight, *images}
    for name, (family, canonical, source_type, _, path) in (file_columns | _as_file_columns(derived)).items():
        excluded = (
            name in options.exclude and name not in file_columns
            if name in derived
            else _is_named(path, options.exclude)
        )
        if excluded or name in set_apart:
            continue
        if family in UNREAD and not (family == "binary" and options.kinds.get(name) in READ_AS_WORDS):
            _check_unread(options, name, source_type)
            skipped[source_type] = (*skipped.get(source_type, ()), name)
            continue
        kind = Kind(options.kinds[name]) if name in options.kinds else GUESSED_KIND[family]
        if name == options.event_time:
            role, kind = Role.EVENT_TIME, Kind.NUMBER if family == "number" else Kind.TIME
        else:
            role = Role.TARGET if name in options.targets else Role.FEATURE
        if kind is Kind.TIME and not (
            family in {"time", "clock", "string", "null"} or (canonical in TIME_NUMBERS and family == "number")
        ):
            raise SchemaError(f"column '{name}' is {source_type} and cannot be read as time; check dataset.kinds")
        if kind is Kind.TEXT and role is Role.TARGET:
            raise SchemaError(
                f"dataset.targets: '{name}' is text, which has no levels to tell apart; check dataset.kinds"
            )
        read_as = _canonical_type(kind, family, canonical)
        null_values = tuple(options.null_values) if family == "string" and name not in derived else ()
        columns.append(Column(name, read_as, kind, null_values, role, source_type))
        if "|" in source_type:
            notes.append(
                f"column '{name}' is {source_type.replace('|', ' and ')} in different files, read as {read_as}"
            )
    if not images and not any(column.role is not Role.EVENT_TIME for column in columns):
        raise _nothing_left(skipped)
    notes += [
        f"{listed(names)} skipped: {kind} is not analysed{HINTS.get(file_columns[names[0]].family, '')}"
        for kind, names in skipped.items()
    ]
    notes += [
        f"dataset.entity: '{name}' is {file_columns[name].source_type}, which cannot group rows for error bars"
        for name in options.entity
        if file_columns[name].family in NO_KEY
    ]
    from_files = tuple(column for column in columns if column.name not in derived)
    notes += [*absences(footers, [column.name for column in from_files]), *same_but_for_case(file_columns)]
    entity = (
        Column(name, "string", Kind.CATEGORY, source_type=file_columns[name].source_type)
        for name in options.entity
        if file_columns[name].family not in NO_KEY
    )
    image_columns = tuple(_image_column(name, file_columns[name], options) for name in file_columns if name in images)
    _check_splits(options, [*(column.name for column in from_files), *options.entity])
    weight = _weight_column(file_columns | _as_file_columns(derived), options.weight)
    derivations = [
        replace(each, outputs=tuple(column for column in columns if column.name in {out.name for out in each.outputs}))
        for each in derivations
    ]
    return Inferred(from_files, tuple(entity), weight, image_columns, tuple(notes), tuple(derivations), skipped)


def _check_unread(options: DatasetOptions, name: str, source_type: str) -> None:
    """Raise SchemaError where a column that cannot be read as numbers or words is named for a role or a kind."""
    if name in options.kinds:
        raise SchemaError(
            f"dataset.kinds: '{name}' is {source_type}, which cannot be read as {options.kinds[name]}; take it out of "
            "dataset.kinds, and it is skipped"
        )
    key = "targets" if name in options.targets else "event_time" if name == options.event_time else None
    if key:
        raise SchemaError(f"dataset.{key}: '{name}' is {source_type}, which is not analysed; choose another")


def _nothing_left(skipped: dict[str, tuple[str, ...]]) -> SchemaError:
    if not skipped:
        return SchemaError("no column is left to analyse; check dataset.exclude and dataset.entity")
    named = [f"{listed(names)} of type {kind}" for kind, names in skipped.items()]
    more = f" and columns of {len(named) - NAMED_TYPES} other types" if len(named) > NAMED_TYPES else ""
    return SchemaError(
        f"no column can be analysed: {', '.join(named[:NAMED_TYPES])}{more}; columns of numbers, times, words or "
        "booleans are analysed, and images that dataset.images names"
    )


def _derivations(options: DatasetOptions, file_columns: dict[str, FileColumn]) -> list[Derivation]:
    """Return the columns to be derived, with the names and kinds that their transforms give them.

    Raises
    ------
    SchemaError
        An input does not exist or cannot serve, or a derived column has the name of another column.
    """
    derivations: list[Derivation] = []
    makers: dict[str, str] = {}
    derived: dict[str, Column] = {}
    entries: list[tuple[str, TransformOptions | ImageOptions]] = [("images", entry) for entry in options.images]
    for key, entry in [*entries, *(("derive", entry) for entry in options.derive)]:
        for name in entry.inputs:
            if name not in (file_columns if key in FILE_KEYS else [*file_columns, *derived]):
                _raise_unknown(key, name, [*file_columns, *derived])
        if key == "images" and any(file_columns[name].family == "excluded" for name in entry.inputs):
            continue  # `_check_names` reports a column that is both excluded and configured
        inputs = tuple(derived.get(name) or _input_column(name, file_columns[name], options) for name in entry.inputs)
        outputs = entry.columns(inputs)
        for column in outputs:
            if column.name in file_columns and file_columns[column.name].family != "excluded":
                raise SchemaError(f"column '{column.name}' is what dataset.{key} makes; rename it, or exclude it")
            if column.name in derived:
                before = makers[column.name]
                raise SchemaError(
                    f"dataset.{key}: column '{column.name}' is what dataset.{before} makes; leave one out"
                )
            derived[column.name], makers[column.name] = column, key
        derivations.append(Derivation(entry, inputs, outputs))
    return derivations


def _input_column(name: str, file_column: FileColumn, options: DatasetOptions) -> Column:
    """Return a column as transforms read it: as words, numbers or times, whatever kind it is analysed as."""
    family, canonical, source_type, _, _ = file_column
    if family in {"image", "binary"} or name in {image.column for image in options.images}:
        return _image_column(name, file_column, options)
    kind = GUESSED_KIND.get(family, Kind.CATEGORY)
    if options.kinds.get(name) == "time":
        kind = Kind.TIME
    null_values = tuple(options.null_values) if family == "string" else ()
    return Column(name, _canonical_type(kind, family, canonical), kind, null_values, source_type=source_type)


def _as_file_columns(derived: dict[str, Column]) -> dict[str, FileColumn]:
    """Return families and types of derived columns as if they were read from files."""
    families = {Kind.NUMBER: "number", Kind.TIME: "time"}
    return {
        name: FileColumn(families.get(column.kind, "string"), column.type, column.source_type, "", (name,))
        for name, column in derived.items()
    }


def _image_column(name: str, file_column: FileColumn, options: DatasetOptions) -> Column:
    family, _, source_type, uri, _ = file_column
    if family not in {"image", "binary", "string", "null"}:
        raise SchemaError(
            f"dataset.images: '{name}' is {source_type} in {uri}; "
            "images are bytes, structs of bytes and path, or URIs, and one a row"
        )
    return Column(name, "image", Kind.IMAGE, source_type=source_type, allow=allowed(options.images, name))


def _weight_column(file_columns: dict[str, FileColumn], name: str | None) -> Column | None:
    if name is None:
        return None
    if file_columns[name].family not in {"number", "boolean"}:
        raise SchemaError(f"dataset.weight: '{name}' is {file_columns[name].source_type}; weights are numbers")
    return Column(name, "float64", Kind.NUMBER)


def _is_named(path: tuple[str, ...], names: Collection[str]) -> bool:
    """Whether the names hold the column at a path, or a struct that contains it."""
    return any(".".join(path[:count]) in names for count in range(1, len(path) + 1))


def _canonical_type(kind: Kind, family: str, canonical: str) -> str:
    """Return the canonical type of a column's batches."""
    if kind in {Kind.CATEGORY, Kind.TEXT}:
        return "string"
    if kind is Kind.NUMBER and family == "string":  # dataset.kinds says that the text holds numbers
        return "float64"
    return canonical if kind is Kind.NUMBER and family == "number" else "int64"


def _check_names(options: DatasetOptions, file_columns: dict[str, FileColumn], derived: list[str]) -> None:
    event_time = [options.event_time] if options.event_time else []
    weight = [options.weight] if options.weight else []
    keys = {"entity": options.entity, "event_time": event_time, "targets": options.targets, "weight": weight}
    keys |= {"exclude": options.exclude, "images": [image.column for image in options.images]}
    for key, configured in (keys | {"kinds": list(options.kinds)}).items():
        names = [*file_columns, *([] if key in FILE_KEYS else derived)]
        paths = [column.path for column in file_columns.values()] if key == "exclude" else []
        for name in configured:
            if name not in names and not any(_is_named(path, [name]) for path in paths):
                _raise_unknown(key, name, names)
    _check_roles(options, keys, {name: each.path for name, each in file_columns.items() if name not in derived})


def _raise_unknown(key: str, name: str, names: list[str]) -> None:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"the nearest is '{near[0]}'" if near else f"columns are {', '.join(names[:20])}"
    fields = [each for each in names if each.startswith(f"{name}.")]
    if fields:
        hint = f"name a field of it: {', '.join(fields[:20])}"
    raise SchemaError(f"dataset.{key}: no column '{name}'; {hint}")


def _check_splits(options: DatasetOptions, names: list[str]) -> None:
    for image in options.images:
        if image.split and image.split not in names:
            near = difflib.get_close_matches(image.split, sorted(names), n=1)
            hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, or no column of the dataset"
            raise SchemaError(f"dataset.images: split of '{image.column}': no column '{image.split}'; {hint}")


def _check_roles(options: DatasetOptions, keys: dict[str, list[str]], paths: dict[str, tuple[str, ...]]) -> None:
    """Raise ConfigurationError where a column is configured for two roles."""
    seen: dict[str, str] = {}
    for key, configured in keys.items():
        for name in configured:
            if seen.setdefault(name, key) != key:
                raise ConfigurationError(
                    f"column '{name}' stands in dataset.{seen[name]} and in dataset.{key}; take it out of one"
                )
    for name, key in seen.items():
        if key != "exclude" and name in paths and _is_named(paths[name], options.exclude):
            raise ConfigurationError(f"dataset.{key}: dataset.exclude leaves out what '{name}' is a field of")
    for name in keys["images"]:
        kind = options.kinds.get(name, "image")
        if kind != "image":
            raise ConfigurationError(f"column '{name}' stands in dataset.images and is {kind} in dataset.kinds")


HINTS = dict.fromkeys(("image", "binary"), "; if it holds images, name it in dataset.images, if text, set its kind")
GUESSED_KIND = {
    "number": Kind.NUMBER,
    "duration": Kind.NUMBER,
    "time": Kind.TIME,
    "clock": Kind.TIME,
    "string": Kind.CATEGORY,
    "boolean": Kind.CATEGORY,
    "null": Kind.CATEGORY,
}
