"""Frames of Python as datasets: polars, pandas, Arrow, and what narwhals or Arrow's C stream interface know.

A frame becomes one Parquet file below the output, named by its content: the one reader reads it, on every engine, and
the same frame finds its states again. Results are those of the same data in a Parquet file named ``frame.parquet``.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq

from featflow.dataset.conversion import FOLDER, write_row_groups
from featflow.dataset.formats import FRAME
from featflow.dataset.typed_tables import unstorable
from featflow.errors import ConfigurationError, SchemaError, first_line
from featflow.storage.store import Store

__all__ = ["frame_source"]

READ_BYTES = 2**20
FRAMES = "a polars, pandas, pyarrow or narwhals frame, or what gives an Arrow C stream"


def frame_source(frame: Any, store: Store) -> str:
    """Write a frame below an output, if it is not there yet, and return it as a ``dataset.source``.

    Names of columns become texts; of pandas, named levels of the index become columns, and others are left out.

    Raises
    ------
    ConfigurationError
        It is no frame.
    SchemaError
        Two columns have one name, or a column has values that no type of Arrow and Parquet holds.
    """
    with tempfile.TemporaryDirectory(prefix="featflow-") as folder:
        written = Path(folder) / "frame.parquet"
        _write(_arrow(frame), written)
        digest = hashlib.sha256()
        with written.open("rb") as file:
            for block in iter(lambda: file.read(READ_BYTES), b""):
                digest.update(block)
        name = digest.hexdigest()[:24]
        if f"{name}.parquet" not in store.names(FOLDER):
            store.adopt(f"{FOLDER}/{name}.parquet", written)
    return FRAME + name


def _write(data: pa.Table | pa.RecordBatchReader, path: Path) -> None:
    names = data.schema.names
    repeated = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if repeated is not None:
        raise SchemaError(f"the frame has two columns named '{repeated}'; rename one of them")
    fault = unstorable(data.schema)
    if fault:
        raise SchemaError(f"the frame's {fault}")
    if isinstance(data, pa.Table):
        pq.write_table(data, path)
    else:
        write_row_groups(iter(data), data.schema, path)


def _arrow(frame: Any) -> pa.Table | pa.RecordBatchReader:
    """Return a frame as Arrow: a table where it is in memory."""
    import narwhals as nw  # noqa: PLC0415  60 ms, which runs of files need not wait for

    native = nw.to_native(frame, pass_through=True)
    if isinstance(native, pa.Table | pa.RecordBatchReader):
        return native
    if isinstance(native, pa_dataset.Dataset):
        return native.scanner().to_reader()
    if nw.dependencies.is_pandas_dataframe(native):
        return _of_pandas(native)
    try:
        known = nw.from_native(native)
    except TypeError:
        with suppress(pa.ArrowException, TypeError):  # a series gives a stream, too, of no columns
            return pa.RecordBatchReader.from_stream(frame)
        name = f"{type(frame).__module__}.{type(frame).__qualname__}"
        raise ConfigurationError(f"{name} is neither a configuration, nor a source, nor {FRAMES}") from None
    try:
        return known.collect("pyarrow").to_native() if isinstance(known, nw.LazyFrame) else known.to_arrow()
    except pa.ArrowException as error:
        wide = [name for name, kind in known.collect_schema().items() if kind in {nw.Int128, nw.UInt128}]
        which = f"column '{wide[0]}' of the frame holds integers of 128 bits" if wide else "a column of the frame"
        raise SchemaError(
            f"{which}, which is no type of Arrow ({first_line(error)}); make it one, such as text, or drop it"
        ) from None


def _of_pandas(frame: Any) -> pa.Table:
    """Return a pandas frame as Arrow, column by column, so that a message can name the one at fault."""
    taken = set(map(_name, frame.columns))
    levels = [name for name in frame.index.names if name is not None and _name(name) not in taken]
    arrays, fields = [], []
    for name, values in _columns(frame, levels):
        try:
            array = pa.array(values, from_pandas=True)
            if _is_of_pandas_alone(array.type):  # intervals, as of pandas.cut, and periods are words such as (0, 5]
                array = pa.array(values.astype(object).map(str, na_action="ignore"), pa.string(), from_pandas=True)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            kinds = sorted({type(value).__name__ for value in values.dropna().head(100_000)})
            raise SchemaError(
                f"column '{name}' of the frame holds {', '.join(kinds[:5])}, which are no type of Arrow "
                f"({first_line(error)}); make them one, such as frame['{name}'].astype(str), or drop it"
            ) from None
        arrays.append(array)
        fields.append(pa.field(name, array.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _columns(frame: Any, levels: list[Any]) -> Iterator[tuple[str, Any]]:
    for level in levels:
        yield _name(level), frame.index.get_level_values(level).to_series()
    for place, name in enumerate(frame.columns):
        yield _name(name), frame.iloc[:, place]


def _name(name: Any) -> str:
    """Return the name of a column as text; the levels of one that has several are joined by dots."""
    return ".".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _is_of_pandas_alone(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return isinstance(values, pa.BaseExtensionType) and values.extension_name.startswith("pandas.")
