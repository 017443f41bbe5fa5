"""Files that are no Parquet become Parquet once, below the output, and are read as such from then on.

A converted file is named by all that decides its bytes: URI, size, version and format of the original, options, and
which of its columns other files make text. So a night converts new files only, and types hold for all rows of all
files: what is a number in one file and a word in another is text in both, as it is written. The manifest names the
original; footers and batches are read from what it became.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.csv_tables import FormatFault
from featflow.dataset.files import DataFile, check_unchanged
from featflow.dataset.footer import FooterFault
from featflow.dataset.options import DatasetOptions
from featflow.dataset.parquet import is_memory_shortage
from featflow.dataset.raw_tables import local_copy, rows, types
from featflow.dataset.text_types import is_text
from featflow.errors import DamagedError, first_line
from featflow.storage.filesystems import failed
from featflow.storage.records.states import read_state
from featflow.storage.store import Store

__all__ = ["FOLDER", "TYPES", "as_parquet", "write_row_groups"]

FOLDER = "states/converted"
"""Where converted files are, below the output."""
TYPES = f"{FOLDER}/types.arrow"
"""Types of the columns of files that can be read, by what decides them; what cannot is looked at again each time."""
RULES = 2
"""Version of the rules by which files are converted; another converts all again."""
GROUP_ROWS, GROUP_BYTES = 2**20, 2**27
"""Rows and bytes of a row group, the fewer: as many rows as pyarrow takes by default, and few enough for a task."""
THREADS = 2
"""Files converted at once: Arrow parses each with several threads."""
TEXT_FORMATS = {"csv", "json"}
SCHEMA = pa.schema([("reading", pa.string()), ("types", pa.binary())])


def as_parquet(
    files: Sequence[DataFile], options: DatasetOptions, store: Store
) -> tuple[list[DataFile], list[FooterFault]]:
    """Return files with the Parquet files that those of other formats became, and files that cannot be read.

    Raises
    ------
    ConfigurationError
        Storage refuses a file.
    InfrastructureError
        Storage failed, or a file changed while it was read.
    """
    work = _Conversion(store, options)
    others = [file for file in files if file.format != "parquet"]
    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(others, pool.map(work.types, others), strict=True))
        texts = _texts((file, each) for file, each in found.items() if isinstance(each, pa.Schema))
        stored = dict(zip(others, pool.map(lambda file: work.stored(file, found[file], texts), others), strict=True))
    work.save(others)
    outcomes = [stored.get(file, file) for file in files]
    return (
        [each for each in outcomes if isinstance(each, DataFile)],
        [each for each in outcomes if isinstance(each, FooterFault)],
    )


class _Conversion:
    """What an output knows of files, and has of them."""

    def __init__(self, store: Store, options: DatasetOptions) -> None:
        self._store, self._options = store, options
        self._present = set(store.names(FOLDER))
        self._known: dict[str, pa.Schema | str] = {}
        with suppress(FileNotFoundError, DamagedError):  # files are then looked at again
            self._known = read_state(store, TYPES, _from_table)
        self._before = set(self._known)

    def types(self, file: DataFile) -> pa.Schema | str:
        """Return the types of a file's columns, or what is wrong with it; a file that is known is not read."""
        if file.size < 0:
            return "the link leads to no file"
        reading = self._reading(file)
        if reading not in self._known:
            try:
                with local_copy(file, self._options) as path:
                    self._known[reading] = types(path, file, self._options)
            except FormatFault as fault:
                self._known[reading] = _said(fault)
            except OSError as error:
                raise failed(file.uri, "read it", error) from error
            check_unchanged(file, self._options.storage_options)
        return self._known[reading]

    def stored(self, file: DataFile, found: pa.Schema | str, texts: Collection[str]) -> DataFile | FooterFault:
        """Return a file with the Parquet file that it became."""
        if isinstance(found, str):
            return FooterFault(file, found)
        schema, reading = found, self._reading(file)
        if file.format in TEXT_FORMATS:
            schema = pa.schema([pa.field(f.name, pa.string()) if f.name in texts else f for f in found])
        name = _digest(reading, str(schema)) + ".parquet"
        if name not in self._present:
            try:
                self._write(file, schema, name)
            except FormatFault as fault:
                self._known[reading] = _said(fault)
                return FooterFault(file, str(fault))
        version = f"{file.version}+{name.removesuffix('.parquet')}"
        return replace(file, version=version, parquet=self._store.absolute(f"{FOLDER}/{name}"))

    def _write(self, file: DataFile, schema: pa.Schema, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="featflow-") as folder:
            written = Path(folder) / name
            try:
                with local_copy(file, self._options) as path, rows(path, file, self._options, schema) as batches:
                    write_row_groups(batches, schema, written)
            except (pa.ArrowException, OSError) as error:
                check_unchanged(file, self._options.storage_options)
                raise failed(file.uri, "convert it", error) from error
            check_unchanged(file, self._options.storage_options)
            self._store.adopt(f"{FOLDER}/{name}", written)

    def save(self, files: Sequence[DataFile]) -> None:
        """Store what is known of files for the next run, if any was read."""
        known = {reading: self._known[reading] for reading in (self._reading(file) for file in files if file.size >= 0)}
        encoded = {name: each.serialize().to_pybytes() for name, each in known.items() if isinstance(each, pa.Schema)}
        if not set(encoded) <= self._before:
            self._store.write_arrow(TYPES, pa.table([list(encoded), list(encoded.values())], schema=SCHEMA))

    def _reading(self, file: DataFile) -> str:
        """Return what the types of a file's columns depend on: its content, and how it is read."""
        options = (self._options.csv, self._options.null_values) if file.format in TEXT_FORMATS else ()
        return _digest(RULES, file.uri, file.size, file.version, file.format, options)


