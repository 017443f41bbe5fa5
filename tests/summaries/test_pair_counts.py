from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from featflow.columns.binning import category_coding
from featflow.columns.codebook import pair_cardinality
from featflow.columns.column import Column, Kind
from featflow.summaries import PairCountsSummarizer

LEVELS = {"x": "abcdefghij", "y": "ab", "z": "abc", "t": "no"}


def coding(name, letters):
    frequencies = list(range(99, 99 - len(letters), -1))
    return category_coding(Column(name, "string", Kind.CATEGORY), list(letters), frequencies, 16)


CODINGS = {name: coding(name, letters) for name, letters in LEVELS.items()}
ROWS = 1_000


def batch_of(weighted):
    random = np.random.default_rng(5)
    codes = {f"column:{name}": random.integers(0, len(letters) + 1, ROWS) for name, letters in LEVELS.items()}
    columns = {field: pa.array(values, pa.uint8()) for field, values in codes.items()}
    columns |= {"target:t": columns["column:t"]}
    return pa.record_batch(columns | ({"weight": pa.array(random.exponential(size=ROWS))} if weighted else {}))


def crosstab(frame, a, b, values=None):
    rows, columns = (range(pair_cardinality(CODINGS[name])) for name in (a, b))
    weights = np.ones(len(frame)) if values is None else frame[values]
    table = pd.crosstab(frame[f"column:{a}"], frame[f"column:{b}"], weights, aggfunc="sum")
    return table.reindex(index=rows, columns=columns).fillna(0).to_numpy()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("left", "right"), [("xyz", "xyz"), ("xy", "z"), ("x", "x")])
def test_counts_are_pandas_by_class(left, right, weighted):
    weight = Column("w", "float64", Kind.NUMBER) if weighted else None
    spec = PairCountsSummarizer(*(tuple(CODINGS[n] for n in side) for side in (left, right, "t")), weight)
    batch = batch_of(weighted)
    state, frame = spec.summarize(batch), batch.to_pandas()
    values = "weight" if weighted else None
    for code in range(4):  # missing, two levels, other
        part = frame[frame["target:t"] == code]
        truth = np.block([[crosstab(part, a, b, values) for b in right] for a in left])
        np.testing.assert_allclose(state.counts[0][code], truth, rtol=1e-12)
    if weighted:
        both = [[((frame[f"column:{a}"] > 0) & (frame[f"column:{b}"] > 0)).sum() for b in right] for a in left]
        np.testing.assert_array_equal(state.weighted.present, both)
        np.testing.assert_array_equal(state.weighted.classes[0], np.bincount(frame["target:t"], minlength=4))
    else:
        assert state.counts[0].dtype == np.int64


def test_without_targets_there_is_one_class():
    spec = PairCountsSummarizer((CODINGS["x"],), (CODINGS["y"],), (), Column("w", "float64", Kind.NUMBER))
    state = spec.summarize(batch_of(True))
    assert state.counts[0].shape == (1, 12, 4)
    assert [rows.tolist() for rows in state.weighted.classes] == [[ROWS]]
