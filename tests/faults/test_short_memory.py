"""Shortage of memory is no damage: it ends a run with exit code 4 and advice, and leaves no note of what is sound."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.dataset.parquet import is_corruption, is_memory_shortage

ROWS = 2**24
RUN = """
import resource, sys
import featflow

def run(source, output):
    return featflow.run({
        "dataset": {"source": source}, "output": output, "engine": {"kind": "serial"}, "budget": {"bad_rows": 0.9},
        "analyses": {"correlation": False, "ranking": False, "interaction": False},
    })

root = sys.argv[1]
run(root + "/small", root + "/warm")  # what a process loads, and its threads
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 96 * 2**20, resource.RLIM_INFINITY))
try:
    run(root + "/large", root + "/out")
except featflow.FeatflowError as error:
    print(error.exit_code, error)
"""


def test_a_page_that_does_not_fit_is_not_damaged(tmp_path):
    """A page of 128 MiB, of equal numbers, in a process that may take 96 MiB more than it has."""
    for name, rows in (("small", 1_000), ("large", ROWS)):
        (tmp_path / name).mkdir()
        table = pa.table({"number": np.zeros(rows)})
        plain = {"use_dictionary": False, "compression": "zstd", "data_page_size": 2**30, "row_group_size": ROWS}
        pq.write_table(table, tmp_path / name / "a.parquet", max_rows_per_page=ROWS, **plain)
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    # Other allocators hold address space that they do not use.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 a task ran out of memory, and again with a lighter batch; lower budget.memory")
    assert "large/a.parquet, row group 0: " in done.stdout
    assert not list((tmp_path / "out").rglob("quarantine/*"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no more"),
        pa.ArrowMemoryError("malloc of size 1920001024 failed"),
        OSError("std::bad_alloc"),
        OSError("ZSTD decompression failed: Allocation error : not enough memory"),
    ],
    ids=str,
)
def test_errors_of_short_memory(error):
    assert is_memory_shortage(error)
    assert not is_corruption(error)


def test_errors_that_are_neither():
    error = pa.ArrowCancelled("Operation cancelled")
    assert not is_corruption(error)
    assert not is_memory_shortage(error)
    asked = pa.ArrowMemoryError(f"malloc of size {2**40} failed")  # a page that says so is damaged
    assert is_corruption(asked)
    assert not is_memory_shortage(asked)
