"""Codes of many small shards: read once for all looks at them, and counted as if each look had read them."""

from __future__ import annotations

from collections import Counter

import pytest
from datasets import write_parts

import featflow
from featflow import streams
from featflow.storage import Store

TABLES = ("ranking", "correlation", "interaction")


@pytest.fixture
def reads(monkeypatch):
    """How often the codes of each shard are read."""
    counted, plain = Counter(), Store.read_arrow_batches

    def read(self, path, columns):
        counted[path] += 1
        return plain(self, path, columns)

    monkeypatch.setattr(Store, "read_arrow_batches", read)
    return counted


def run(tmp_path, mixed, output):
    source = tmp_path / "data"
    if not source.exists():
        write_parts(mixed, source, 6)
    values = {"dataset": {"source": str(source), "targets": ["target", "count"]}, "output": str(tmp_path / output)}
    return featflow.run(values | {"engine": {"kind": "serial"}})


def test_codes_that_fit_are_read_once_for_all_error_bars(tmp_path, mixed, reads, monkeypatch):
    once = run(tmp_path, mixed, "once")
    looks = max(reads.values())
    assert looks <= 2  # to count all pairs, and to look again at those that tables keep
    reads.clear()
    monkeypatch.setattr(streams, "PIECE_BYTES", 1_000)
    again = run(tmp_path, mixed, "again")
    assert min(reads.values()) > looks
    for name in TABLES:
        assert again.table(name).equals(once.table(name), null_equal=True), name
