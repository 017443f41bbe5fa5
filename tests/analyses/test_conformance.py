"""Every analysis of the catalogue over odd data: tables fit their schemas, hold no NaN, depend on no layout, are shown.

A new analysis is run here as soon as the catalogue names it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

import featflow
from featflow.analyses.catalogue import ANALYSES, TABLES
from featflow.analyses.options import Analyses
from featflow.analyses.reporting.limits import SIZES
from featflow.cli.printing import PlainConsole
from featflow.errors import DatasetError
from featflow.export.report.writing import report

SKETCHES = {"profile": ["quantile_sketch", "distinct_sketch", "frequent_sketch"]}
"""Bytes of sketches depend on the order of merging; KLL's also flip coins that cannot be seeded."""
OF_OTHER_FOLDS = {"embedding_profile"}
"""Tables of trained models, whose folds are parts of the shards: compared over engines alone."""


@dataclass
class Case:
    """A dataset and what its configuration says."""

    table: pa.Table
    dataset: dict = field(default_factory=dict)
    analyses: dict = field(default_factory=dict)


def mixed(rows: int) -> pa.Table:
    random = np.random.default_rng(rows)
    x, level = random.normal(size=rows), random.integers(0, 5, rows)
    label = (x + level / 2 + random.normal(size=rows) > 1).astype(int)
    return pa.table(
        {
            "id": pa.array([f"k{row}" for row in range(rows)]),
            "x": pa.array(x, mask=random.random(rows) < 0.1),
            "level": pa.array(np.array(list("abcde"))[level], mask=random.random(rows) < 0.05),
            "count": pa.array(random.integers(0, 40, rows)),
            "flag": pa.array(random.random(rows) < 0.3),
            "when": pa.array(1_700_000_000_000_000 + random.integers(0, 10**12, rows), pa.timestamp("us")),
            "label": pa.array(label.astype(str)),
            "amount": pa.array(x * 2 + random.normal(size=rows)),
            "weight": pa.array(random.integers(1, 4, rows).astype(float)),
        }
    )


def pictures(rows: int) -> pa.Table:
    random = np.random.default_rng(0)
    encoded = []
    for row in range(rows):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 120 + 120 * (row % 2), (12, 12, 3), np.uint8)).save(file, "PNG")
        encoded.append(file.getvalue() if row else None)
    label = [str(row % 2) for row in range(rows)]
    return pa.table({"id": [f"k{row}" for row in range(rows)], "photo": pa.array(encoded), "label": label})