def _from_table(table: pa.Table) -> dict[str, pa.Schema | str]:
    rows = table.cast(SCHEMA).to_pylist()
    return {str(row["reading"]): pa.ipc.read_schema(pa.py_buffer(row["types"])) for row in rows if row["types"]}


def _said(fault: FormatFault) -> str:
    """Return what is wrong with a file; raise MemoryError where it was too little memory to read it."""
    cause = fault.__cause__ or fault.__context__
    if isinstance(cause, Exception) and is_memory_shortage(cause):
        raise MemoryError(first_line(cause)) from fault
    return str(fault)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _texts(schemas: Iterable[tuple[DataFile, pa.Schema]]) -> set[str]:
    """Return the columns that are text in all files: they are in some, and in others numbers, times or nothing."""
    families: dict[str, set[str]] = {}
    for file, schema in schemas:
        for field in schema:
            families.setdefault(field.name, set()).add(_family(field.type, of_text=file.format in TEXT_FORMATS))
    # Where others are text, a column of missing values alone is read again: NA may be a word.
    texts = {name for name, found in families.items() if len(found - {"nothing", "blank"}) > 1 or "text" in found}
    return {name for name in texts if "other" not in families[name]}


def _family(kind: pa.DataType, *, of_text: bool) -> str:
    if pa.types.is_null(kind):
        return "blank" if of_text else "nothing"
    tests = {
        "number": pa.types.is_integer(kind) or pa.types.is_floating(kind),
        "boolean": pa.types.is_boolean(kind),
        "clock": pa.types.is_time(kind),
        "time": pa.types.is_temporal(kind) and not pa.types.is_duration(kind),
        "text": is_text(kind),
    }
    return next((family for family, holds in tests.items() if holds), "other")


def write_row_groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path) -> None:
    """Write batches as a Parquet file whose row groups have at most about `GROUP_ROWS` rows and `GROUP_BYTES`."""
    held, held_rows, held_bytes = list[pa.RecordBatch](), 0, 0
    with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        for batch in batches:
            held.append(batch)
            held_rows, held_bytes = held_rows + batch.num_rows, held_bytes + batch.nbytes
            if held_rows >= GROUP_ROWS or held_bytes >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held, schema), row_group_size=GROUP_ROWS)
                held, held_rows, held_bytes = [], 0, 0
        if held:
            writer.write_table(pa.Table.from_batches(held, schema), row_group_size=GROUP_ROWS)
