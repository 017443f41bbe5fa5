"""Moments against scipy and exact fractions, at offsets that cost naive sums their digits."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import kurtosis, skew

from featflow.columns.column import Column, Kind
from featflow.summaries import MomentsSummarizer


def state_of(values, kind="float64", cuts=(1, 700)):
    spec = MomentsSummarizer((Column("x", kind, Kind.NUMBER),))
    batch = pa.record_batch({"x": values})
    state = spec.empty()
    edges = [0, *cuts, batch.num_rows]
    for start, stop in pairwise(edges):
        state = state.merge(spec.summarize(batch.slice(start, stop - start)))
    return state


@pytest.mark.parametrize("offset", [0.0, 1e8, -1e12])
def test_against_scipy_at_an_offset(offset):
    x = np.round(np.random.default_rng(0).gamma(2, 100, 5_000)) / 4  # exact at any of these offsets
    state = state_of(pa.array(x + offset))
    n, m2 = state.n[0], state.m2[0]
    assert state.origin[0] + state.mean[0] - offset == pytest.approx(x.mean(), abs=np.spacing(abs(offset) + 100))
    assert m2 / n == pytest.approx(x.var(), rel=1e-12)
    assert state.m3[0] / n / (m2 / n) ** 1.5 == pytest.approx(skew(x), rel=1e-10)
    assert state.m4[0] / n / (m2 / n) ** 2 - 3 == pytest.approx(kurtosis(x), rel=1e-9)


def test_integers_beyond_2_to_the_53_keep_their_spread():
    x = (1 << 60) + np.random.default_rng(1).permutation(2_000)
    state = state_of(pa.array(x))
    mean = Fraction(sum(int(v) for v in x), len(x))
    exact = float(sum((int(v) - mean) ** 2 for v in x))
    assert state.m2[0] == pytest.approx(exact, rel=1e-12)
    assert abs(state.m3[0] / 2_000 / (state.m2[0] / 2_000) ** 1.5) < 1e-9  # a permutation of a range is symmetric


def test_opposite_ends_of_64_bits_do_not_wrap_around():
    state = state_of(pa.array([-(2**63), 2**63 - 1, 0], pa.int64()), cuts=(1,))
    assert state.m2[0] == pytest.approx(2 * 2.0**126, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ([None, None], (2, 0, 0)),
        ([float("nan"), 1.0], (0, 1, 1)),
        ([float("inf"), -float("inf"), 2.0, None], (1, 2, 1)),
        ([], (0, 0, 0)),
    ],
)
def test_what_is_no_number_is_counted(values, counts):
    state = state_of(pa.array(values, pa.float64()), cuts=())
    assert (state.missing[0], state.nonfinite[0], state.n[0]) == counts
    assert np.isfinite([state.mean[0], state.m2[0]]).all()
