from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from featflow.columns.binning import category_coding
from featflow.columns.codebook import pair_cardinality
from featflow.columns.column import Column, Kind
from featflow.summaries import PairCountsByGroupSummarizer

LEVELS = {"x": 250, "y": 2, "z": 5, "t": 2}
CODINGS = {
    name: category_coding(
        Column(name, "string", Kind.CATEGORY), [f"{n:03}" for n in range(k)], list(range(2 * k, k, -1)), 255
    )
    for name, k in LEVELS.items()
}
ROWS, GROUPS = 2_000, 4


def batch():
    random = np.random.default_rng(5)
    fields = {f"column:{name}": random.integers(0, k + 1, ROWS) for name, k in LEVELS.items()}
    fields |= {"target:t": fields["column:t"], "group": random.integers(0, GROUPS, ROWS)}
    columns = {name: pa.array(values, pa.uint8()) for name, values in fields.items()}
    return pa.record_batch(columns | {"weight": pa.array(random.exponential(size=ROWS))})


@pytest.mark.usefixtures("with_and_without_torch")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("weight", [None, Column("weight", "float64", Kind.NUMBER)])
@pytest.mark.parametrize("target", ["t", None])
def test_tables_are_pandas_by_group_and_class(target, weight, threads):
    names = [("x", "y"), ("y", "z"), ("z", "y")]
    pairs = tuple((CODINGS[a], CODINGS[b]) for a, b in names)
    spec = PairCountsByGroupSummarizer(pairs, target and CODINGS[target], GROUPS, weight)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    state = spec.summarize(batch())
    torch.set_num_threads(before)
    assert state.counts.dtype == (np.float64 if weight else np.int64)
    frame = batch().to_pandas()
    for (a, b), table in zip(names, spec.tables(state), strict=True):
        keys = ["group", f"column:{a}", f"column:{b}", "target:t"]
        truth = np.zeros((GROUPS, *(pair_cardinality(CODINGS[name]) for name in (a, b)), 4))
        sums = frame.groupby(keys)["weight"].sum() if weight else frame.value_counts(keys)
        truth[tuple(np.array(sums.index.to_list()).T)] = sums.to_numpy()
        np.testing.assert_allclose(table, truth if target else truth.sum(axis=3, keepdims=True), rtol=1e-12)


def test_no_pairs_have_no_tables():
    state = PairCountsByGroupSummarizer((), None, GROUPS).summarize(batch())
    assert state.rows == ROWS
    assert state.counts.size == 0
