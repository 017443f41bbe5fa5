"""The dataset of a run: its columns, its files, and whether Feast can read the files without a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featflow.columns.column import Column, Kind, Role
from featflow.config import parse
from featflow.dataset.data_files import data_files
from featflow.dataset.dataset import Shard
from featflow.dataset.files import DataFile
from featflow.dataset.footer import Footer
from featflow.dataset.footers import Footers
from featflow.dataset.options import DatasetOptions
from featflow.dataset.parquet import open_parquet
from featflow.dataset.row_groups import read_failure
from featflow.dataset.schema_inference import infer_columns
from featflow.dataset.sources.opening import is_table
from featflow.errors import ConfigurationError, DatasetError, FeatflowError
from featflow.export.feast.types import DTYPES, TIME, feature_type, key_dtype
from featflow.storage.filesystems import uri_of
from featflow.storage.folders import find
from featflow.storage.run import Run
from featflow.storage.store import resolve
from featflow.transforms.derive import inline_columns
from featflow.transforms.frozen import load_frozen

__all__ = ["Source", "open_source"]

THREADS = 8
"""Files whose footers are read at once: reading one is mostly waiting for storage."""
READABLE_TYPES = {kind for kind in DTYPES if not pa.types.is_temporal(kind)} | {pa.int32()}
"""Types, besides times in UTC, that Feast reads unchanged; 32-bit whole numbers pass as Int64."""


@dataclass(frozen=True)
class Source:
    """The dataset that a run read."""

    options: DatasetOptions
    """Its options in the run's configuration."""
    keys: tuple[Column, ...]
    """Join keys."""
    time: Column
    """Event time."""
    features: tuple[Column, ...]
    """Features: columns of the files, in their order, then those computed from one row of the files alone."""
    footers: tuple[Footer, ...]
    """Footers of all readable files that exist now."""
    others: tuple[str, ...]
    """URIs of other files in the same folders: unreadable, of another kind, or featflow's own."""
    inputs: tuple[dict[str, Any], ...]
    """The manifest's entries of shards, less what the run could not read."""
    lost: tuple[str, ...]
    """Descriptions of the row groups and files that the run could not read."""

    def shards(self) -> list[Shard]:
        """Return the shards that the run read.

        Raises
        ------
        DatasetError
            A file has changed since the run, or is gone.
        """
        footers = {(footer.file.uri, footer.file.size, footer.file.version): footer for footer in self.footers}
        shards = []
        for entry in self.inputs:
            footer = footers.get((entry["uri"], entry["size"], entry["version"]))
            if footer is None:
                raise DatasetError(
                    f"{entry['uri']}: changed or gone since the run read it; run again, then export that run"
                )
            groups, part = tuple(entry["row_groups"]), entry.get("part")
            rows = tuple(footer.group_rows[group] for group in groups)
            nbytes = sum(footer.group_bytes[group] for group in groups)
            contents = tuple(entry.get("contents", ()))
            held = range(*part) if part else None
            shards.append(Shard(footer.file, groups, rows, nbytes, held, contents, entry.get("images", "")))
        return shards

    def why_copied(self, names: Mapping[str, str], options: dict[str, Any]) -> str | None:
        """Return why Feast cannot read the files without a copy; None where it can.

        Parameters
        ----------
        names
            Each column's name in Feast.
        options
            Of the files' filesystem.
        """
        renamed = [column for column, name in names.items() if column != name]
        derived = [column.name for column in self.features if column.derived]
        source, types = self.options.source, self._column_types()
        unsupported = sorted(f"{name} is {kind}" for name, kind in types.items() if not _is_readable(kind))
        expected = {column.name: feature_type(column) for column in self.features}
        expected |= {column.name: key_dtype(column) for column in self.keys}
        missing = [name for name in (*expected, self.time.name) if name not in types]
        retyped = [name for name, kind in expected.items() if not _matches(types.get(name), kind)]
        reasons = {
            f"'{(*derived, '')[0]}' is made of other columns": bool(derived),
            "its files are no Parquet": any(footer.file.parquet for footer in self.footers),
            "there are several sources": len(source) > 1 or any(mark in source[0] for mark in "*?["),
            f"there is {(*self.others, '')[0]}, which is not of the dataset or cannot be read": bool(self.others),
            f"it has no name for {(*map(repr, renamed), '')[0]}": bool(renamed),
            f"event time '{self.time.name}' is not a time in UTC": not _is_utc(types.get(self.time.name)),
            f"{'; '.join(unsupported[:3])}": bool(unsupported),
            f"'{(*missing, '')[0]}' is not in the files, or not in all of them": bool(missing) or self._types_differ(),
            f"'{(*retyped, '')[0]}' is to be read as another type": bool(retyped),
            "some strings mean missing (dataset.null_values)": bool(self.options.null_values),
            f"{(*self.lost, '')[0]} cannot be read": bool(self.lost),
        }
        return next((reason for reason, holds in reasons.items() if holds), None) or self._null_reason(options)

    def _null_reason(self, options: dict[str, Any]) -> str | None:
        """Return a reason if a key or event time may be null in some row: Feast fails on the first such row."""
        needed = {self.time.name, *(key.name for key in self.keys)}
        with ThreadPoolExecutor(THREADS) as pool:
            columns = pool.map(lambda footer: _nullable_column(footer.file, needed, options), self.footers)
            name = next(filter(None, columns), None)
        return f"'{name}' is missing in some row, or its file does not say that it is in none" if name else None

    def _column_types(self) -> dict[str, pa.DataType]:
        return {field.name: field.type for footer in self.footers for field in footer.schema}

    def _types_differ(self) -> bool:
        first = {field.name: field.type for field in self.footers[0].schema}
        return any({field.name: field.type for field in footer.schema} != first for footer in self.footers)


