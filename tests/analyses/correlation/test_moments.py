"""Correlations against pandas and scipy, with missing values and offsets."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import f_oneway, pearsonr, spearmanr

from featflow.analyses.correlation.moments import correlation_ratio, pearson, spearman
from featflow.columns.binning import category_coding, number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.sort_keys import sortable_keys
from featflow.summaries import (
    CoMomentsSummarizer,
    GroupedMomentsSummarizer,
    RankCoMomentsSummarizer,
    ValueHistogramsSummarizer,
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
    histograms = ValueHistogramsSummarizer(COLUMNS, cells).summarize(batch).histograms
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


def test_pearson_has_scipys_interval_and_p_value():
    table = frame(0.3, 0.0)
    codes = codings(table)
    spec = CoMomentsSummarizer(codes, codes)
    state = folded(spec, table)
    for (a, b), row in matrix(pearson(spec, state, 0.9)).items():
        if "constant" in (a, b):
            assert [row[name] for name in ("standard_error", "ci_low", "p_value", "error_method")] == [None] * 4
            continue
        both = table[[a, b]].dropna()
        truth = pearsonr(both[a], both[b])
        interval = truth.confidence_interval(0.9)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((interval.low, interval.high), abs=1e-10)
        assert row["p_value"] == pytest.approx(truth.pvalue, abs=1e-10)
        assert row["standard_error"] == pytest.approx((1 - truth.statistic**2) / np.sqrt(len(both) - 3))
        assert row["error_method"] == "fisher_z"
    half = matrix(pearson(spec, state, 0.9, 0.5))["v", "w"]
    whole = matrix(pearson(spec, state, 0.9))["v", "w"]
    assert half["n"] == whole["n"]
    assert half["standard_error"] == pytest.approx(whole["standard_error"] * np.sqrt(2), rel=1e-3)


def test_few_rows_have_no_interval():
    for rows in (0, 1, 2, 3):
        table = frame(0.0, 0.0).iloc[:rows]
        codes = codings(frame(0.0, 0.0))
        spec = CoMomentsSummarizer(codes[:2], codes[:2])
        row = pearson(spec, spec.summarize(pa.RecordBatch.from_pandas(table, preserve_index=False))).to_pylist()[0]
        assert row["ci_low"] is row["standard_error"] is row["error_method"] is None
        assert (row["p_value"] is None) == (rows < 3)


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
        assert row["error_bound"] < {128: 0.15, 1024: 0.02, 65_536: 0.001}[cells] + 2.5 * missing
        assert row["ci_low"] < truth < row["ci_high"]
        assert row["p_value"] >= spearmanr(both[a], both[b]).pvalue * (1 - 1e-6)
    if cells == 65_536 and not missing:
        assert ours["u", "v"]["error_bound"] == 0.0
        assert ours["u", "ties"]["value"] == pytest.approx(spearmanr(table["u"], table["ties"]).statistic, abs=1e-12)


@pytest.mark.parametrize("dropped", ["at random", "the small", "the outer", "the middle"])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_spearmans_bound_holds_however_rows_are_missing(dropped, share):
    """Values that go missing together are the worst: the ranks of the rest are then far from what they were."""
    random = np.random.default_rng(9)
    table = frame(0.0, 0.0)
    rank = table["u"].rank(pct=True).to_numpy()
    order = {
        "at random": random.random(N),
        "the small": rank,
        "the outer": -abs(rank - 0.5),
        "the middle": abs(rank - 0.5),
    }
    gone = order[dropped] <= np.quantile(order[dropped], share)
    table.loc[gone, "v"] = np.nan
    codes = codings(table)
    spec = RankCoMomentsSummarizer(codes, codes)
    present = {name: int(table[name].notna().sum()) for name in NAMES}
    row = matrix(spearman(spec, folded(spec, table), present))["u", "v"]
    both = table[["u", "v"]].dropna()
    truth = spearmanr(both["u"], both["v"]).statistic
    assert abs(row["value"] - truth) <= row["error_bound"] <= 2.5 * share


def test_the_interval_of_spearman_covers():
    random = np.random.default_rng(10)
    rho, covered = 6 / np.pi * np.arcsin(0.6 / 2), 0
    columns = COLUMNS[:2]
    for _ in range(300):
        x = random.normal(size=60)
        table = pd.DataFrame({"u": x, "v": 0.6 * x + 0.8 * random.normal(size=60)})
        batch = pa.RecordBatch.from_pandas(table, preserve_index=False)
        histograms = ValueHistogramsSummarizer(columns, 65_536).summarize(batch).histograms
        codes = tuple(
            number_coding(c, h.cells, h.counts, h.shift, (64, 16)) for c, h in zip(columns, histograms, strict=True)
        )
        spec = RankCoMomentsSummarizer(codes, codes)
        row = spearman(spec, spec.summarize(batch), {"u": 60, "v": 60}).to_pylist()[0]
        covered += row["ci_low"] <= rho <= row["ci_high"]
    assert 0.92 <= covered / 300 <= 0.98


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
    assert rows["g", "u"]["p_value"] == pytest.approx(
        f_oneway(*(values for _, values in kept.groupby("g")["u"])).pvalue, rel=1e-6
    )
    assert rows["g", "constant"]["p_value"] is None
    assert rows["g", "constant"]["value"] is None
