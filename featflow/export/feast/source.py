"""The dataset of a run as Feast would read it: its columns, its files, and whether Feast can read these as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featflow.columns.column import Column, Kind, Role
from featflow.config import parse
from featflow.dataset.dataset import Shard
from featflow.dataset.files import list_data_files, open_parquet
from featflow.dataset.footers import Footer, Footers
from featflow.dataset.options import DatasetOptions
from featflow.dataset.schema_inference import infer_columns
from featflow.errors import ConfigurationError, DatasetError
from featflow.export.feast.types import DTYPES, TIME, feature_type, key_dtype
from featflow.storage.run import Run
from featflow.storage.store import is_local, resolve
from featflow.transforms.derive import inline_columns
from featflow.transforms.frozen import load_frozen

__all__ = ["Source", "open_source"]

THREADS = 8
AS_THEY_ARE = {kind for kind in DTYPES if not pa.types.is_temporal(kind)} | {pa.int32()}
"""Types, beside times in UTC, that Feast reads as they are."""


@dataclass(frozen=True)
class Source:
    """What a run read."""

    options: DatasetOptions
    """Where it is."""
    keys: tuple[Column, ...]
    """Join keys."""
    time: Column
    """Event time."""
    features: tuple[Column, ...]
    """Columns of the files that are features, in their order, and those that a row of the files says alone."""
    footers: tuple[Footer, ...]
    """Of all readable files that are there now."""
    others: tuple[str, ...]
    """What is beside them and is none: unreadable, of another kind, or featflow's own."""
    inputs: tuple[tuple[str, int, str, tuple[int, ...]], ...]
    """URI, size, version and row groups of every shard, less what the run could not read."""
    lost: tuple[str, ...]
    """Row groups and files that the run could not read, in words."""

    def shards(self) -> list[Shard]:
        """Return the shards that the run read.

        Raises
        ------
        DatasetError
            One of them has changed since, or is gone.
        """
        there = {(footer.file.uri, footer.file.size, footer.file.version): footer for footer in self.footers}
        found = []
        for uri, size, version, groups in self.inputs:
            footer = there.get((uri, size, version))
            if footer is None:
                raise DatasetError(f"{uri}: changed or gone since the run read it; run again, then export that run")
            rows = tuple(footer.group_rows[group] for group in groups)
            found.append(Shard(footer.file, groups, rows, sum(footer.group_bytes[group] for group in groups)))
        return found

    def why_copied(self, names: Mapping[str, str], options: dict[str, Any]) -> str | None:
        """Return why Feast cannot read the files as they are; None where it can.

        Parameters
        ----------
        names
            Of columns in Feast.
        options
            Of the files' filesystem.
        """
        renamed = [column for column, name in names.items() if column != name]
        made = [column.name for column in self.features if column.derived]
        source, kinds = self.options.source, self._types()
        unfit = sorted(f"{name} is {kind}" for name, kind in kinds.items() if not _fits(kind))
        wanted = {column.name: feature_type(column) for column in self.features}
        wanted |= {column.name: key_dtype(column) for column in self.keys}
        absent = [name for name in (*wanted, self.time.name) if name not in kinds]
        other = [name for name, kind in wanted.items() if not _stands_for(kinds.get(name), kind)]
        reasons = {
            f"'{(*made, '')[0]}' is made of other columns": bool(made),
            "there are several sources": len(source) > 1 or any(mark in source[0] for mark in "*?["),
            f"there is {(*self.others, '')[0]}, which is not of the dataset or cannot be read": bool(self.others),
            f"it has no name for {(*map(repr, renamed), '')[0]}": bool(renamed),
            f"event time '{self.time.name}' is not a time in UTC": not _is_utc(kinds.get(self.time.name)),
            f"{'; '.join(unfit[:3])}": bool(unfit),
            f"'{(*absent, '')[0]}' is not in the files, or not in all of them": bool(absent) or self._ragged(),
            f"'{(*other, '')[0]}' is to be read as another type": bool(other),
            "some strings mean missing (dataset.null_values)": bool(self.options.null_values),
            f"{(*self.lost, '')[0]} cannot be read": bool(self.lost),
        }
        return next((reason for reason, holds in reasons.items() if holds), None) or self._nulls(options)

    def _nulls(self, options: dict[str, Any]) -> str | None:
        """Return which key, or event time, may be missing in some row, as Feast ends at the first such row."""
        needed = {self.time.name, *(key.name for key in self.keys)}
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(lambda footer: _with_nulls(footer.file.uri, needed, options), self.footers)
            name = next(filter(None, found), None)
        return f"'{name}' is missing in some row, or its file does not say that it is in none" if name else None

    def _types(self) -> dict[str, pa.DataType]:
        return {field.name: field.type for footer in self.footers for field in footer.schema}

    def _ragged(self) -> bool:
        first = {field.name: field.type for field in self.footers[0].schema}
        return any({field.name: field.type for field in footer.schema} != first for footer in self.footers)


