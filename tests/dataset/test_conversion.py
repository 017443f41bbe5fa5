"""Files that are no Parquet: values and types beside pandas, polars and DuckDB, and what is said of odd files."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import mixed_table
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import feather

from featflow.config import parse
from featflow.dataset import conversion, csv_tables
from featflow.dataset.dataset import Dataset, open_dataset
from featflow.errors import ConfigurationError, DatasetError, SchemaError


def opened(source: Path | list[str], output: Path, **options) -> Dataset:
    config = parse({"dataset": {"source": source, **options}, "output": str(output)})
    return open_dataset(config.dataset, config.output)


def read(dataset: Dataset) -> pa.Table:
    """All rows of a dataset's files, as the files that they became hold them."""
    files = dict.fromkeys(shard.file.readable for shard in dataset.shards)
    return pa.concat_tables([pq.read_table(file) for file in files], promote_options="permissive")


def types(dataset: Dataset) -> dict[str, str]:
    return {name: str(kind) for name, kind in zip(read(dataset).schema.names, read(dataset).schema.types, strict=True)}


def air_quality(rows: int) -> str:
    """A file of the kind that R writes: NA, blanks, and a column of integers with one fraction, in its last row."""
    random = np.random.default_rng(5)
    lines = ["Ozone,Solar.R,Wind,Station,Day,Hour,Open,At"]
    for row in range(rows):
        ozone = "NA" if random.random() < 0.2 else str(random.integers(1, 168))
        solar = "" if random.random() < 0.1 else str(random.integers(7, 334)) + ".5" * (row == rows - 1)
        station = ("north", "south", "NA", '"east, ""old"""', '"up\nhill"')[row % 5]
        at = f"2024-01-{1 + row % 28:02d}T{row % 24:02d}:30:00Z"
        lines.append(f"{ozone},{solar},{random.normal(10, 3):.2f},{station},{at[:10]},{at[11:16]},{row % 3 == 0},{at}")
    return "\n".join(lines) + "\n"


def test_values_of_csv_are_those_that_other_readers_see(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_tables, "BLOCK_BYTES", 2000)  # so that one fraction is seen long after the first rows
    (tmp_path / "air.csv").write_text(air_quality(3000))
    dataset = opened(tmp_path / "air.csv", tmp_path / "out")
    table = read(dataset)
    assert types(dataset) == {
        "Ozone": "int64",
        "Solar.R": "double",
        "Wind": "double",
        "Station": "string",
        "Day": "date32[day]",
        "Hour": "time64[us]",
        "Open": "bool",
        "At": "timestamp[us, tz=UTC]",
    }
    truth = pd.read_csv(tmp_path / "air.csv", keep_default_na=False, na_values={"Ozone": ["NA"], "Solar.R": [""]})
    for name in ("Ozone", "Solar.R", "Wind"):
        np.testing.assert_array_equal(table[name].to_pandas().to_numpy(float), truth[name].to_numpy(float))
    assert table["Station"].to_pylist() == truth["Station"].to_list()
    assert table["Open"].to_pylist() == truth["Open"].to_list()
    days = duckdb.sql(f"SELECT Day FROM read_csv('{tmp_path / 'air.csv'}', nullstr=['NA', ''])").fetchall()
    assert table["Day"].to_pylist() == [day for (day,) in days]
    assert table["At"].to_pylist() == pd.to_datetime(truth["At"]).to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1,5;x\n2,25;y\n", {"a": [1.5, 2.25], "b": ["x", "y"]}),
        ("a\tb\n1\t2,5\n", {"a": [1], "b": [2.5]}),
        ("a\tb\n1\t1,234\n2\t12,500\n", {"a": [1, 2], "b": ["1,234", "12,500"]}),
        ("a;b\n1;-1,234,567\n2;987\n", {"a": [1, 2], "b": ["-1,234,567", "987"]}),
        ("a;b\n1;1,234\n2;0,125\n", {"a": [1, 2], "b": [1.234, 0.125]}),
        ("a;b\n" + "1;2,5\n" * 100 + "1;1.234\n", {"a": [1] * 101, "b": ["2,5"] * 100 + ["1.234"]}),
        ("a;b\n1,5;01.02.2024\n", {"a": [1.5], "b": ["01.02.2024"]}),
        ("a|b\n1|x,y\n", {"a": [1], "b": ["x,y"]}),
        ("\ufeffa,b\n1, 2\n", {"a": [1], "b": [2]}),
        ("a,,b\n1,2,3\n", {"a": [1], "column_2": [2], "b": [3]}),
        ("a,b\n\n1,2\n\n", {"a": [1], "b": [2]}),
        ("id\n12345678901234567890\n1\n", {"id": ["12345678901234567890", "1"]}),
        ("id\n1234567890123456789\n0.5\n", {"id": ["1234567890123456789", "0.5"]}),
        ("id,x\n0x1F,1e3\n1,-inf\n", {"id": ["0x1F", "1"], "x": [1000.0, -np.inf]}),
        ("x,y\nn/a,None\n?,\n", {"x": [None, None], "y": [None, None]}),
        ("x,y\n1,-\n2,null\nNULL,3.5\n", {"x": [1, 2, None], "y": [None, None, 3.5]}),
        ("x\n-999\n2\n", {"x": [None, 2]}),
        ('a,b\n"1","x ""y"""\n', {"a": [1], "b": ['x "y"']}),
        ("t\n2024-01-01\n2024-01-02 03:04\n", {"t": ["2024-01-01 00:00:00", "2024-01-02 03:04:00"]}),
        ("t\n2024-01-01T00:00:00.123456789\n", {"t": ["2024-01-01 00:00:00.123456"]}),
        ("t\n2024-01-01\nsoon\n", {"t": ["2024-01-01", "soon"]}),
        ("b\ntrue\nFALSE\n", {"b": [True, False]}),
        ("zip,x\n1234,0\n01234,0.5\n", {"zip": ["1234", "01234"], "x": [0.0, 0.5]}),
        ("hour,y\n01,00\n23,00.5\n", {"hour": ["01", "23"], "y": ["00", "00.5"]}),
        ("x,y\n0,-0.25\n-5,01.5\n", {"x": [0, -5], "y": [-0.25, 1.5]}),
    ],
)
def test_cells(text, expected, tmp_path):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    table = read(opened(tmp_path / "a.csv", tmp_path / "out", null_values=["-999"]))
    shown = {
        name: [str(v) if hasattr(v, "year") else v for v in table[name].to_pylist()] for name in table.schema.names
    }
    assert shown == expected
    assert [type(v) for values in shown.values() for v in values] == [type(v) for e in expected.values() for v in e]


