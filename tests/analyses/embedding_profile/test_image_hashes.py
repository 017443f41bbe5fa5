"""Hashes of images beside the parts that they lie in, row by row, and what must agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hashed import of_hashes

from featflow.analyses.embedding_profile.image_hashes import HashStream, leading, split_values
from featflow.errors import InfrastructureError


def images(count=40):
    random = np.random.default_rng(8)
    contents = [random.bytes(16) if row % 5 else None for row in range(count)]
    return [(content, row + 1, ["b", None, "a"][row % 3]) for row, content in enumerate(contents)]


def test_rows_keep_their_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.storage.store.ARROW_ROWS", 7)
    expected = [image for image in images() if image[0]]
    context, shards, spec, split = of_hashes(tmp_path, images())
    parts = split_values(context, shards, split)
    assert parts == ("a", "b")
    batches = list(HashStream(context.workspace.store, spec, shards, split, parts).images())
    assert len(batches) > len(shards)
    rows = [row for batch in batches for row in zip(*(each.tolist() for each in batch), strict=True)]
    assert [(content, perceptual_hash, (*parts, None)[place]) for content, perceptual_hash, place in rows] == expected
    for content, *_ in batches:
        assert leading(content).tolist() == [int.from_bytes(each[:8], "big") for each in content.to_pylist()]
    without = list(HashStream(context.workspace.store, spec, shards, None).images())
    assert {place for *_, places in without for place in places.tolist()} == {-1}


def test_numbers_and_switches_may_be_parts(tmp_path):
    context, shards, _, split = of_hashes(tmp_path, images())
    for values, expected in (([3, 1, None, 3], ("1", "3")), ([True, False, None, True], ("false", "true"))):
        path = tmp_path / f"{expected[0]}.parquet"
        pq.write_table(pa.table({"part": values}), path)
        shard = replace(shards[0], file=replace(shards[0].file, uri=str(path)), group_rows=(4,))
        assert split_values(context, [shard], replace(split, type="int64")) == expected


def test_a_state_of_other_rows_is_refused(tmp_path):
    context, shards, spec, _ = of_hashes(tmp_path, images())
    for rows in (shards[0].rows - 1, shards[0].rows + 1):
        wrong = replace(shards[0], group_rows=(rows,))
        stream = HashStream(context.workspace.store, spec, (wrong,), None)
        with pytest.raises(InfrastructureError, match=r"0\.parquet: \d+ images of \d+ rows; run again"):
            list(stream.images())
