"""Folds of shards: each shard in one, none empty, and the same night after night."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.analyses.embedding_profile.analysis import FOLDS, folds_of
from featflow.dataset.dataset import Shard
from featflow.dataset.files import DataFile


def shards(count):
    return [Shard(DataFile(f"/data/{i}", 1, "", place=str(i)), (0,), (1,), 1) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9, 40, 300])
def test_every_shard_is_in_one_fold_and_no_fold_is_empty(count):
    folds = folds_of(shards(count))
    assert len(folds) == min(FOLDS, count)
    assert all(folds)
    assert sorted(shard.place for fold in folds for shard in fold) == sorted(shard.place for shard in shards(count))


def test_a_shard_keeps_its_fold_whatever_comes_or_goes():
    before, after = (folds_of(some) for some in (shards(300), shards(320)[10:]))
    kept = set(shards(300)[10:])
    assert [set(fold) & kept for fold in before] == [set(fold) & kept for fold in after]
    assert np.ptp([len(fold) for fold in before]) < 40