@pytest.mark.parametrize(
    ("name", "columns"),
    [("my.tables/air.csv", 2), ("a.tab.csv.gz", 2), ("b.tsv/a.csv", 2), ("a.TSV", 1), ("a.csv/a.tab.gz", 1)],
)
def test_the_suffix_of_the_name_alone_says_tabs(name, columns, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    text = b"a,b\n1,2\n"
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read(opened(path, tmp_path / "out")).num_columns == columns


def test_a_zero_at_the_beginning_is_seen_late(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_tables, "BLOCK_BYTES", 2000)
    (tmp_path / "a.csv").write_text("zip\n" + "10115\n" * 2000 + "01067\n")
    assert read(opened(tmp_path / "a.csv", tmp_path / "out"))["zip"].unique().to_pylist() == ["10115", "01067"]


def test_types_are_those_of_all_files(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,code,note\n1,01234,NA\n2,05678,\n")
    dataset = opened(tmp_path / "data", tmp_path / "out")
    assert types(dataset) == {"x": "int64", "code": "string", "note": "null"}
    (tmp_path / "data" / "b.csv").write_text("x,code,note\n2.5,K1A 0B1,good\n")
    dataset = opened(tmp_path / "data", tmp_path / "out")
    assert types(dataset) == {"x": "double", "code": "string", "note": "string"}
    assert read(dataset)["code"].to_pylist() == ["01234", "05678", "K1A 0B1"]  # as they are written, not 1234
    assert read(dataset)["note"].to_pylist() == ["NA", None, "good"]
    assert read(dataset)["x"].to_pylist() == [1, 2, 2.5]


def test_a_night_converts_new_files_only(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for name in "abc":
        (tmp_path / "data" / f"{name}.csv").write_text("x,y\n1,2\n")
    first = opened(tmp_path / "data", tmp_path / "out")
    looked, local_copy = [], conversion.local_copy
    monkeypatch.setattr(
        conversion, "local_copy", lambda file, options: looked.append(file.uri) or local_copy(file, options)
    )
    assert opened(tmp_path / "data", tmp_path / "out").shards == first.shards
    assert looked == []
    (tmp_path / "data" / "d.csv").write_text("x,y\n3,4\n")
    again = opened(tmp_path / "data", tmp_path / "out")
    assert set(looked) == {str(tmp_path / "data" / "d.csv")}
    assert again.shards[:3] == first.shards
    (tmp_path / "data" / "a.csv").write_text("x,y\n3,44\n")
    assert opened(tmp_path / "data", tmp_path / "out").shards[0].digest != first.shards[0].digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'a,b\n1,"x\ny"\n\n3\n', "a.csv: not a readable CSV file: line 5 has 1 cells and line 1 has 2"),
        (b"a,b\n1,2,3\n", "line 2 has 3 cells and line 1 has 2"),
        (b"a,b\n1,caf\xe9\n", r"line 2 is not utf-8 text; set dataset.csv: {encoding: latin-1}"),
        (b"a,b,a\n1,2,3\n", "line 1 names column 'a' twice; rename one of them"),
        (b'a,b\n1,"open\n2,3\n', "a quote is opened and never closed"),
        (b"", "the file is empty"),
        (b"a,b\n1,2\n1,\x00\xff\n", "line 3 is not utf-8"),
    ],
)
def test_odd_files_are_told_by_line(text, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(text)
    for _ in range(2):  # the second time, it is known
        with pytest.raises(DatasetError, match=message):
            opened(tmp_path / "a.csv", tmp_path / "out")


def test_an_odd_file_among_sound_ones_is_put_aside(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,y\n1\n")
    dataset = opened(tmp_path, tmp_path / "out")
    assert dataset.rows == 1
    assert [(Path(q.uri).name, q.detail) for q in dataset.quarantined] == [
        ("b.csv", "line 2 has 1 cells and line 1 has 2")
    ]


def test_a_row_may_be_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_tables, "BLOCK_BYTES", 200)
    texts = ["x" * 10, "y" * 5000, "z" * 10]
    (tmp_path / "a.csv").write_text("n,text\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts)))
    assert read(opened(tmp_path / "a.csv", tmp_path / "out")).to_pydict() == {"n": [0, 1, 2], "text": texts}
    monkeypatch.setattr(csv_tables, "LARGEST_ROW", 100)
    with pytest.raises(DatasetError, match="a row has more than 100 bytes; a quote may be left open"):
        opened(tmp_path / "a.csv", tmp_path / "other")


def test_options_of_csv(tmp_path):
    (tmp_path / "a.dat").write_bytes("1 'caf\xe9 x' 2,5\n".encode("latin-1"))
    csv = {"delimiter": " ", "quote": "'", "decimal": ",", "encoding": "latin-1", "header": False}
    table = read(opened(tmp_path / "a.dat", tmp_path / "out", format="csv", csv=csv))
    assert table.to_pydict() == {"column_1": [1], "column_2": ["café x"], "column_3": [2.5]}
    (tmp_path / "b.csv").write_text("a,b\n1,é\n", encoding="utf-16")
    assert read(opened(tmp_path / "b.csv", tmp_path / "out")).to_pydict() == {"a": [1], "b": ["é"]}


def test_json_lines(tmp_path):
    rows = [{"a": 1, "t": "2024-01-01T10:00:00", "in": {"x": 1}}, {"a": 2.5, "b": "1"}, {"a": None, "b": ""}]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, rows)))
    dataset = opened(tmp_path / "a.jsonl.gz", tmp_path / "out")
    table = read(dataset)
    assert table["a"].to_pylist() == [1, 2.5, None]
    assert table["b"].to_pylist() == [None, "1", ""]  # a text that is written as one stays one
    assert [str(column.kind) for column in dataset.columns] == ["number", "time", "number", "category"]
    assert {column.name for column in dataset.columns} == {"a", "t", "in.x", "b"}
    truth = pl.read_ndjson(gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()), infer_schema_length=None)
    assert table["a"].to_pylist() == truth["a"].to_list()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": 2,\n{"a": 3}\n', "a.jsonl: not a readable JSON lines file: line 2 is not JSON"),
        ('[{"a": 1}]', "one JSON array"),
        ('{"a": 1}\n5\n', "line 2 is no JSON object"),
        ("", "the file is empty"),
        ('{"a": [9223372036854775808]}\n', "an integer of more than 64 bits"),
    ],
)
def test_odd_json_is_told_by_line(text, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "a.jsonl", tmp_path / "out")


