"""Every bad input: what the error says, its exit code, and what is left behind.

Bad configuration and schemas end with exit code 2, unreadable data in the quarantine table or with exit code 3, a held
lock with 5. Nothing bad is published and nothing bad ends in a traceback.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import measured_again

import featflow
from featflow.config import load, parse
from featflow.errors import (
    BadDataError,
    ConfigurationError,
    DatasetError,
    FeatflowError,
    InfrastructureError,
    LockedError,
    SchemaError,
)
from featflow.storage import processes

ROWS, GROUP_ROWS = 1_000, 250
PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False, "row_group_size": GROUP_ROWS}
"""Pages without codec, dictionary or statistics, so that a test knows what it overwrites."""
SECRET = "hunter2-c0ffee"


def test_exit_codes():
    codes = {error: error.exit_code for error in FeatflowError.__subclasses__()}
    assert (codes[BadDataError], codes[InfrastructureError], codes[LockedError]) == (3, 4, 5)
    assert {error.exit_code for error in (ConfigurationError, DatasetError, SchemaError)} == {2}


# --- nothing to read ------------------------------------------------------------------------------------------------


def test_a_path_that_is_not_there(bench):
    path = bench.root / "nowhere"
    bench.refused(
        DatasetError, path, "no such file or directory", "check dataset.source", dataset={"source": str(path)}
    )
    assert not bench.work()


def test_an_empty_directory(bench):
    bench.refused(DatasetError, bench.data, "no Parquet files", "*.parquet", "check dataset.source")


def test_a_directory_without_parquet(bench):
    (bench.data / "readme.txt").write_text("hello")
    (bench.data / "_hidden.parquet").write_bytes(b"")
    bench.refused(DatasetError, bench.data, "no Parquet files", "*.parquet", "check dataset.source")


def test_a_glob_that_finds_nothing(bench):
    source = str(bench.data / "*.parquet")
    bench.refused(DatasetError, source, "no Parquet files", "check dataset.source", dataset={"source": source})


def test_files_without_rows(bench):
    for name in ("a.parquet", "b.parquet"):
        bench.write(name, bench.table().slice(0, 0))
    bench.refused(DatasetError, bench.data, "2 file(s) and no rows")


def test_a_file_that_is_not_parquet(bench):
    path = bench.data / "notes.parquet"
    path.write_text("these are notes, not columns")
    bench.refused(DatasetError, path, "not a readable Parquet file")


@pytest.mark.parametrize("broken", ["no rows", "truncated", "zero bytes"])
def test_unreadable_sources_say_what_to_do(bench, broken):
    path = bench.write(table=bench.table().slice(0, 0)) if broken == "no rows" else bench.write()
    if broken != "no rows":
        os.truncate(path, 0 if broken == "zero bytes" else path.stat().st_size // 2)
    bench.refused(DatasetError, "dataset.source")


# --- columns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("targets", ["lable"], "label"),
        ("entity", ["ciyt"], "city"),
        ("event_time", "amuont", "amount"),
        ("exclude", ["citi"], "city"),
        ("kinds", {"labels": "category"}, "label"),
    ],
)
def test_a_configured_column_that_does_not_exist(bench, key, value, near):
    bench.write()
    wrong = value if isinstance(value, str) else next(iter(value))
    bench.refused(SchemaError, f"dataset.{key}", f"'{wrong}'", f"the nearest is '{near}'", dataset={key: value})


def test_a_configured_column_like_no_other(bench):
    bench.write()
    bench.refused(SchemaError, "'zzz'", "columns are amount, city, label", dataset={"targets": ["zzz"]})


@pytest.mark.parametrize(
    "values",
    [
        pa.array([3] * ROWS),
        pa.array(["same"] * ROWS),
        pa.array([1.5] * (ROWS - 1) + [None]),
    ],
    ids=["number", "string", "one value or null"],
)
def test_a_constant_target(bench, values):
    bench.write(table=bench.table(still=values))
    bench.refused(
        SchemaError, "dataset.targets", "'still'", "one value", "take it out", dataset={"targets": ["label", "still"]}
    )


@pytest.mark.parametrize("kind", [pa.null(), pa.float64(), pa.string(), pa.bool_(), pa.timestamp("us")], ids=str)
def test_a_target_without_a_value(bench, kind):
    bench.write(table=bench.table(gone=pa.nulls(ROWS, kind)))
    bench.refused(SchemaError, "dataset.targets", "'gone'", "null", "take it out", dataset={"targets": ["gone"]})


@pytest.mark.parametrize("values", [pa.array([b"\x00"] * ROWS), pa.array([[1]] * ROWS)], ids=["binary", "list"])
def test_a_target_of_a_type_that_is_not_analysed(bench, values):
    bench.write(table=bench.table(blob=values))
    bench.refused(SchemaError, "dataset.targets", "'blob'", dataset={"targets": ["blob"]})


def test_int32_beside_int64_widens(bench):
    bench.write("a.parquet", pa.table({"v": pa.array([1, 2, 3], pa.int32())}))
    bench.write("b.parquet", pa.table({"v": pa.array([2**40, -5, None], pa.int64())}))
    done = bench.run()
    row = done.table("profile").row(0, named=True)
    values = [1, 2, 3, 2**40, -5]
    assert (row["rows"], row["missing"], row["distinct"]) == (6, 1, 5)
    assert (row["min"], row["max"]) == (-5, 2**40)
    assert row["mean"] == pytest.approx(np.mean(values), rel=1e-15)
    assert row["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-14)
    assert {top["value"] for top in row["top_values"]} == {str(value) for value in values}
    assert any("'v' is int32 and int64" in warning for warning in done.manifest["warnings"])


def test_a_number_beside_a_string(bench):
    first = bench.write("a.parquet", pa.table({"v": [1, 2], "w": [1, 2]}))
    second = bench.write("b.parquet", pa.table({"v": ["x", "y"], "w": [1, 3]}))
    bench.refused(SchemaError, "'v'", f"int64 in {first}", f"string in {second}", "make them agree", "dataset.exclude")
    assert bench.run(dataset={"exclude": ["v"]}).manifest["rows"]["read"] == 4


def test_a_duplicated_column_name(bench):
    path = bench.write(table=pa.Table.from_arrays([[1, 2], [3, 4]], names=["twice", "twice"]))
    bench.refused(SchemaError, path, "'twice' is duplicated", "rename")


def test_a_struct_field_named_like_a_column(bench):
    path = bench.write(table=pa.table({"a.b": [1, 2], "a": pa.array([{"b": 1}, {"b": 2}])}))
    bench.refused(SchemaError, path, "'a.b' is duplicated", "rename")


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "dictionary"])
def test_text_that_is_no_number(bench, encoded):
    values = pa.array(["1", "2.5", "many", "4"] * (ROWS // 4))
    path = bench.write(table=bench.table(count=values.dictionary_encode() if encoded else values))
    bench.refused(SchemaError, "'count'", "dataset.kinds", "'many'", path, dataset={"kinds": {"count": "number"}})
    done = bench.run(dataset={"kinds": {"count": "number"}, "null_values": ["many"]})
    assert done.table("profile").row(-1, named=True)["mean"] == 2.5


def test_a_float_that_is_no_time(bench):
    bench.write(table=bench.table(when=np.linspace(0.0, 1.0, ROWS)))
    bench.refused(SchemaError, "'when'", "dataset.kinds", dataset={"kinds": {"when": "time"}})


def test_a_column_name_that_is_a_path_writes_nowhere_else(bench):
    names = ["../../evil", "/tmp/../evil", "evil\x00", "..", "evil\n"]
    values = {name: np.arange(ROWS) % 7 for name in names[:2]} | {name: ["a", "b"] * (ROWS // 2) for name in names[2:]}
    bench.write(table=bench.table(**values))
    before = {*bench.files(bench.root.parent)}
    done = bench.run(dataset={"targets": [names[0], names[3]]})
    assert set(done.table("profile")["column"]) >= set(names)
    assert set(done.table("ranking")["target"]) == {names[0], names[3]}
    written = {*bench.files(bench.root.parent)} - before
    assert written == {*bench.files()}
    assert not [path for path in written if "evil" in str(path.relative_to(bench.root))]


# --- values ---------------------------------------------------------------------------------------------------------

MOMENTS = ("mean", "std", "skewness", "kurtosis", "min", "max", "quantiles")


def profiled(bench, values, **config):
    bench.write(table=bench.table(x=values))
    done = bench.run(dataset={"targets": ["label"]}, **config)
    return done.table("profile").row(-1, named=True)


def test_a_column_of_nan(bench):
    row = profiled(bench, np.full(ROWS, np.nan))
    assert "no_finite_value" in row["alerts"]
    assert (row["missing"], row["nonfinite"]) == (0, ROWS)
    assert {row[name] for name in MOMENTS} == {None}


def test_infinities(bench):
    values = np.array([np.inf, -np.inf, np.nan, 1.0, 3.0] * (ROWS // 5))
    row = profiled(bench, values)
    finite = values[np.isfinite(values)]
    assert row["alerts"] == ["nonfinite"]
    assert (row["missing"], row["nonfinite"], row["distinct"]) == (0, 600, 2)
    assert (row["mean"], row["min"], row["max"]) == (2.0, 1.0, 3.0)
    assert row["std"] == pytest.approx(finite.std(ddof=1), rel=1e-14)


@pytest.mark.parametrize("kind", [pa.null(), pa.float32(), pa.int64(), pa.string(), pa.timestamp("ms")], ids=str)
def test_a_column_of_nulls(bench, kind):
    row = profiled(bench, pa.nulls(ROWS, kind))
    assert row["alerts"] == ["all_missing"]
    assert (row["missing"], row["nonfinite"], row["distinct"]) == (ROWS, 0, 0)
    assert {row[name] for name in MOMENTS} == {None}


@pytest.mark.parametrize("size", [1e80, 1e100, 1e200, 1.7e308])
def test_huge_numbers(bench, size):
    row = profiled(bench, np.array([size, -size] * (ROWS // 2)))
    assert (row["min"], row["max"], row["distinct"]) == (-size, size, 2)
    assert row["mean"] is None or abs(row["mean"]) <= size * np.finfo(float).eps  # one rounding at that size
    assert row["std"] is None or row["std"] == pytest.approx(size, rel=1e-2)


def test_the_largest_unsigned_integer(bench):
    row = profiled(bench, pa.array([2**64 - 1, 1] * (ROWS // 2), pa.uint64()))
    assert (row["min"], row["max"], row["distinct"]) == (1.0, 2.0**64, 2)
    assert row["mean"] == 2.0**63


# --- unreadable files -----------------------------------------------------------------------------------------------


def four_files(bench, size):
    """Write three good files and one cut to a share of its size; return the path of that one."""
    for name in "abcd":
        bench.write(f"{name}.parquet")
    path = bench.data / "b.parquet"
    os.truncate(path, int(path.stat().st_size * size))
    return path


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file_alone(bench, share):
    path = bench.write()
    os.truncate(path, int(path.stat().st_size * share))
    bench.refused(DatasetError, path, "not a readable Parquet file", "1 of 1 files", budget={"bad_rows": 1.0})


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file_among_good_ones(bench, share):
    path = four_files(bench, share)
    done = bench.run(budget={"bad_rows": 1.0})
    (row,) = done.table("quarantine").to_dicts()
    assert (row["uri"], row["reason"]) == (str(path), "unreadable_file")
    assert [row[name] for name in ("row_group", "row", "column", "rows")] == [None] * 4
    assert row["detail"]
    assert done.manifest["rows"] == {"footers": 3 * ROWS, "read": 3 * ROWS, "quarantined": 0}
    assert set(done.table("profile")["rows"]) == {3 * ROWS}
    assert any(str(path) in warning for warning in done.manifest["warnings"])


def test_a_truncated_file_beyond_the_budget(bench):
    path = four_files(bench, 0.5)
    message = bench.refused(BadDataError, path, "budget.bad_rows", "0.10%", "mend", "raise budget.bad_rows")
    assert [row["uri"] for row in named_quarantine(message)] == [str(path)]


def named_quarantine(message):
    """Return the rows of the quarantine table that a message names."""
    return pq.read_table(re.search(r"(\S+/quarantine\.parquet)", message).group(1)).to_pylist()


# --- unreadable row groups ------------------------------------------------------------------------------------------

DAMAGES = {
    "header of a number": ("none", "amount", True),
    "values of a string": ("none", "city", False),
    "compressed values": ("snappy", "city", False),
}


def overwrite_chunk(path, group, column, *, header=True):
    """Overwrite bytes of a column chunk's first data page, in its header or in its values; it must not read then."""
    metadata = pq.read_metadata(path).row_group(group)
    chunks = [metadata.column(index) for index in range(metadata.num_columns)]
    chunk = next(chunk for chunk in chunks if chunk.path_in_schema == column)
    start = chunk.data_page_offset + (0 if header else chunk.total_compressed_size // 2)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 16)
    with pq.ParquetFile(path) as file, pytest.raises((pa.ArrowException, OSError)):
        file.read_row_group(group, columns=[column])


def damaged(bench, *damages, compression="none"):
    """Write four row groups and overwrite the (group, column)s given; return the path."""
    path = bench.write(**PLAIN | {"compression": compression})
    for group, column in damages:
        overwrite_chunk(path, group, column)
    return path


def digests(run):
    """Of what a run says of its data; drift names the run before it, too."""
    return {name: entry["sha256"] for name, entry in run.manifest["tables"].items() if name != "drift"}


@pytest.mark.parametrize("shard_bytes", [1, 2**27], ids=["a shard each", "one shard"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupted_page_costs_its_row_group_and_no_more(bench, damage, shard_bytes):
    compression, column, header = DAMAGES[damage]
    path = bench.write(**PLAIN | {"compression": compression})
    overwrite_chunk(path, 1, column, header=header)
    config = {"dataset": {"targets": ["label"], "shard_bytes": shard_bytes}, "budget": {"bad_rows": 0.25}}
    done = bench.run(**config)
    (row,) = done.table("quarantine").to_dicts()
    assert row.pop("detail")
    assert row == {
        "uri": str(path),
        "row_group": 1,
        "row": None,
        "column": column,
        "rows": GROUP_ROWS,
        "reason": "unreadable_row_group",
    }
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}
    assert any("unreadable_row_group 1" in warning for warning in done.manifest["warnings"])

    again = bench.run(**measured_again(config))
    shards = 3 if shard_bytes == 1 else 1
    assert done.manifest["shards"] == {"total": shards, "computed": shards, "reused": 0}
    assert again.manifest["shards"] == {"total": shards, "computed": 0, "reused": shards}
    assert digests(again) == digests(done)
    assert again.manifest["rows"] == done.manifest["rows"]

    table = bench.table()
    path.unlink()
    bench.write("b.parquet", pa.concat_tables([table.slice(0, GROUP_ROWS), table.slice(2 * GROUP_ROWS)]), **PLAIN)
    clean = bench.run(**config)
    for name in ("profile", "ranking", "correlation", "interaction"):
        assert clean.table(name).equals(done.table(name)), name


def test_a_corrupted_page_beyond_the_budget(bench):
    path = damaged(bench, (1, "amount"))
    words = (path, "row group 1", "'amount'", "25.00%", "0.10%", "mend", "raise budget.bad_rows")
    message = bench.refused(BadDataError, *words)
    (row,) = named_quarantine(message)
    assert (row["uri"], row["row_group"], row["column"], row["rows"]) == (str(path), 1, "amount", GROUP_ROWS)
    (manifest,) = [json.loads(found.read_text()) for found in bench.files() if found.name == "manifest.json"]
    assert manifest["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}
    assert manifest["status"] != "done"
    assert featflow.list_runs(str(bench.output)) == []
    assert bench.run(budget={"bad_rows": 0.25}).manifest["rows"] == manifest["rows"]  # as the message advises


@pytest.mark.parametrize("shard_bytes", [1, 2**27], ids=["a shard each", "one shard"])
@pytest.mark.parametrize("cells", [512, 260_000], ids=["summaries together", "summaries apart"])
def test_two_corrupted_row_groups(bench, cells, shard_bytes):
    path = damaged(bench, (0, "city"), (3, "amount"))
    config = {
        "dataset": {"targets": ["label"], "shard_bytes": shard_bytes},
        "budget": {"bad_rows": 0.5, "memory": "64MiB"},  # so little that 260,000 cells fill a task
        "codebook": {"cells": cells, "levels": 1024},
    }
    done = bench.run(**config)
    rows = done.table("quarantine").sort("row_group").to_dicts()
    assert [(r["uri"], r["row_group"], r["column"], r["rows"]) for r in rows] == [
        (str(path), 0, "city", GROUP_ROWS),
        (str(path), 3, "amount", GROUP_ROWS),
    ]
    assert done.manifest["rows"] == {"footers": ROWS, "read": 2 * GROUP_ROWS, "quarantined": 2 * GROUP_ROWS}
    assert set(done.table("profile")["rows"]) == {2 * GROUP_ROWS}
    again = bench.run(**measured_again(config))
    assert again.manifest["shards"]["computed"] == 0
    assert digests(again) == digests(done)


def test_every_row_group_corrupted(bench):
    damaged(bench, *((group, "amount") for group in range(4)))
    message = bench.refused(BadDataError, "100.00%", budget={"bad_rows": 1.0})
    assert [row["row_group"] for row in named_quarantine(message)] == [0, 1, 2, 3]


def test_a_corrupted_column_that_is_left_out_costs_nothing(bench):
    damaged(bench, (1, "amount"))
    done = bench.run(dataset={"exclude": ["amount"]}, budget={"bad_rows": 0.0})
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}


def test_a_mended_file_is_read_again(bench):
    damaged(bench, (1, "amount"))
    bench.refused(BadDataError)
    bench.write(**PLAIN)
    done = bench.run()
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}
    assert done.table("quarantine").height == 0


def empty_chunk(path, column):
    """Make the footer say that a chunk of the column holds no values; return its row group, which reads as empty."""
    sound = path.read_bytes()
    values, none = (bytes([2 * n & 127 | 128, 2 * n >> 7]) for n in (GROUP_ROWS, 0))  # zigzag integers of Thrift
    at = len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
    while (at := sound.find(values, at + 1)) > 0:
        path.write_bytes(sound[:at] + none + sound[at + 2 :])
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            said = [file.metadata.row_group(group).num_rows for group in groups]
            read = [sum(b.num_rows for b in file.iter_batches(row_groups=[g], columns=[column])) for g in groups]
        if said == [GROUP_ROWS] * 4 and 0 in read:
            return read.index(0)
    pytest.fail(f"nothing in the footer empties a chunk of {column}")


def test_a_chunk_without_the_rows_of_its_row_group(bench):
    path = bench.write(**PLAIN)
    group = empty_chunk(path, "city")
    bench.refused(BadDataError, path, f"row group {group}")
    done = bench.run(budget={"bad_rows": 0.25})
    assert [row["row_group"] for row in done.table("quarantine").to_dicts()] == [group]
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}


