"""What tests of damaged outputs share: a sound one, commands that read it, and all numbers that it gives."""

from __future__ import annotations

import contextlib
import io
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featflow
from featflow.cli.main import main
from featflow.errors import BadDataError, FeatflowError

MEMORY = 6 * 2**30
SECONDS = 60
"""Longest time of one command."""
CODES = {0, 1, 2, 3, 4, 5}
DEFECT = "This is a defect"


def sound_output(folder: Path) -> Path:
    """An output of two nights with drift, matrices and something unreadable, and of one that failed."""
    random = np.random.default_rng(5)

    def night(name, rows=200, shift=0.0):
        x = random.normal(size=rows) + shift
        city = [f"c{row % 7}" for row in range(rows)]
        pq.write_table(
            pa.table({"x": x, "y": x + random.normal(size=rows), "city": city}),
            folder / "data" / name,
            row_group_size=100,
        )

    def go(**more):
        dataset = {"source": str(folder / "data"), "targets": ["y"]}
        config = {"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": "serial"}}
        analyses = {"correlation": {"dense": True}, "interaction": False}
        return featflow.run(config | {"analyses": analyses, "budget": {"bad_rows": 0.9}} | more)

    (folder / "data").mkdir()
    night("a.parquet")
    go()
    night("b.parquet", shift=2.0)
    damaged = folder / "data" / "b.parquet"
    place = pq.ParquetFile(damaged).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(damaged.read_bytes())
    data[place : place + 40] = b"\xff" * 40
    damaged.write_bytes(bytes(data))
    go()
    (folder / "data" / "c.parquet").write_bytes(b"PAR1 none PAR1")
    with pytest.raises(BadDataError):
        go(budget={"bad_rows": 0.0})
    return folder / "out"


def commands(output: Path) -> list[list[str]]:
    runs = sorted(path.name for path in (output / "runs").iterdir() if (path / "_SUCCESS").exists())
    first, last = (f"{output}/runs/{run}" for run in (runs * 2)[:2])
    return [
        ["status", str(output), "--max-age", "1h"],
        ["runs", str(output)],
        ["gc", str(output), "--keep", "1"],
        ["report", str(output), "--to", str(output.parent / "report.html")],
        ["compare", first, last],
        ["status", str(output), "--json"],
        ["runs", str(output), "--json"],
        ["gc", str(output), "--keep", "1", "--json"],
        ["export", "openlineage", str(output), "--to", str(output.parent / "lineage.jsonl")],
        ["gc", str(output), "--keep", "1", "--delete"],
    ]


def bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def said(arguments: list[str]) -> tuple[int, str]:
    """What a command ends with, and what it prints."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            main(arguments)
        except SystemExit as end:
            return int(end.code or 0), shown.getvalue()
    raise AssertionError("a command returned")


def numbers(output: Path) -> dict[str, object]:
    """Every table and matrix that can be read, by run and name."""
    found: dict[str, object] = {}
    for run_id in sorted(path.name for path in (output / "runs").iterdir()):
        try:
            run = featflow.Run.open(str(output), run_id)
        except FeatflowError:
            continue
        for name in run.manifest["tables"]:
            with contextlib.suppress(FeatflowError):
                found[f"{run_id} {name}"] = repr(run.arrow(name).to_pylist())
        with contextlib.suppress(FeatflowError):
            found[f"{run_id} pearson"] = run.matrix("pearson")[1].tobytes()
    return found


def within(pool: ProcessPoolExecutor, function: Callable, *arguments: Any) -> Any:
    """What a function returns in another process; a process that hangs is ended, and the test with it."""
    try:
        return pool.submit(function, *arguments).result(SECONDS)
    except TimeoutError:
        for child in active_children():
            child.kill()
        raise AssertionError(f"more than {SECONDS} s: {arguments}") from None


def wrong(arguments: list[str], code: int, text: str) -> str | None:
    """What is wrong with how a command ended, None if nothing is."""
    if code not in CODES or DEFECT in text or "Traceback" in text:
        return f"{arguments[0]}: {code}: {text[-600:]}"
    return f"{arguments[0]}: stale, and nothing is" if code == 1 and "--max-age" in arguments else None
