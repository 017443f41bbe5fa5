"""JSON lines and Arrow files as batches of typed columns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.csv_tables import FormatFault
from featflow.errors import first_line

__all__ = ["arrow_batches", "json_as_parquet", "unstorable"]

FEATHER_1 = b"FEA1"


@contextmanager
def json_as_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Give JSON lines as a temporary Parquet file, of types that hold the values of all lines.

    Raises
    ------
    FormatFault
        A line is no JSON object.
    """
    import polars as pl  # noqa: PLC0415  0.2 s, which no other format waits for

    with path.open("rb") as file:
        first = file.read(2**16).lstrip()
    if first.startswith(b"["):
        raise FormatFault("is one JSON array; JSON lines are read, an object a line, as jq -c '.[]' writes them")
    if not first:
        raise FormatFault("the file is empty")
    with tempfile.TemporaryDirectory(prefix="featflow-") as folder:
        written = Path(folder) / "lines.parquet"
        try:
            lines = pl.scan_ndjson(path, infer_schema_length=None)
            # Longer integers than Arrow holds are ids, which floats would make alike.
            lines.with_columns(pl.col(pl.Int128).cast(pl.String)).sink_parquet(written)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise FormatFault(_json_fault(path) or first_line(error)) from None
        try:
            opened = pq.ParquetFile(written)
        except pa.ArrowNotImplementedError:
            raise FormatFault(
                "a list or an object in it holds an integer of more than 64 bits; make it a text"
            ) from None
        with opened as file_:
            yield file_


def _json_fault(path: Path) -> str | None:
    """Return which line is no object; None where all are."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if line.strip() and not isinstance(json.loads(line), dict):
                    return f"line {number} is no JSON object"
            except (ValueError, RecursionError) as error:
                return f"line {number} is not JSON: {first_line(error)}"
    return None


@contextmanager
def arrow_batches(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Give schema and batches of an Arrow file or stream, as Feather's version 2 is.

    Raises
    ------
    FormatFault
        It is none.
    """
    with pa.memory_map(str(path)) as source:
        if source.size() >= len(FEATHER_1) and source.read_at(len(FEATHER_1), 0) == FEATHER_1:
            raise FormatFault("is Feather of version 1; write it again, as pyarrow.feather.write_feather does")
        try:
            file = pa.ipc.open_file(source)
        except (pa.ArrowException, OSError):  # what Arrow raises of damaged footers; the bytes are in memory
            try:
                source.seek(0)
                stream = pa.ipc.open_stream(source)
            except (pa.ArrowException, OSError) as error:
                raise FormatFault(f"is no Arrow file: {first_line(error)}") from None
            yield stream.schema, _checked(iter(stream))
            return
        yield file.schema, _checked(file.get_batch(place) for place in range(file.num_record_batches))


def _checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        for batch in batches:
            batch.validate(full=True)
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise FormatFault(f"is damaged: {first_line(error)}") from None


def unstorable(schema: pa.Schema) -> str | None:
    """Return the first column of a type that Parquet cannot hold, with the type; None where there is none.

    Examples
    --------
    >>> unstorable(pa.schema([("a", pa.int8()), ("b", pa.month_day_nano_interval())]))
    "column 'b' is month_day_nano_interval, which Parquet cannot hold; leave it out or change its type"
    """
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except (pa.ArrowException, NotImplementedError):
            return f"column '{field.name}' is {field.type}, which Parquet cannot hold; leave it out or change its type"
    return None