@pytest.mark.parametrize("dictionary", [False, True], ids=["plain", "dictionary"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_bytes_that_are_no_utf8(bench, kind, dictionary):
    values = [b"north", b"south"] * (ROWS // 2)
    values[GROUP_ROWS + 3] = b"\xff\xfe\xfa\xfb"
    binary = pa.array(values, pa.binary() if kind == pa.string() else pa.large_binary())
    text = pa.Array.from_buffers(kind, ROWS, binary.buffers())
    path = bench.write(table=bench.table(side=text), **PLAIN | {"use_dictionary": dictionary})
    bench.refused(BadDataError, path, "row group 1", "'side'", "UTF", "raise budget.bad_rows")
    done = bench.run(budget={"bad_rows": 0.25})
    (row,) = done.table("quarantine").to_dicts()
    assert (row["uri"], row["row_group"], row["column"], row["rows"]) == (str(path), 1, "side", GROUP_ROWS)
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}


def test_on_ray(bench, local_ray):
    path = damaged(bench, (2, "city"))
    config = {"dataset": {"targets": ["label"], "shard_bytes": 1}, "budget": {"bad_rows": 0.25}}
    serial = bench.run(**config, output=str(bench.root / "serial"))
    ray = {"engine": {"kind": "ray"}}
    done = bench.run(**config, **ray)
    assert done.table("quarantine").equals(serial.table("quarantine"))
    assert done.manifest["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}
    again = bench.run(**measured_again(config), **ray)
    assert again.manifest["shards"] == {"total": 3, "computed": 0, "reused": 3}
    assert digests(again) == digests(done)
    other = {"output": str(bench.root / "other")}
    bench.refused(BadDataError, path, "row group 2", "'city'", **ray, **other)
    bench.refused(SchemaError, "'label'", dataset={"kinds": {"label": "number"}, "exclude": ["city"]}, **ray, **other)


# --- output and lock ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", [True, False], ids=["below a file", "a file"])
def test_an_output_that_is_a_file(bench, below):
    bench.write()
    path = bench.root / "file"
    path.write_text("mine")
    output = f"{path}/results" if below else str(path)
    bench.refused(ConfigurationError, "output", output, "choose another", output=output)
    assert path.read_text() == "mine"


def test_an_output_below_a_device(bench):
    bench.write()
    bench.refused(ConfigurationError, "output", "/dev/null/x", "choose another", output="/dev/null/x")


def test_an_output_without_permission(bench):
    bench.write()
    bench.output.mkdir(mode=0o500)
    if os.access(bench.output, os.W_OK):
        pytest.skip("this user writes anywhere")
    bench.refused(ConfigurationError, "output", bench.output, "ermission denied", "choose another")


def test_an_output_inside_the_source_is_not_read_as_data(bench):
    bench.write()
    output = str(bench.data / "results")
    for _ in range(2):
        try:
            done = bench.run(output=output)
        except ConfigurationError as error:
            assert "output" in str(error)  # noqa: PT017  to refuse it is as good as to leave it out
        else:
            assert done.manifest["rows"]["footers"] == ROWS


def lock(bench, **changes):
    token = "0" * 32
    lease = {"token": token, "host": "elsewhere", "pid": 1, "expires": time.time() + 100, "holds": True} | changes
    path = bench.output / "lock" / f"{token}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(lease))
    return path


@pytest.mark.parametrize("here", [False, True], ids=["another host", "a live process here"])
def test_a_lock_that_is_held(bench, here):
    bench.write()
    path = lock(bench, **({"host": socket.gethostname(), "pid": os.getpid()} if here else {}))
    before = path.read_text()
    holder = f"process {os.getpid()} on {socket.gethostname()}" if here else "process 1 on elsewhere"
    bench.refused(LockedError, bench.output, holder, "wait for it or choose another output")
    assert path.read_text() == before
    assert bench.files() == [path]


def test_a_lease_that_is_over_is_taken_over(bench):
    bench.write()
    path = lock(bench, expires=time.time() - 1)
    assert bench.run().manifest["status"] == "done"
    assert not path.exists()


def test_a_dead_process_does_not_hold_the_lock(bench):
    bench.write()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    path = lock(bench, host=socket.gethostname(), pid=process.pid, place=processes.place())
    assert bench.run().manifest["status"] == "done"
    assert not path.exists()


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "null", "5", "[1, 2]", '{"expires": "soon"}', '{"expires": 1e12, "host": "%s"}']
)
def test_a_lock_that_cannot_be_understood(bench, content):
    """A run killed while it wrote its lock leaves such a file; the next run takes it over or names it."""
    bench.write()
    path = lock(bench)
    path.write_text(content.replace("%s", socket.gethostname()))
    try:
        done = bench.run()
    except LockedError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert done.manifest["status"] == "done"


def test_no_lock_is_left_by_a_run_that_fails(bench):
    damaged(bench, (1, "amount"))
    bench.refused(BadDataError)
    bench.refused(SchemaError, dataset={"targets": ["lable"]})
    assert not bench.files(bench.output / "lock")


# --- configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "key", "hint"),
    [
        ({"outptu": "x"}, "outptu", "did you mean 'output'?"),
        ({"dataset": {"targest": ["label"]}}, "dataset.targest", "did you mean 'targets'?"),
        ({"codebook": {"bin": 3}}, "codebook.bin", "did you mean 'bins'?"),
        ({"budget": {"bad_row": 0.5}}, "budget.bad_row", "did you mean 'bad_rows'?"),
        ({"analyses": {"correlation": {"method": []}}}, "analyses.correlation.method", "did you mean 'methods'?"),
        ({"analyses": {"interaction": {"kep": 1}}}, "analyses.interaction.kep", "did you mean 'keep'?"),
        ({"zzz": 1}, "zzz", "known keys are analyses, budget, codebook, dataset, engine, latest, lineage, output"),
        ({"engine": {"zzz": 1}}, "engine.zzz", "known keys are address, encoder_gpus, gpus, in_flight, kind"),
    ],
)
def test_an_unknown_key(bench, config, key, hint):
    bench.refused(ConfigurationError, f"'{key}' is not a known key", hint, **config)
    assert not bench.output.exists()