def test_texts_of_two_digits_are_no_clocks(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"code": "12", "at": "12:30"}\n{"code": "23", "at": "23:00:59"}\n')
    assert types(opened(tmp_path / "a.jsonl", tmp_path / "out")) == {"code": "string", "at": "time64[us]"}


def test_integers_of_more_than_64_bits_keep_their_digits(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 9223372036854775808, "b": 3}\n')
    assert read(opened(tmp_path / "a.jsonl", tmp_path / "out"))["a"].to_pylist() == ["1", "9223372036854775808"]


def write_arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def test_two_columns_of_an_arrow_file_have_one_name(tmp_path):
    write_arrow(pa.table([[1, 2], [3, 4]], names=["a", "a"]), tmp_path / "a.arrow")
    with pytest.raises(DatasetError, match="two columns named 'a'; rename one"):
        opened(tmp_path / "a.arrow", tmp_path / "out")


def test_an_arrow_file_without_columns_is_known_in_the_next_night(tmp_path):
    (tmp_path / "data").mkdir()
    write_arrow(pa.table({}), tmp_path / "data" / "a.arrow")
    write_arrow(pa.table({"z": [1]}), tmp_path / "data" / "b.arrow")
    nights = [opened(tmp_path / "data", tmp_path / "out") for _ in range(2)]
    assert [read(night).to_pydict() for night in nights] == [{"z": [1]}] * 2