def _nullable_column(file: DataFile, columns: set[str], options: dict[str, Any]) -> str | None:
    """Return a column whose nulls a file's footer does not rule out; None where it rules them out for all."""
    try:
        with open_parquet(file.uri, options) as opened:
            metadata = opened.metadata
    except FeatflowError:
        raise
    except Exception as error:
        raise read_failure(file, error) from error
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    for chunk in (group.column(place) for group in groups for place in range(group.num_columns)):
        stats = chunk.statistics if chunk.path_in_schema in columns else None
        if chunk.path_in_schema in columns and not (stats and stats.has_null_count and stats.null_count == 0):
            return str(chunk.path_in_schema)
    return None


def _is_readable(kind: pa.DataType) -> bool:
    return kind in READABLE_TYPES or _is_utc(kind) or (pa.types.is_timestamp(kind) and kind.tz is not None)


def _is_utc(kind: pa.DataType | None) -> bool:
    return kind is not None and pa.types.is_timestamp(kind) and kind.tz in {"UTC", "+00:00", "Etc/UTC"}


def _matches(kind: pa.DataType | None, expected: pa.DataType) -> bool:
    """Return whether the type in the files may stand for the type in Feast's schema."""
    return (
        kind is None
        or kind == expected
        or (kind, expected) == (pa.int32(), pa.int64())
        or (expected == TIME and _is_utc(kind))
    )


def _foreign_files(sources: list[str], dataset_files: set[str], options: dict[str, Any]) -> Iterator[str]:
    """Yield the files that Feast would read in the sources' folders, and that are not of the dataset."""
    for source in sources:
        filesystem, path = resolve(source, options)
        try:
            names = list(find(filesystem, path))
        except FileNotFoundError:  # a pattern
            continue
        for name in names:
            uri = uri_of(filesystem, name)
            hidden = any(part.startswith(("_", ".")) for part in name.removeprefix(path).split("/"))
            if uri not in dataset_files and not hidden:
                yield uri


def open_source(run: Run) -> Source:
    """Return the dataset that a run read, from its configuration and the files' footers.

    Raises
    ------
    ConfigurationError
        It has no join keys or no event time, by which Feast looks features up.
    DatasetError
        None of the files that the run read exists any more.
    """
    options = parse(run.manifest["config"]).dataset.model_copy(update={"storage_options": run.store.options})
    for key, meaning in (("entity", "join keys"), ("event_time", "the column that says when a row happened")):
        if not getattr(options, key):
            raise ConfigurationError(f"{run.uri}: Feast needs {meaning}; set dataset.{key} and run again")
    if tables := [source for source in options.source if is_table(source)]:
        raise ConfigurationError(
            f"{run.uri}: Feast is given files, and {tables[0]} is a table; its rows are not exported"
        )
    read_uris = {entry["uri"] for entry in run.manifest["inputs"]}
    quarantined = run.table("quarantine", ["uri", "row_group"]).to_dicts()
    unread = {row["uri"] for row in quarantined if row["row_group"] is None}
    lost = dict.fromkeys(
        row["uri"] if row["uri"] in unread else f"row group {row['row_group']} of {row['uri']}" for row in quarantined
    )
    listing, _ = data_files(options, options.source, run.manifest["config"]["output"])
    outcomes = Footers(run.store).read(listing.files, run.store.options)
    footers = tuple(outcome for outcome in outcomes if isinstance(outcome, Footer))
    readable = [footer for footer in footers if footer.file.uri in read_uris]
    if not readable:
        raise DatasetError(f"{run.uri}: none of the files that it read is there any more; run again")
    inferred = infer_columns(readable, options)
    derived = inline_columns(inferred.derivations, load_frozen(run.store, run.manifest.get("frozen", {})))
    unusable = [name for name in options.entity if name not in {column.name for column in inferred.entity}]
    if unusable:
        raise ConfigurationError(
            f"{run.uri}: join key {unusable[0]!r} is neither words, numbers nor times; choose another"
        )
    times = [column for column in inferred.columns if column.role is Role.EVENT_TIME]
    if not times:
        raise ConfigurationError(
            f"{run.uri}: event time '{options.event_time}' is made of other columns; Feast needs one of the files"
        )
    (time,) = times
    if time.kind is not Kind.TIME:
        raise ConfigurationError(
            f"{run.uri}: event time '{time.name}' is {time.source_type} and Feast needs times; "
            f"if it counts microseconds since 1970, set dataset.kinds {{{time.name}: time}}"
        )
    return Source(
        options,
        inferred.entity,
        time,
        tuple(column for column in (*inferred.columns, *derived) if column.role is Role.FEATURE),
        footers,
        tuple(_foreign_files(options.source, {footer.file.uri for footer in footers}, run.store.options)),
        tuple(run.inputs()),
        tuple(lost),
    )