def test_an_unknown_key_where_there_is_none(bench):
    message = bench.refused(ConfigurationError, "'analyses.ranking.zzz'", analyses={"ranking": {"zzz": 1}})
    assert not message.rstrip().endswith("known keys are")


@pytest.mark.parametrize(
    ("config", "key", "got"),
    [
        ({"budget": {"bad_rows": 2}}, "'budget.bad_rows'", "got 2"),
        ({"budget": {"memory": "lots"}}, "'budget.memory'", "got 'lots'"),
        ({"codebook": {"bins": 1}}, "'codebook.bins'", "got 1"),
        ({"engine": {"kind": "spark"}}, "'engine.kind'", "got 'spark'"),
        ({"dataset": {"kinds": {"city": "colour"}}}, "'dataset.kinds.city'", "got 'colour'"),
        ({"dataset": {"source": ""}}, "'dataset.source'", "is empty"),
        ({"dataset": {"source": []}}, "'dataset.source'", "nothing to read"),
        ({"output": ""}, "'output'", "is empty"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be(bench, config, key, got):
    bench.refused(ConfigurationError, key, got, **config)


@pytest.mark.parametrize("key", ["output", "dataset.source"])
@pytest.mark.parametrize("value", [None, {"a": 1}, 5], ids=str)
def test_a_location_that_is_no_text(bench, monkeypatch, key, value):
    bench.write()
    monkeypatch.chdir(bench.root)
    bench.refused(ConfigurationError, key, **({"output": value} if key == "output" else {"dataset": {"source": value}}))
    assert {path.name for path in bench.root.iterdir()} == {"data"}


def test_a_list_of_sources(bench):
    paths = [str(bench.write(name)) for name in ("a.parquet", "b.parquet", "c.parquet")]
    assert bench.run(dataset={"source": paths[:2]}).manifest["rows"]["read"] == 2 * ROWS
    missing = str(bench.data / "d.parquet")
    bench_of_its_own = {"output": str(bench.root / "other")}
    with pytest.raises(DatasetError, match=re.escape(missing)):
        bench.run(dataset={"source": [*paths, missing]}, **bench_of_its_own)


def test_required_keys():
    with pytest.raises(ConfigurationError, match=r"'dataset' is required; 'output' is required"):
        featflow.run({})
    with pytest.raises(ConfigurationError, match=r"'dataset\.source' is required"):
        featflow.run({"dataset": {}, "output": "out"})


@pytest.mark.parametrize("key", ["source", "output"])
def test_an_unknown_kind_of_storage(bench, key):
    bench.write()
    config = {"output": "foo://x/y"} if key == "output" else {"dataset": {"source": "foo://x/y"}}
    bench.refused(ConfigurationError, "foo://x/y", "foo", key, **config)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"dataset: [1", ["not valid YAML", "line 1"]),
        (b"dataset:\n\t- x\n", ["not valid YAML", "line 2"]),
        (b"a: \x00", ["not valid YAML"]),
        (b"- dataset\n", ["a list", "'dataset: {source: ...}'"]),
        (b"", ["empty", "'dataset: {source: ...}'"]),
        (b"just words", ["one text", "'dataset: {source: ...}'"]),
        (b"\xff\xfe\x00", ["not UTF-8"]),
        (b"dataset: !!python/object/apply:os.getcwd []\n", ["not valid YAML"]),
        (b"1: 2\n", ["line 1", "quotes: '1'"]),
    ],
)
def test_a_configuration_file_that_is_wrong(tmp_path, content, words):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        featflow.run(str(path))
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert str(path) in message


