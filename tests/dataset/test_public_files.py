"""The public test files of Parquet: what is read equals pyarrow's and DuckDB's values, or a sentence says why not."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import Quarantined, open_dataset
from featflow.dataset.nested_fields import leaves
from featflow.dataset.options import DatasetOptions
from featflow.errors import FeatflowError

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "parquet-testing"
FILES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/**/*") if path.is_file() and path.suffix != ".csv"
)
NOT_READ = {
    "not a readable Parquet file": {
        "bad_data/ARROW-GH-41317.parquet",
        "bad_data/PARQUET-1481.parquet",
        "data/incorrect_map_schema.parquet",
        *(name for name in FILES if name.endswith((".bin", ".json", ".py", ".yaml"))),
        *(name for name in FILES if name.endswith(".encrypted") and "plaintext_footer" not in name),
    },
    "no column can be analysed": {
        "bad_data/ARROW-GH-45185.parquet",
        "bad_data/ARROW-GH-47662.parquet",
        "bad_data/ARROW-RS-GH-6229-LEVELS.parquet",
        "data/aes256/encrypt_columns_plaintext_footer.parquet.encrypted",
        "data/binary.parquet",
        "data/fixed_length_byte_array.parquet",
        "data/large_string_map.brotli.parquet",
        "data/list_columns.parquet",
        "data/map_no_value.parquet",
        "data/null_list.parquet",
        "data/old_list_structure.parquet",
        "data/repeated_primitive_no_list.parquet",
    },
    "no rows": {"data/column_chunk_key_value_metadata.parquet"},
}
DAMAGED = {
    "bad_data/ARROW-GH-41321.parquet",
    "bad_data/ARROW-RS-GH-6229-DICTHEADER.parquet",
    "data/datapage_v1-corrupt-checksum.parquet",
    "data/rle-dict-uncompressed-corrupt-checksum.parquet",
}
"""Files of which a row group cannot be read."""
MICROSECOND = timedelta(microseconds=1)


def read(name):
    """The columns, and the values of each by name; the first `Quarantined` where there is one."""
    dataset = open_dataset(DatasetOptions(source=str(FOLDER / name), shard_bytes=10**9))
    values = {column.name: [] for column in dataset.columns}
    for shard in dataset.shards:
        for batch in read_batches(shard, dataset.columns, {}, 10_000):
            if isinstance(batch, Quarantined):
                return dataset.columns, batch
            for column in dataset.columns:
                values[column.name] += batch.column(column.name).to_pylist()
    return dataset.columns, values


def of_pyarrow(name):
    """The values of every column that is not nested in lists, by dotted name, as pyarrow gives them to Python."""
    table = pq.ParquetFile(FOLDER / name, coerce_int96_timestamp_unit="us").read()
    found = {}
    for dotted, path, _ in leaves(table.schema):
        array = table[path[0]]
        for each in path[1:]:
            array = pa.compute.struct_field(array, each)
        kind = array.type
        found[dotted] = (
            [canonical(value) for value in array.cast(pa.int64()).to_pylist()]
            if (pa.types.is_timestamp(kind) and kind.unit == "us")
            else [canonical(value) for value in array.to_pylist()]
        )
    return found


def canonical(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND
    if isinstance(value, date):
        return (value - date(1970, 1, 1)) // MICROSECOND
    if isinstance(value, time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 10**6 + value.microsecond
    return value // MICROSECOND if isinstance(value, timedelta) else value


def alike(left, right):
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_pyarrow_and_duckdb_read_it(name):
    refusals = [sentence for sentence, names in NOT_READ.items() if name in names]
    if refusals:
        with pytest.raises(FeatflowError, match=refusals[0]) as caught:
            read(name)
        assert caught.value.exit_code == 2
        return
    columns, values = read(name)
    if name in DAMAGED:
        assert isinstance(values, Quarantined)
        assert values.detail
        return
    if name.endswith(".encrypted"):
        assert values
        return
    expected = of_pyarrow(name)
    for column in columns:
        assert alike(values[column.name], expected[column.name]), column.name
    check_against_duckdb(name, columns, values)


def check_against_duckdb(name, columns, values):
    """Rows, values, distinct values, least and greatest value and mean of flat columns."""
    try:
        types = {row[0]: row[1] for row in duckdb.sql(f"describe select * from '{FOLDER / name}'").fetchall()}
    except duckdb.Error:
        pytest.skip("DuckDB does not read this file")
    for column in columns:
        kind = types.get(column.name, "")
        if not column.is_numeric or kind not in {
            "INTEGER",
            "BIGINT",
            "SMALLINT",
            "TINYINT",
            "DOUBLE",
            "FLOAT",
            "TIMESTAMP",
        }:
            continue
        name_in_sql = f'epoch_us("{column.name}")' if kind == "TIMESTAMP" else f'"{column.name}"'
        where = f" where isfinite({name_in_sql})" if kind in {"DOUBLE", "FLOAT"} else ""
        figures = "count(x), count(distinct x), min(x), max(x), avg(x::double)".replace("(x", f"({name_in_sql}")
        figures = figures.replace("distinct x", f"distinct {name_in_sql}")
        query = f"select {figures} from '{FOLDER / name}'{where}"
        try:
            count, distinct, low, high, mean = duckdb.sql(query).fetchall()[0]
        except duckdb.Error:
            assert name in {"data/int96_from_spark.parquet", "data/byte_stream_split_extended.gzip.parquet"}
            continue
        present = [each for each in values[column.name] if each is not None and math.isfinite(each)]
        assert (len(present), len(set(present))) == (count, distinct), column.name
        if present:
            assert (min(present), max(present)) == (low, high)
            assert sum(map(float, present)) / count == pytest.approx(mean, rel=1e-6)
