"""Weights that are no weights: the error names the file, the column and how many; no state is left behind."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from featflow.errors import SchemaError

ROWS = 1_000
RULE = "dataset.weight must be finite and not negative"
WEIGHTED = {"weight": "w", "targets": ["label"]}


def weights(**wrong):
    """A column of ones, and at the front what is wrong, so many times."""
    values = {"negative": -0.5, "missing": None, "nan": float("nan"), "infinite": float("inf")}
    first = [values[name] for name, count in wrong.items() for _ in range(count)]
    return pa.array(first + [1.0] * (ROWS - len(first)), pa.float64(), from_pandas=False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"negative": 3}, "3 negative"),
        ({"missing": 2}, "2 missing"),
        ({"nan": 1, "missing": 4}, "5 missing"),
        ({"infinite": 7}, "7 infinite"),
        ({"negative": 3, "missing": 2}, "3 negative and 2 missing"),
        ({"negative": 1, "nan": 1, "infinite": 1}, "1 negative and 1 missing and 1 infinite"),
    ],
    ids=str,
)
def test_the_message_says_how_many_of_which(bench, wrong, said):
    path = bench.write(table=bench.table(w=weights(**wrong)))
    message = bench.refused(SchemaError, dataset=WEIGHTED)
    assert message == f"{path}: column 'w' holds {said} weights; {RULE}"
    assert not [file for file in bench.files() if file.suffix == ".arrow"]


def test_either_engine_names_the_file_at_fault(bench, engine_kind):
    bench.write("a.parquet", bench.table(w=weights()))
    path = bench.write("b.parquet", bench.table(w=weights(negative=3, missing=2)))
    engine = {"kind": engine_kind}
    message = bench.refused(SchemaError, dataset=WEIGHTED, engine=engine)
    assert message == f"{path}: column 'w' holds 3 negative and 2 missing weights; {RULE}"
    bench.write("b.parquet", bench.table(w=weights()))
    assert bench.run(dataset=WEIGHTED, engine=engine).manifest["rows"]["read"] == 2 * ROWS


def test_counts_are_of_the_whole_file(bench, monkeypatch):
    monkeypatch.setattr("featflow.execution.shard_tasks.batch_rows", lambda *_: 100)
    path = bench.write(table=bench.table(w=weights(negative=350)), row_group_size=250)
    bench.refused(SchemaError, f"{path}: column 'w' holds 350 negative weights", dataset=WEIGHTED)


def test_a_file_without_the_column(bench):
    bench.write("a.parquet", bench.table(w=weights()))
    path = bench.write("b.parquet")
    bench.refused(SchemaError, path, f"'w' holds {ROWS} missing weights", dataset=WEIGHTED)


def test_weights_are_looked_at_without_numeric_columns(bench):
    path = bench.write(table=bench.table(w=weights(negative=1)).drop_columns(["amount"]))
    bench.refused(SchemaError, path, "'w' holds 1 negative weights", dataset=WEIGHTED)


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0 in all rows"), (1e200, "squares that add up to inf"), (1e-200, "add up to 0.0")]
)
def test_weights_that_cannot_be_added_up(bench, value, words):
    bench.write(table=bench.table(w=np.full(ROWS, value)))
    bench.refused(SchemaError, "dataset.weight", "'w'", words, dataset=WEIGHTED)


def test_zero_weights_in_one_file_are_allowed(bench):
    bench.write("a.parquet", bench.table(w=weights(), label2=["x", "y"] * (ROWS // 2)))
    bench.write("b.parquet", bench.table(w=np.zeros(ROWS), label2=["x", "z"] * (ROWS // 2)))
    done = bench.run(dataset=WEIGHTED)
    amount = bench.table()["amount"].to_numpy()
    row = done.table("profile").row(0, named=True)
    assert (row["rows"], row["mean"]) == (2 * ROWS, pytest.approx(amount.mean(), rel=1e-12))


def test_the_command_line_ends_with_2(bench):
    path = bench.write(table=bench.table(w=weights(missing=2)))
    done = bench.command(config=bench.config(dataset=WEIGHTED))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {path}: column 'w' holds 2 missing weights; {RULE}" in done.stderr.splitlines()