@pytest.mark.parametrize("name", ["missing.yaml", "missing"])
def test_a_configuration_file_that_is_not_there(tmp_path, name):
    with pytest.raises(ConfigurationError, match="cannot read the configuration") as caught:
        featflow.run(str(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("override", ["output", "=x", "output=[1", "output: x"])
def test_an_override_that_is_wrong(bench, override):
    path = bench.root / "config.yaml"
    path.write_text(json.dumps(bench.config()))
    with pytest.raises(ConfigurationError, match=r"--set(: write it as key\.path=value| output)"):
        load(str(path), [override])


@pytest.mark.parametrize("memory", ["64MiB", "246MiB"])
def test_a_memory_budget_too_small_for_a_state(bench, memory):
    bench.write()
    codebook = {"cells": 2**20, "levels": 1024}
    message = bench.refused(
        ConfigurationError, "budget.memory", "value_histograms", budget={"memory": memory}, codebook=codebook
    )
    assert not bench.work()
    factor = float(re.search(r"raise budget\.memory ([\d.,]+) times", message).group(1))
    enough = int(factor * int(memory.removesuffix("MiB")) * 2**20)
    assert bench.run(budget={"memory": enough}, codebook=codebook).manifest["status"] == "done"
    assert "codebook.cells" in message, message  # the only key of the codebook that would help


# --- credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["dataset.source", "output"])
@pytest.mark.parametrize(
    "uri",
    [
        f"s3://key:{SECRET}@bucket/x",
        f"S3://{SECRET}@bucket/x",
        f"https://user:{SECRET}@host/x.parquet",
        f"simplecache::s3://key:{SECRET}@bucket/x",
        f"s3://key:{SECRET}/with+slash@bucket/x",
    ],
)
def test_credentials_in_a_uri(bench, key, uri):
    config = {"output": uri} if key == "output" else {"dataset": {"source": uri}}
    message = bench.refused(ConfigurationError, f"'{key}", "credentials", "dataset.storage_options", **config)
    assert SECRET not in message


def test_credentials_in_one_of_several_uris(bench):
    sources = [str(bench.write()), f"s3://key:{SECRET}@bucket/x"]
    message = bench.refused(ConfigurationError, "'dataset.source", "credentials", dataset={"source": sources})
    assert SECRET not in message


@pytest.mark.parametrize(
    "dataset",
    [
        [{"source": "x", "storage_options": {"secret": SECRET}}],
        {"source": "x", "storage_options": SECRET},
        {"source": "x", "storage_options": [SECRET]},
        {"source": "x", "storage_options": {1: SECRET}},
        {"source": "x", "storage_option": {"secret": SECRET}},
        {"source": {"uri": "x", "secret": SECRET}},
    ],
    ids=str,
)
def test_secrets_of_a_wrong_configuration_are_not_echoed(tmp_path, dataset):
    with pytest.raises(ConfigurationError, match="dataset") as caught:
        featflow.run({"dataset": dataset, "output": str(tmp_path / "out"), "engine": {"kind": "serial"}})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"dataset:\n  storage_options: {{secret: {SECRET}\noutput: x\n",
        f"dataset:\n  storage_options:\n    secret: {SECRET}: x\n",
        f"dataset:\n  storage_options: {{secret: '{SECRET}}}\n",
    ],
    ids=["bracket", "colon", "quote"],
)
def test_secrets_of_a_broken_file_are_not_echoed(bench, text):
    done = bench.command("--json", text=text)
    assert done.returncode == 2
    assert f"{bench.root}/config.yaml: not valid YAML" in done.stderr
    assert "line" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_storage_options_are_written_nowhere(bench):
    """Read from and write to a store that gets the options, with one bad row group so that every message is written."""
    path = damaged(bench, (1, "amount"))
    memory = fsspec.filesystem("memory")
    source, output = (f"memory://{bench.root.name}/{name}" for name in ("data", "out"))
    memory.pipe_file(f"/{bench.root.name}/data/a.parquet", path.read_bytes())
    options = {"key": "someone", "secret": SECRET}
    dataset = {"source": source, "storage_options": options}
    try:
        message = bench.refused(BadDataError, "row group 1", dataset=dataset, output=output)
        done = bench.run(dataset=dataset, output=output, budget={"bad_rows": 0.25})
        local = bench.run(dataset=dataset, budget={"bad_rows": 0.25})
        memory.get(f"/{bench.root.name}/out/", f"{bench.root}/copy/", recursive=True)
    finally:
        memory.rm(f"/{bench.root.name}", recursive=True)
    assert done.manifest["rows"] == local.manifest["rows"]
    files = [*bench.files(bench.root / "copy"), *bench.files()]
    assert {file.name for file in files} >= {"manifest.json", "LATEST", "quarantine.parquet"}
    said = message + repr(parse(bench.config(dataset=dataset))) + repr(done) + json.dumps(done.manifest)
    for file in files:
        said += file.read_bytes().decode("latin-1")
        if file.suffix == ".parquet":  # compressed
            table = pq.read_table(file)
            said += f"{table.schema.metadata} {table.to_pylist()}"
        if file.suffix == ".arrow":
            table = pa.ipc.open_stream(file.read_bytes()).read_all()
            said += f"{table.schema.metadata} {table.to_pylist()}"
    assert SECRET not in said


