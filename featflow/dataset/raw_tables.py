"""Files that are no Parquet, as batches: of texts where a format has no types, and of what the types are told from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from featflow.dataset.csv_tables import CsvTable, FormatFault
from featflow.dataset.files import DataFile
from featflow.dataset.formats import COMPRESSIONS, uncompressed
from featflow.dataset.options import DatasetOptions
from featflow.dataset.text_types import ALL_CHAINS, TIME_CHAINS, Chain, TextColumn, is_text, parsed
from featflow.dataset.typed_tables import arrow_batches, json_as_parquet, unstorable
from featflow.errors import InfrastructureError, first_line
from featflow.storage.filesystems import failed
from featflow.storage.retries import with_retries
from featflow.storage.store import is_local, resolve

__all__ = ["local_copy", "rows", "types"]

JSON_ROWS = 2**14
"""Rows of a batch of JSON lines, which may be long."""


@dataclass(frozen=True)
class _RawTable:
    """A file under way; its batches can be read once."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    chains: tuple[Chain, ...]
    """Types that its texts may have; none where its texts are meant as such."""
    decimal: str = "."
    blank_is_missing: bool = False
    """Whether a blank text is a missing one: CSV has no other way to write it."""


def types(path: Path, file: DataFile, options: DatasetOptions) -> pa.Schema:
    """Return the types of a file's columns, by all of its rows.

    Raises
    ------
    FormatFault
        The file is not what its format says.
    """
    with _open(path, file, options) as table:
        if table.chains:
            told = {
                field.name: TextColumn(table.chains, options.null_values, table.decimal)
                for field in table.schema
                if is_text(field.type)
            }
            for batch in table.batches:
                for name, column in told.items():
                    column.see(batch[name])
            found = [pa.field(f.name, told[f.name].type if f.name in told else f.type) for f in table.schema]
        else:
            found = list(table.schema)
    names = [field.name for field in found]
    repeated = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if repeated is not None:
        raise FormatFault(f"it has two columns named '{repeated}'; rename one of them")
    fault = unstorable(pa.schema(found))
    if fault:
        raise FormatFault(fault)
    return pa.schema(found)


@contextmanager
def rows(path: Path, file: DataFile, options: DatasetOptions, schema: pa.Schema) -> Iterator[Iterator[pa.RecordBatch]]:
    """Give a file's rows as values of the types that `types` found, or as texts where the schema says so.

    Raises
    ------
    FormatFault
        The file is not what its format says.
    """
    with _open(path, file, options) as table:

        def typed() -> Iterator[pa.RecordBatch]:
            for batch in table.batches:
                yield pa.RecordBatch.from_arrays(
                    [_typed(batch[f.name], f.type, table, options) for f in schema], schema=schema
                )

        yield typed()


def _typed(array: pa.Array, kind: pa.DataType, table: _RawTable, options: DatasetOptions) -> pa.Array:
    if array.type == kind and not (table.blank_is_missing and is_text(kind)):
        return array
    if not is_text(array.type):
        return array.cast(kind)  # a number of one file that other files make text
    if not is_text(kind):
        return parsed(array, kind, options.null_values, table.decimal)
    blank = pa.compute.equal(pa.compute.utf8_trim_whitespace(array), "")
    return pa.compute.if_else(blank, None, array).cast(kind) if table.blank_is_missing else array.cast(kind)


@contextmanager
def _open(path: Path, file: DataFile, options: DatasetOptions) -> Iterator[_RawTable]:
    if file.format == "csv":
        tabs = uncompressed(file.uri).endswith((".tsv", ".tab"))
        csv = CsvTable.open(path, options.csv, tabs=tabs)
        schema = pa.schema([(name, pa.string()) for name in csv.names])
        yield _RawTable(schema, csv.batches(), ALL_CHAINS, csv.decimal, blank_is_missing=True)
    elif file.format == "json":
        with json_as_parquet(path) as lines:
            yield _RawTable(lines.schema_arrow, lines.iter_batches(JSON_ROWS), TIME_CHAINS)
    else:
        with arrow_batches(path) as (schema, batches):
            yield _RawTable(schema, batches, ())


@contextmanager
def local_copy(file: DataFile, options: DatasetOptions) -> Iterator[Path]:
    """Give a file as one of this machine's disk, decompressed: itself where it is that.

    Raises
    ------
    FormatFault
        It is not compressed as its suffix says.
    ConfigurationError
        Storage refuses it.
    InfrastructureError
        Storage, or the disk for temporary files, failed.
    """
    filesystem, path = resolve(file.uri, options.storage_options)
    compression = COMPRESSIONS.get(Path(path).suffix.lower())
    if is_local(filesystem) and compression is None:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="featflow-") as folder:
        copy = Path(path) if is_local(filesystem) else Path(folder) / "copy"
        try:
            if not is_local(filesystem):
                with_retries(lambda: filesystem.get_file(path, str(copy)))
        except Exception as error:
            raise failed(file.uri, "read it", error) from error
        if compression:
            copy = _decompressed(copy, Path(folder) / "decompressed", compression)
        yield copy


def _decompressed(path: Path, target: Path, compression: str) -> Path:
    try:
        with pa.input_stream(str(path), compression=compression) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 2**20)
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise InfrastructureError(f"{path}: cannot decompress it: {first_line(error)}") from error
        raise FormatFault(f"is not {compression}: {first_line(error)}") from None
    return target