def test_arrow_files_and_streams_keep_their_types(tmp_path):
    table = mixed_table(500)
    feather.write_feather(table, tmp_path / "a.feather", compression="zstd")
    with pa.ipc.new_stream(tmp_path / "b.arrows", table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    for name in ("a.feather", "b.arrows"):
        assert read(opened(tmp_path / name, tmp_path / "out")).equals(table)
    (tmp_path / "c.arrow").write_bytes((tmp_path / "a.feather").read_bytes()[:3000])
    with pytest.raises(DatasetError, match=r"c.arrow: not a readable Arrow file: is no Arrow file"):
        opened(tmp_path / "c.arrow", tmp_path / "out")
    damaged = bytearray((tmp_path / "a.feather").read_bytes())
    damaged[-200:-10] = bytes(190)  # its footer
    (tmp_path / "e.arrow").write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"e.arrow: not a readable Arrow file"):
        opened(tmp_path / "e.arrow", tmp_path / "out")
    odd = pa.table({"a": [1], "gap": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    feather.write_feather(odd, tmp_path / "d.feather")
    with pytest.raises(DatasetError, match="column 'gap' is month_day_nano_interval, which Parquet cannot hold"):
        opened(tmp_path / "d.feather", tmp_path / "out")


def test_which_files_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.tsv").write_text("x\ty\n3\t4\n")
    (tmp_path / "c.jsonl").write_text('{"x": 5, "y": 6}\n')
    (tmp_path / ".hidden.csv").write_text("z\n1\n")
    (tmp_path / "README.md").write_text("text")
    assert read(opened(tmp_path, tmp_path / "out"))["x"].to_pylist() == [1, 3, 5]
    assert read(opened(tmp_path, tmp_path / "out", format="csv"))["x"].to_pylist() == [1, 3]
    pq.write_table(pa.table({"x": [7], "y": [8]}), tmp_path / "d.parquet")
    assert read(opened(tmp_path, tmp_path / "out"))["x"].to_pylist() == [7]
    with pytest.raises(DatasetError, match=r"no Arrow files there \(\*.arrow"):
        opened(tmp_path / "*.none", tmp_path / "out", format="arrow")


@pytest.mark.parametrize("name", ["SHA256SUMS", "MD5SUMS", "LICENSE", "README", "v2"])
def test_a_name_without_suffix_beside_csv_is_passed_over(name, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "data" / name).write_text("abc  a.csv\n")
    dataset = opened(tmp_path / "data", tmp_path / "out")
    assert read(dataset).to_pydict() == {"x": [1], "y": [2]}
    assert [each.uri for each in dataset.passed_over] == [str(tmp_path / "data" / name)]


def test_names_of_hive_beside_csv_are_parquet(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,y\n1,2\n")
    pq.write_table(pa.table({"x": [7], "y": [8]}), tmp_path / "data" / "000000_0")
    assert read(opened(tmp_path / "data", tmp_path / "out")).to_pydict() == {"x": [7], "y": [8]}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.arrow"])
def test_storage_that_refuses_a_file_is_no_matter_of_a_retry(name, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError("Access Denied")

    filesystem = MemoryFileSystem()
    filesystem.pipe_file(f"/{tmp_path.name}/{name}", b"x,y\n1,2\n")
    monkeypatch.setattr(MemoryFileSystem, "get_file", refuse)
    with pytest.raises(ConfigurationError, match="cannot read it: PermissionError: Access Denied; give this user"):
        opened([f"memory://{tmp_path.name}/{name}"], tmp_path / "out")


def test_typed_and_untyped_files_that_disagree(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    feather.write_feather(pa.table({"x": ["one"]}), tmp_path / "b.feather")
    assert read(opened(tmp_path, tmp_path / "out"))["x"].to_pylist() == ["1", "one"]
    (tmp_path / "a.csv").write_text("x\none\n")
    feather.write_feather(pa.table({"x": [1]}), tmp_path / "b.feather")
    with pytest.raises(SchemaError, match="column 'x' is string in"):
        opened(tmp_path, tmp_path / "out")


def test_a_file_that_is_touched_is_converted_again(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    first = opened(tmp_path / "a.csv", tmp_path / "out")
    os.utime(tmp_path / "a.csv", (1, 1))
    again = opened(tmp_path / "a.csv", tmp_path / "out")
    assert again.shards[0].digest != first.shards[0].digest
    assert again.shards[0].place == first.shards[0].place
    assert again.listed()[0]["uri"] == str(tmp_path / "a.csv")
