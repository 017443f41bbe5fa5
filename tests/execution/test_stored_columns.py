"""Codes of many small shards: read once for all looks at them, and counted as if each look had read them.

And nights over them: what is stored is looked for once, and codes of old shards are not read one by one.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from datasets import write_parts

import featflow
from featflow.columns.column import Column, Kind
from featflow.config import DatasetOptions
from featflow.dataset.dataset import Shard, open_dataset
from featflow.dataset.files import DataFile
from featflow.execution import merge_tree, quarantine_notes, state_store, stored_columns
from featflow.execution.stored_columns import StoredColumns, _row_hashes
from featflow.storage.store import Store
from featflow.summaries import CodesSummarizer

TABLES = ("ranking", "correlation", "interaction")
SHARDS = 40
LOOKS = 2
"""At the codes of all shards together: to count all pairs, and again those that tables keep."""


@pytest.fixture
def reads(monkeypatch):
    """How often the codes of each shard are read."""
    counted, plain = Counter(), Store.read_arrow_batches

    def read(self, path, columns):
        counted[path] += 1
        return plain(self, path, columns)

    monkeypatch.setattr(Store, "read_arrow_batches", read)
    return counted


def run(tmp_path, mixed, output, **more):
    source = tmp_path / "data"
    if not source.exists():
        write_parts(mixed, source, 6)
    values = {"dataset": {"source": str(source), "targets": ["target", "count"]}, "output": str(tmp_path / output)}
    return featflow.run(values | {"engine": {"kind": "serial"}} | more)


def test_codes_that_fit_are_read_once_for_all_error_bars(tmp_path, mixed, reads, monkeypatch):
    once = run(tmp_path, mixed, "once")
    looks = max(reads.values())
    assert looks <= LOOKS
    reads.clear()
    monkeypatch.setattr(stored_columns, "PIECE_BYTES", 1_000)
    again = run(tmp_path, mixed, "again")
    assert min(reads.values()) > looks
    for name in TABLES:
        assert again.table(name).equals(once.table(name), null_equal=True), name


def test_a_further_shard_costs_few_requests(tmp_path, mixed, monkeypatch):
    write_parts(mixed, tmp_path / "data", SHARDS)
    last = max((tmp_path / "data").iterdir())
    last.rename(tmp_path / last.name)
    run(tmp_path, mixed, "out")
    (tmp_path / last.name).rename(last)

    requests = Counter()
    for name in ("read_arrow", "read_arrow_batches", "names"):
        monkeypatch.setattr(Store, name, counting(requests, name, getattr(Store, name)))
    night = run(tmp_path, mixed, "out")
    assert night.manifest["shards"]["computed"] == 1
    listed = {path: count for (name, path), count in requests.items() if name == "names" and "states/" in path}
    assert {count for path, count in listed.items() if not path.startswith(quarantine_notes.FOLDER)} == {1}
    codes = sum(count for (name, path), count in requests.items() if "/codes/" in path and name != "names")
    shards = open_dataset(DatasetOptions(source=str(tmp_path / "data"))).shards
    before, after = merge_tree.levels(shards[:-1]), merge_tree.levels(shards)
    known = {name for level in before for _, name in level}
    made_of = sum(len(members) for level in after for members, name in level if name not in known)
    blocks = len(list(tmp_path.glob("out/states/codes/*")))
    assert codes <= blocks * (made_of + LOOKS * len(after[1]))


def test_a_night_is_added_to_the_totals_of_pairs(tmp_path):
    random = np.random.default_rng(5)
    table = pa.table({name: random.integers(0, 5, 5_000) for name in ("a", "b", "target", "count")})
    write_parts(table, tmp_path / "data", 5)
    last = max((tmp_path / "data").iterdir())
    last.rename(tmp_path / last.name)
    run(tmp_path, None, "out")
    (tmp_path / last.name).rename(last)
    night = run(tmp_path, None, "out")
    counts = [path.stem for path in tmp_path.glob("out/states/pair_counts/*/*.arrow")]
    assert sum(not name.startswith("merged-") for name in counts) == 5
    assert night.table("interaction").height == 2  # a x b about either target
    shutil.copytree(tmp_path / "out/states/codebook", tmp_path / "whole/states/codebook")
    whole = run(tmp_path, None, "whole", codebook={"version": night.manifest["codebook"]})
    for name in TABLES:
        assert whole.table(name).equals(night.table(name), null_equal=True), name


def test_rows_of_a_sample_are_chosen_by_their_place():
    """Whatever the shards that row groups are made into, the file's folder and its time; each file has its own rows."""
    file = DataFile("/a/x.parquet", 1, "1", place="x.parquet")
    whole = _row_hashes(Shard(file, (0, 2), (5_000, 300), 1))
    parts = [_row_hashes(Shard(file, (group,), (rows,), 1)) for group, rows in ((0, 5_000), (2, 300))]
    assert np.array_equal(np.concatenate(parts), whole)
    copy = replace(file, uri="/b/x.parquet", version="2")
    assert np.array_equal(_row_hashes(Shard(copy, (0, 2), (5_000, 300), 1)), whole)
    other = _row_hashes(Shard(replace(file, place="y.parquet"), (0, 2), (5_000, 300), 1))
    assert len(np.unique([whole, other])) == 10_600
    for hashes in (whole, other):
        assert abs(np.mean(hashes < 2.0**62) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 5_300)


def counting(requests, name, plain):
    def request(self, path, *more):
        requests[name, path] += 1
        return plain(self, path, *more)

    return request


def test_pieces_count_the_bytes_of_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_columns, "PIECE_BYTES", 1_000)
    store = Store(str(tmp_path))
    weight = Column("weight", "float64", Kind.NUMBER)
    spec = CodesSummarizer((), (), weight=weight)
    weights = np.random.default_rng(2).random((20, 50))
    shards = tuple(Shard(DataFile(f"/{number}", 1, ""), (0,), (50,), 1) for number in range(20))
    for shard, some in zip(shards, weights, strict=True):
        state = spec.summarize(pa.record_batch({"weight": some}))
        store.write_arrow(state_store.path(spec, shard.digest), state.to_arrow())
    stream = StoredColumns(store, (spec,), shards)
    pieces = list(stream.pieces(list(spec.fields)))
    assert {piece.nbytes for piece in pieces[:-1]} == {1_200}, "three states: the first two have 800 bytes"
    assert np.array_equal(np.concatenate([piece["weight"] for piece in pieces]), weights.ravel())
    assert spec.row_bytes == 8
