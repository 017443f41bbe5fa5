"""A dataset: files to columns and shards, from footers only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from featflow.columns.column import Column, Role
from featflow.dataset.data_files import data_files
from featflow.dataset.event_window import in_window, timeless, window_of
from featflow.dataset.file_names import is_perhaps_parquet
from featflow.dataset.footer import Footer, FooterFault
from featflow.dataset.footers import Footers
from featflow.dataset.formats import NAMES
from featflow.dataset.listing import Listing
from featflow.dataset.options import DatasetOptions
from featflow.dataset.passed_over import FIRST, PassedOver, Reason, listed_by_reason, told
from featflow.dataset.quarantined import Quarantined
from featflow.dataset.schema_inference import infer_columns
from featflow.dataset.shards import Cuts, Shard, cut, holds_several_steps, name_of, with_contents
from featflow.dataset.sources.opening import is_table, named_sources, open_tables, read_footers, table_files
from featflow.dataset.transform_options import Derivation
from featflow.errors import DatasetError

__all__ = ["Dataset", "Quarantined", "Shard", "open_dataset"]


@dataclass(frozen=True)
class Dataset:
    """Columns and shards of all files of the sources."""

    columns: tuple[Column, ...]
    """Columns to analyse, in the order of the first file that has them."""
    entity: tuple[Column, ...]
    """Join keys, as strings."""
    weight: Column | None
    """Row weights."""
    images: tuple[Column, ...]
    """Columns of images; columns derived from them are added once the images are encoded."""
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
    derivations: tuple[Derivation, ...] = ()
    """Columns to be derived from others, until they are added to `columns`."""
    passed_over: tuple[PassedOver, ...] = ()
    """What lies below the sources and is not read."""
    skipped: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of columns that are not analysed, by their type."""
    tables: tuple[dict[str, Any], ...] = ()
    """Source, version and counted rows of the tables among the sources, as a manifest lists them."""

    @property
    def rows(self) -> int:
        """Rows in all readable footers."""
        return sum(shard.rows for shard in self.shards)

    @property
    def named(self) -> tuple[Column, ...]:
        """Columns to analyse, and those to be derived, of which only names, kinds and roles are known."""
        return (*self.columns, *(column for each in self.derivations for column in each.outputs))

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """All columns that are read from files."""
        of_derived = (column for each in self.derivations for column in each.inputs if column.derived is None)
        columns = (*self.columns, *self.entity, *([self.weight] if self.weight else []), *self.images, *of_derived)
        return tuple({column.name: column for column in columns if column.derived is None}.values())

    def left_out(self) -> list[dict[str, Any]]:
        """Return what is not read by reason, files and columns, as a manifest lists it."""
        columns = (
            {"reason": f"a column of {kind}", "count": len(names), "first": list(names[:FIRST])}
            for kind, names in self.skipped.items()
        )
        return [*listed_by_reason(self.passed_over), *columns]

    def listed(self) -> list[dict[str, Any]]:
        """Return the shards as a manifest lists them, as JSON values."""
        return [
            {
                "uri": shard.file.uri,
                "size": shard.file.size,
                "version": shard.file.version + (f":{name_of(shard.file.table)}" if shard.file.table else ""),
                "row_groups": list(shard.row_groups),
                "part": [shard.part.start, shard.part.stop] if shard.part else None,
                "contents": list(shard.contents),
                "rows": shard.rows,
            }
            | ({"images": shard.images} if shard.images else {})
            | ({"images_below": list(shard.file.images_below)} if self.images else {})
            | ({"parquet": shard.file.parquet} if shard.file.parquet else {})
            for shard in self.shards
        ]

    def with_role(self, role: Role) -> tuple[Column, ...]:
        """Return the columns of a role."""
        return tuple(column for column in self.named if column.role is role)


def open_dataset(options: DatasetOptions, output: str | None = None, footers: Footers | None = None) -> Dataset:
    """Plan a dataset from its footers.

    Parameters
    ----------
    output
        Where runs are written; files below it are not read as input.
    footers
        Footers known from earlier runs.

    Raises
    ------
    DatasetError
        Nothing to read: no such path, no Parquet file, no rows, no readable footer.
    SchemaError
        Files disagree, a column name is duplicated, or a configured column does not exist.
    """
    footers = footers or Footers(None)
    options = options.model_copy(update={"source": named_sources(options)})
    tables = open_tables(options, footers.deletes)
    listing, odd = data_files(options, [source for source in options.source if not is_table(source)], output)
    listing = Listing((*listing.files, *table_files(tables, options)), listing.passed_over)
    if not listing.files and not odd:
        raise DatasetError(f"{', '.join(options.source)}: the table has no files; check dataset.source")
    outcomes = [*read_footers(listing.files, tables, footers, options), *odd]
    readable = [outcome for outcome in outcomes if isinstance(outcome, Footer)]
    faults, passed_over = _unreadable([each for each in outcomes if isinstance(each, FooterFault)], listing)
    quarantined = tuple(
        Quarantined(fault.file.uri, "unreadable_file", fault.detail, nbytes=max(fault.file.size, 0)) for fault in faults
    )
    if not readable:
        first = next(each for each in outcomes if isinstance(each, FooterFault))
        raise DatasetError(
            f"{first.file.uri}: not a readable {NAMES[first.file.format]} file: {first.detail} "
            f"({len(outcomes)} of {len(outcomes)} files); check dataset.source"
        )
    window = window_of(options, readable)
    notes = told(passed_over)
    if window:
        notes += [*window.notes, *timeless(readable, str(options.event_time))]
        readable = in_window(readable, window, str(options.event_time))
    inferred = infer_columns(readable, options)
    cuts = Cuts(
        int(options.shard_bytes),
        len(inferred.columns) + len(inferred.images),
        tuple(column.name for column in inferred.images),
        window,
        str(options.event_time),
    )
    shards = tuple(shard for footer in readable for shard in cut(footer, cuts))
    if window and not inferred.images:  # images that lie elsewhere may change while their paths stay
        several = [
            footer
            for footer in readable
            if holds_several_steps(footer, cuts)
            and not (footer.encrypted or footer.file.parquet or footer.file.table)  # no file of a table is rewritten
        ]
        digests = footers.contents.digests(several, options.storage_options)
        shards = tuple(with_contents(shard, digests) for shard in shards)
    shards = footers.images.of(shards, inferred.images, readable, options.storage_options)
    left_out = {entry.uri for entry in passed_over}
    files = [file for file in (*listing.files, *(fault.file for fault in odd)) if file.uri not in left_out]
    if not sum(shard.rows for shard in shards):
        raise DatasetError(f"{', '.join(options.source)}: {len(files)} file(s) and no rows; check dataset.source")
    return Dataset(
        inferred.columns,
        inferred.entity,
        inferred.weight,
        inferred.images,
        shards,
        len(files),
        sum(max(file.size, 0) for file in files),
        quarantined,
        (*notes, *inferred.notes),
        inferred.derivations,
        passed_over,
        inferred.skipped,
        tuple(table.public() for table in tables),
    )


def _unreadable(faults: list[FooterFault], listing: Listing) -> tuple[list[FooterFault], tuple[PassedOver, ...]]:
    """Return the faults of Parquet files, and all that is passed over: also files that are something else."""
    foreign = [fault for fault in faults if fault.is_foreign and is_perhaps_parquet(fault.file.uri.rpartition("/")[2])]
    others = (PassedOver(fault.file.uri, Reason.OTHER_CONTENT) for fault in foreign)
    return [fault for fault in faults if fault not in foreign], (*listing.passed_over, *others)