def empty_columns(rows: int) -> pa.Table:
    return (
        mixed(rows)
        .append_column("all_missing", pa.nulls(rows, pa.float64()))
        .append_column("no_text", pa.nulls(rows, pa.string()))
        .append_column("constant", pa.array([7] * rows))
        .append_column("one_level", pa.array(["only"] * rows))
        .append_column("not_a_number", pa.array([math.nan, math.inf] * (rows // 2)))
    )


KEYED = {"entity": ["id"], "exclude": ["weight"]}
CASES = {
    "one row": Case(mixed(1), KEYED | {"exclude": ["weight", "label", "amount"]}),
    "five rows": Case(mixed(5), KEYED),
    "no target": Case(mixed(3_000), KEYED),
    "two targets": Case(mixed(3_000), KEYED | {"targets": ["label", "amount"]}),
    "windows": Case(
        mixed(3_000), KEYED | {"targets": ["label"], "event_time": "when"}, {"uncertainty": {"group_by": "entity"}}
    ),
    "samples": Case(mixed(3_000), KEYED | {"targets": ["label"]}, {"interaction": {"search": "sample"}}),
    "weights": Case(mixed(3_000), {"entity": ["id"], "targets": ["label", "amount"], "weight": "weight"}),
    "empty columns": Case(empty_columns(600), KEYED | {"targets": ["label"]}),
    "one column": Case(mixed(600).select(["id", "x"]), {"entity": ["id"]}),
    "one column and a target": Case(mixed(600).select(["id", "x", "label"]), {"entity": ["id"], "targets": ["label"]}),
    "images": Case(pictures(70), {"entity": ["id"], "images": ["photo"], "targets": ["label"]}),
}


def run(case: Case, folder, shards: int, engine: str = "serial"):
    folder.mkdir(parents=True, exist_ok=True)
    source, size = folder / "data", max(math.ceil(len(case.table) / shards), 1)
    source.mkdir(exist_ok=True)
    for number in range(shards):
        part = case.table.slice(number * size, size)
        if len(part) or not len(case.table):
            pq.write_table(part, source / f"part-{number}.parquet")
    asked = {kind.name: case.analyses.get(kind.name, True) for kind in ANALYSES}
    config = {
        "dataset": {"source": str(source), **case.dataset},
        "output": str(folder / engine),
        "engine": {"kind": engine},
        "analyses": asked | {k: v for k, v in case.analyses.items() if k == "uncertainty"},
        "budget": {"memory": "512MiB"},
    }
    return featflow.run(config)


def check_values(array: pa.Array, where: str) -> None:
    """Raise AssertionError if an array, or what it nests, holds NaN or an infinity."""
    if pa.types.is_struct(array.type):
        for place in range(array.type.num_fields):
            check_values(array.field(place), f"{where}.{array.type.field(place).name}")
    elif pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
        check_values(array.flatten(), f"{where}[]")
    elif pa.types.is_floating(array.type):
        held = array.drop_null().to_numpy(zero_copy_only=False)
        assert np.isfinite(held).all(), where


def check_tables(done) -> None:
    """Raise AssertionError if a table does not fit its published schema or holds what is no number."""
    for name in done.tables:
        table, spec = done.arrow(name), TABLES[name]
        keys = len(table.schema) - len(spec.schema)  # entity columns and event time come before those of images
        assert keys == 0 or name == "embedding"
        assert [(f.name, f.type) for f in table.schema][keys:] == [(f.name, f.type) for f in spec.schema], name
        for each in table.schema.names:
            for chunk in table[each].chunks:
                check_values(chunk, f"{name}.{each}")


def check_views(done) -> None:
    """Raise AssertionError if the report lacks a section, or a terminal cannot show what is there."""
    text = report(done)
    for kind in ANALYSES:
        section = kind.section(done, SIZES[0])
        assert section is None or all(f'id="{each.name}-rows"' in text for each in section.listings), kind.name
        PlainConsole(file=io.StringIO(), width=100).print(kind.shown(done, 100))


def frame(done, name: str) -> pl.DataFrame:
    table = done.arrow(name).drop_columns(SKETCHES.get(name, []))
    found = pl.from_arrow(table)
    scalars = [column for column, kind in found.schema.items() if kind in (pl.String, pl.Int64)]
    return found.sort(scalars) if scalars else found


def test_the_catalogue_is_what_can_be_configured():
    fields = [name for name in Analyses.model_fields if name != "uncertainty"]
    assert fields == [kind.name for kind in ANALYSES]
    assert all(kind.__module__ == f"featflow.analyses.{kind.name}.analysis" for kind in ANALYSES)
    assert all(spec.row and all(f.metadata[b"description"] for f in spec.schema) for spec in TABLES.values())
    assert len(TABLES) == 1 + sum(len(kind.tables) for kind in ANALYSES), "two analyses write a table of one name"


@pytest.mark.parametrize("name", CASES)
def test_tables_fit_and_do_not_depend_on_shards(name, tmp_path):
    ours, theirs = (run(CASES[name], tmp_path / str(shards), shards) for shards in (1, 7))
    for done in (ours, theirs):
        check_tables(done)
    check_views(ours)
    assert set(ours.tables) == set(theirs.tables)
    assert ours.manifest["rows"]["read"] == len(CASES[name].table)
    for table in set(ours.tables) - OF_OTHER_FOLDS:
        assert_frame_equal(frame(ours, table), frame(theirs, table), rel_tol=1e-6, abs_tol=1e-9)


@pytest.mark.parametrize("name", ["two targets", "images"])
def test_engines_agree_by_a_bit(name, tmp_path, local_ray):
    ours, theirs = (run(CASES[name], tmp_path, 7, engine) for engine in ("serial", "ray"))
    assert set(ours.tables) == set(theirs.tables)
    for table in ours.tables:
        assert frame(ours, table).equals(frame(theirs, table), null_equal=True), table


def test_no_rows_is_said(tmp_path):
    with pytest.raises(DatasetError, match="no rows"):
        run(Case(mixed(0), KEYED), tmp_path, 1)