def test_a_store_that_refuses_its_options_does_not_echo_them(bench):
    options = {"key": SECRET, "secret": SECRET, "client_kwargs": {"nonsense": SECRET}}
    with pytest.raises(FeatflowError, match="s3://bucket/x") as caught:
        bench.run(dataset={"source": "s3://bucket/x", "storage_options": options})
    assert SECRET not in str(caught.value)


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_command_line_on_a_missing_path(bench):
    path = str(bench.root / "nowhere")
    done = bench.command(config=bench.config(dataset={"source": path}))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == f"error: {path}: no such file or directory; check dataset.source"


def test_the_command_line_prints_json_and_nothing_else(bench):
    bench.write()
    done = bench.command("--json", "--set", "dataset.targets=[lable]")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["exit_code"]) == ("failed", 2)
    assert "dataset.targets: no column 'lable'; the nearest is 'label'" in answer["error"]
    assert answer["error"] in done.stderr


def test_the_command_line_on_bad_data(bench):
    path = damaged(bench, (1, "amount"))
    config = bench.config(dataset={"storage_options": {"secret": SECRET}})
    done = bench.command(config=config)
    assert (done.returncode, done.stdout) == (3, "")
    error = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert all(word in error for word in (str(path), "row group 1", "'amount'", "raise budget.bad_rows"))
    assert named_quarantine(error)[0]["row_group"] == 1
    assert not bench.published()
    done = bench.command("--json", "--set", "budget.bad_rows=0.25", config=config)
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}
    assert SECRET not in done.stdout + done.stderr


def test_the_command_line_on_a_held_lock(bench):
    bench.write()
    lock(bench)
    done = bench.command()
    assert (done.returncode, done.stdout) == (5, "")
    assert "process 1 on elsewhere" in done.stderr
