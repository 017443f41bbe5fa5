"""Correlations against pandas and scipy, with missing values and offsets."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from featflow.binning import category_coding, number_coding, sortable_keys
from featflow.columns import Column, Kind
from featflow.measures.correlation import correlation_ratio, pearson, spearman
from featflow.summaries import (
    CoMomentsSummarizer,
    GroupedMomentsSummarizer,
    QuantilesSummarizer,
    RankCoMomentsSummarizer,
)

N = 20_000
NAMES = ("u", "v", "w", "ties", "constant")
COLUMNS = tuple(Column(name, "float64", Kind.NUMBER) for name in NAMES)


def frame(missing: float, offset: float) -> pd.DataFrame:
    random = np.random.default_rng(5)
    u = random.normal(size=N)
    values = {
        "u": u + offset,
        "v": 0.7 * u + random.normal(size=N) - offset,
        "w": np.exp(u) + random.exponential(size=N) + offset,
        "ties": np.round(u * 2) + offset,
        "constant": np.full(N, offset + 0.1),
    }
    table = pd.DataFrame(values)
    return table.mask(random.random(table.shape) < missing)


def folded(spec, table, cuts=(0, 1, 7_000, 7_001)):
    batch = pa.RecordBatch.from_pandas(table, preserve_index=False)
    edges = [*cuts, N]
    state = spec.empty()
    for start, stop in pairwise(edges):
        state = state.merge(spec.summarize(batch.slice(start, stop - start)))
    return state


def matrix(table: pa.Table) -> dict[tuple[str, str], dict]:
    return {(row["feature_a"], row["feature_b"]): row for row in table.to_pylist()}


def codings(table: pd.DataFrame, cells: int = 65_536):
    batch = pa.RecordBatch.from_pandas(table, preserve_index=False)
    histograms = QuantilesSummarizer(COLUMNS, cells).summarize(batch).histograms
    return tuple(
        number_coding(c, h.cells, h.counts, h.shift, (64, 16)) for c, h in zip(COLUMNS, histograms, strict=True)
    )


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_pearson_equals_pandas(missing, offset):
    """At an offset of 1e8 pandas is off by 1e-9 (see the next test); subtracting the offset first is exact."""
    table = frame(missing, offset)
    codes = codings(table)
    spec = CoMomentsSummarizer(codes, codes)
    ours = matrix(pearson(spec, folded(spec, table)))
    theirs = (table - pd.Series({"u": offset, "v": -offset, "w": offset, "ties": offset, "constant": offset})).corr()
    for (a, b), row in ours.items():
        assert row["n"] == int((table[a].notna() & table[b].notna()).sum())
        if "constant" in (a, b):
            assert row["value"] is None
        else:
            assert row["value"] == pytest.approx(theirs.loc[a, b], abs=1e-12)
    assert len(ours) == 10


def test_pearson_at_an_offset_equals_exact_fractions():
    table = frame(0.3, 1e8)
    codes = codings(table)
    spec = CoMomentsSummarizer(codes, codes)
    ours = matrix(pearson(spec, folded(spec, table)))
    for a, b in (("u", "v"), ("v", "w"), ("u", "ties")):
        both = table[[a, b]].dropna()
        x, y = ([Fraction(float(value)) for value in both[name]] for name in (a, b))
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        xy, xx, yy = (
            float(sum((p - m) * (q - k) for p, q in zip(left, right, strict=True)))
            for left, right, m, k in ((x, y, mean_x, mean_y), (x, x, mean_x, mean_x), (y, y, mean_y, mean_y))
        )
        assert ours[a, b]["value"] == pytest.approx(xy / np.sqrt(xx * yy), abs=1e-13)


def test_pearson_of_blocks_equals_the_whole():
    table = frame(0.2, 0.0)
    codes = codings(table)
    whole, cross = CoMomentsSummarizer(codes, codes), CoMomentsSummarizer(codes[:2], codes[2:])
    ours = matrix(pearson(cross, folded(cross, table)))
    theirs = matrix(pearson(whole, folded(whole, table)))
    assert len(ours) == 6
    for pair, row in ours.items():
        assert row["n"] == theirs[pair]["n"]
        assert row["value"] == (None if "constant" in pair else pytest.approx(theirs[pair]["value"], abs=1e-13))


@pytest.mark.parametrize("cells", [128, 1024, 65_536])
@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_spearman_is_within_its_stated_error_of_scipy(cells, missing):
    table = frame(missing, 0.0)
    codes = codings(table, cells)
    spec = RankCoMomentsSummarizer(codes, codes)
    present = {name: int(table[name].notna().sum()) for name in NAMES}
    ours = matrix(spearman(spec, folded(spec, table), present))
    for (a, b), row in ours.items():
        if "constant" in (a, b):
            assert row["value"] is None
            continue
        both = table[[a, b]].dropna()
        truth = spearmanr(both[a], both[b]).statistic
        assert abs(row["value"] - truth) <= row["error_bound"] + 1e-12
        assert row["error_bound"] < {128: 0.3, 1024: 0.1, 65_536: 0.1}[cells] + 10 * missing
    if cells == 65_536 and not missing:
        assert ours["u", "v"]["error_bound"] == 0.0
        assert ours["u", "ties"]["value"] == pytest.approx(spearmanr(table["u"], table["ties"]).statistic, abs=1e-12)


def test_correlation_ratio_equals_its_definition():
    random = np.random.default_rng(6)
    groups = random.integers(0, 5, N)
    values = groups * 0.5 + random.normal(size=N) + 1e6
    table = pd.DataFrame({"u": np.where(random.random(N) < 0.1, np.nan, values), "constant": 3.7})
    names = groups.astype(str)
    levels, counts = np.unique(names, return_counts=True)
    coding = category_coding(Column("g", "string", Kind.CATEGORY), levels.tolist(), counts.tolist(), 16)
    numbers = tuple(
        number_coding(column, sortable_keys(table[column.name].dropna().to_numpy()[:1]), np.ones(1, int), 0, (64, 16))
        for column in (COLUMNS[0], COLUMNS[4])
    )
    spec = GroupedMomentsSummarizer((coding,), numbers)
    mask = random.random(N) < 0.2
    batch = pa.RecordBatch.from_pandas(table, preserve_index=False).append_column(
        "g", pa.array(names, mask=mask).dictionary_encode()
    )
    state = spec.summarize(batch.slice(0, 123)).merge(spec.summarize(batch.slice(123)))
    rows = matrix(correlation_ratio(spec, state))
    kept = table.assign(g=names)[~mask].dropna()
    between = kept.groupby("g")["u"].agg(["mean", "size"])
    ssb = (between["size"] * (between["mean"] - kept["u"].mean()) ** 2).sum()
    truth = np.sqrt(ssb / ((kept["u"] - kept["u"].mean()) ** 2).sum())
    assert rows["g", "u"]["value"] == pytest.approx(truth, abs=1e-9)
    assert rows["g", "u"]["n"] == len(kept)
    assert rows["g", "constant"]["value"] is None