def _with_nulls(uri: str, columns: set[str], options: dict[str, Any]) -> str | None:
    """Return one of the columns that is null in a row of a file, as far as its footer rules it out for no row."""
    with open_parquet(uri, options) as file:
        groups = (file.metadata.row_group(group) for group in range(file.metadata.num_row_groups))
        for chunk in (group.column(place) for group in groups for place in range(group.num_columns)):
            told = chunk.statistics if chunk.path_in_schema in columns else None
            if chunk.path_in_schema in columns and not (told and told.has_null_count and told.null_count == 0):
                return str(chunk.path_in_schema)
    return None


def _fits(kind: pa.DataType) -> bool:
    return kind in AS_THEY_ARE or _is_utc(kind) or (pa.types.is_timestamp(kind) and kind.tz is not None)


def _is_utc(kind: pa.DataType | None) -> bool:
    return kind is not None and pa.types.is_timestamp(kind) and kind.tz in {"UTC", "+00:00", "Etc/UTC"}


def _stands_for(kind: pa.DataType | None, wanted: pa.DataType) -> bool:
    """Return whether what is in the files is what the schema says of it."""
    return (
        kind is None
        or kind == wanted
        or (kind, wanted) == (pa.int32(), pa.int64())
        or (wanted == TIME and _is_utc(kind))
    )


def _others(sources: list[str], ours: set[str], options: dict[str, Any]) -> Iterator[str]:
    """Yield what a reader of the sources, as folders, would take and a run does not."""
    for source in sources:
        filesystem, path = resolve(source, options)
        for name in filesystem.find(path):
            uri = name if is_local(filesystem) else filesystem.unstrip_protocol(name)
            hidden = any(part.startswith(("_", ".")) for part in name.removeprefix(path).split("/"))
            if uri not in ours and not hidden:
                yield uri


def open_source(run: Run) -> Source:
    """Return what a run read, as its configuration and the files' footers say.

    Raises
    ------
    ConfigurationError
        It has no join keys or no event time, without which there is nothing to look features up by.
    DatasetError
        The dataset, or all that the run read of it, is gone.
    """
    options = parse(run.manifest["config"]).dataset
    for key, said in (("entity", "join keys"), ("event_time", "the column that says when a row happened")):
        if not getattr(options, key):
            raise ConfigurationError(f"{run.uri}: Feast needs {said}; set dataset.{key} and run again")
    inputs = tuple((i["uri"], i["size"], i["version"], tuple(i["row_groups"])) for i in run.inputs())
    read = {entry["uri"] for entry in run.manifest["inputs"]}
    quarantined = run.table("quarantine", ["uri", "row_group"]).to_dicts()
    whole = {row["uri"] for row in quarantined if row["row_group"] is None}
    lost = dict.fromkeys(
        row["uri"] if row["uri"] in whole else f"row group {row['row_group']} of {row['uri']}" for row in quarantined
    )
    files = list_data_files(options.source, run.store.options, run.manifest["config"]["output"])
    outcomes = Footers(run.store).read(files, run.store.options)
    footers = tuple(outcome for outcome in outcomes if isinstance(outcome, Footer))
    known = [(footer.file, footer.schema) for footer in footers if footer.file.uri in read]
    if not known:
        raise DatasetError(f"{run.uri}: none of the files that it read is there any more; run again")
    inferred = infer_columns(known, options)
    made = inline_columns(inferred.derivations, load_frozen(run.store, run.manifest.get("frozen", {})))
    unread = [name for name in options.entity if name not in {column.name for column in inferred.entity}]
    if unread:
        raise ConfigurationError(
            f"{run.uri}: join key {unread[0]!r} is neither words, numbers nor times; choose another"
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
        tuple(column for column in (*inferred.columns, *made) if column.role is Role.FEATURE),
        footers,
        tuple(_others(options.source, {footer.file.uri for footer in footers}, run.store.options)),
        inputs,
        tuple(lost),
    )
