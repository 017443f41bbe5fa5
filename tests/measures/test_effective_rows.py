"""Weighted statistics against numpy's, against rows repeated, and against no weights at all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from featflow.analyses.correlation.counts import cramers_v, pair_information
from featflow.analyses.correlation.moments import correlation_ratio, pearson, spearman
from featflow.analyses.interaction.scores import interactions
from featflow.columns.binning import category_coding, number_coding
from featflow.columns.column import Column, Kind, Role
from featflow.measures.effective_rows import effective_rows, rounded
from featflow.measures.information import expected_mutual_information, mutual_information
from featflow.summaries import (
    CodesSummarizer,
    CoMomentsSummarizer,
    GroupedMomentsSummarizer,
    MomentsSummarizer,
    PairCountsSummarizer,
    RankCoMomentsSummarizer,
    ValueHistogramsSummarizer,
)

N = 5_000
NUMBERS = tuple(Column(name, "float64", Kind.NUMBER) for name in ("u", "v", "far"))
ROLES = {"g": Role.FEATURE, "h": Role.FEATURE, "y": Role.TARGET}
CATEGORIES = tuple(Column(name, "string", Kind.CATEGORY, role=role) for name, role in ROLES.items())
W, K, ONE = (Column(name, "float64", Kind.NUMBER) for name in ("w", "k", "one"))


def frame() -> pd.DataFrame:
    random = np.random.default_rng(8)
    u = random.normal(size=N)
    table = pd.DataFrame({"u": u, "v": 0.5 * u + random.normal(size=N), "far": np.exp(u) + 1e8})
    table = table.mask(random.random(table.shape) < 0.1)
    g = random.integers(0, 6, N)
    y = np.where(random.random(N) < 0.7, g % 2, random.integers(0, 2, N))
    for name, values in {"g": g, "h": random.zipf(2.0, N) % 30, "y": y}.items():
        table[name] = values.astype(str)
    table["h"] = table["h"].mask(random.random(N) < 0.2)
    weights = {"w": random.gamma(0.7, 2.0, N), "k": random.integers(0, 5, N).astype(float), "one": 1.0}
    return table.assign(**weights)


FRAME = frame()
REPEATED = FRAME.loc[FRAME.index.repeat(FRAME["k"].astype(int))].reset_index(drop=True)


def batch_of(table: pd.DataFrame) -> pa.RecordBatch:
    names = [column.name for column in CATEGORIES]
    arrays = {name: pa.array(table[name], from_pandas=True) for name in table}
    return pa.record_batch({n: a.dictionary_encode() if n in names else a for n, a in arrays.items()})


BATCH, REPEATED_BATCH = batch_of(FRAME), batch_of(REPEATED)


def number_codings(cells: int):
    histograms = ValueHistogramsSummarizer(NUMBERS, cells).summarize(BATCH).histograms
    pairs = zip(NUMBERS, histograms, strict=True)
    return tuple(number_coding(c, h.cells, h.counts, h.shift, (64, 16)) for c, h in pairs)


def category_codings():
    counted = [(column, FRAME[column.name].value_counts()) for column in CATEGORIES]
    return tuple(category_coding(column, list(c.index), c.tolist(), 16) for column, c in counted)


CODINGS, LEVELS = number_codings(65_536), category_codings()


def folded(spec, batch=BATCH, cuts=(0, 1, 2_000, 2_003)):
    state = spec.empty()
    for start, stop in pairwise([*cuts, batch.num_rows]):
        state = state.merge(spec.summarize(batch.slice(start, stop - start)))
    return state


def counted(weight, batch=BATCH):
    """The pair counts of all codings, streamed through codes."""
    codes = CodesSummarizer(CODINGS[:1] + LEVELS, LEVELS[2:], weight=weight)
    code_batch = folded(codes, batch).to_arrow().combine_chunks().to_batches()[0]
    spec = PairCountsSummarizer(CODINGS[:1] + LEVELS, CODINGS[:1] + LEVELS, LEVELS[2:], weight)
    return spec, folded(spec, code_batch)


def rows_of(table: pa.Table) -> dict[tuple[str, str], dict]:
    return {(row["feature_a"], row["feature_b"]): row for row in table.to_pylist()}


def assert_tables_alike(ours: pa.Table, theirs: pa.Table):
    assert ours.num_rows > 0
    for field, a, b in zip(ours.schema, ours.columns, theirs.columns, strict=True):
        if pa.types.is_floating(field.type):
            loose = 1e-9 if field.name == "p_value" else 1e-12
            np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=loose, atol=1e-12, err_msg=field.name)
        else:
            assert a.equals(b), field.name


# --- against numpy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_moments_equal_numpy(scale):
    table = FRAME.assign(w=FRAME["w"] * scale)
    state = folded(MomentsSummarizer(NUMBERS, W), batch_of(table))
    assert state.weight_sum == pytest.approx(table["w"].sum())
    assert state.weight_square_sum == pytest.approx((table["w"] ** 2).sum())
    for index, column in enumerate(NUMBERS):
        kept = table[[column.name, "w"]].dropna()
        x, w = (kept[name].to_numpy() for name in kept)
        mean = np.average(x, weights=w)
        weight, squares = state.weight[index], state.weight_square[index]
        assert state.n[index] == len(kept)
        assert state.origin[index] + state.mean[index] == pytest.approx(mean, rel=1e-14)
        assert state.m2[index] / (weight - squares / weight) == pytest.approx(np.cov(x, aweights=w), rel=1e-8)
        for power, m in ((3, state.m3), (4, state.m4)):
            assert m[index] == pytest.approx(w @ (x - mean) ** power, rel=1e-6)


def test_pearson_equals_numpy():
    spec = CoMomentsSummarizer(CODINGS, CODINGS, W)
    rows = rows_of(pearson(spec, folded(spec)))
    for (a, b), row in rows.items():
        kept = FRAME[[a, b, "w"]].dropna()
        values = kept[[a, b]] - (1e8 if "far" in (a, b) else 0.0) * np.array([a == "far", b == "far"])
        covariance = np.cov(values.T, aweights=kept["w"])
        truth = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert row["n"] == len(kept)
        assert row["value"] == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("cells", [128, 1024, 65_536])
@pytest.mark.parametrize("weight", ["w", "k", "one"])
def test_spearman_is_within_its_stated_error_of_weighted_ranks(cells, weight):
    codes = number_codings(cells)
    spec = RankCoMomentsSummarizer(codes, codes, Column(weight, "float64", Kind.NUMBER))
    present = {column.name: int(FRAME[column.name].notna().sum()) for column in NUMBERS}
    for (a, b), row in rows_of(spearman(spec, folded(spec), present)).items():
        kept = FRAME[[a, b, weight]].dropna()
        covariance = np.cov([rankdata(kept[name]) for name in (a, b)], aweights=kept[weight])
        truth = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert abs(row["value"] - truth) <= row["error_bound"] + 1e-12
        assert abs(row["value"] - truth) < 0.03


def test_correlation_ratio_equals_its_definition():
    spec = GroupedMomentsSummarizer(LEVELS[:1], CODINGS, W)
    rows = rows_of(correlation_ratio(spec, folded(spec)))
    for name in ("u", "v"):
        kept = FRAME[["g", name, "w"]].dropna()
        grand = np.average(kept[name], weights=kept["w"])
        groups = [(g["w"].sum(), np.average(g[name], weights=g["w"])) for _, g in kept.groupby("g")]
        between = sum(w * (mean - grand) ** 2 for w, mean in groups)
        assert rows["g", name]["n"] == len(kept)
        whole = (kept["w"] * (kept[name] - grand) ** 2).sum()
        assert rows["g", name]["value"] == pytest.approx(np.sqrt(between / whole), abs=1e-12)


def test_pairs_equal_weighted_tables_one_at_a_time():
    spec, state = counted(W)
    weights = FRAME["w"]
    scale = weights.sum() / (weights**2).sum()
    plug_in = rows_of(pair_information(spec, state))
    for a, b in (("g", "h"), ("g", "y")):
        full = FRAME[[a, b]].fillna("missing")
        table = pd.crosstab(full[a], full[b], weights, aggfunc="sum").fillna(0.0).to_numpy()
        if table.shape[1] > 20:  # of more levels than 16 the rarest are one
            continue
        assert plug_in[a, b]["n"] == N
        assert plug_in[a, b]["value"] == pytest.approx(mutual_information(table), abs=1e-12)
        margins = [
            rounded(m * scale, np.zeros(len(m), int), np.round([m.sum() * scale])) for m in (table.sum(1), table.sum(0))
        ]
        assert plug_in[a, b]["expected"] == pytest.approx(expected_mutual_information(*margins), rel=1e-6)
    row = rows_of(cramers_v(spec, state))["g", "y"]
    table = pd.crosstab(FRAME["g"], FRAME["y"], weights, aggfunc="sum").to_numpy()
    n, (r, k) = round(table.sum() * scale), table.shape
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    phi2 = ((table - expected) ** 2 / expected).sum() / table.sum() - (r - 1) * (k - 1) / (n - 1)
    smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    assert (row["n"], row["value"]) == (N, pytest.approx(np.sqrt(phi2 / smaller), abs=1e-10))


def test_rows_are_counted_beside_weights():
    spec, state = counted(W)
    names = [coding.column.name for coding in spec.left]
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            assert state.weighted.present[i, j] == (FRAME[a].notna() & FRAME[b].notna()).sum()
    classes = state.weighted.classes[0]
    assert classes[classes > 0].tolist() == FRAME["y"].value_counts().sort_index().tolist()
    assert set(interactions(spec, state).column("n").to_pylist()) == {N}


# --- repeated rows, equal weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda weight: MomentsSummarizer(NUMBERS, weight),
        lambda weight: CoMomentsSummarizer(CODINGS, CODINGS, weight),
        lambda weight: RankCoMomentsSummarizer(CODINGS, CODINGS, weight),
        lambda weight: GroupedMomentsSummarizer(LEVELS, CODINGS, weight),
    ],
    ids=["moments", "comoments", "ranks", "grouped"],
)
def test_whole_weights_equal_repeated_rows(make):
    ours, theirs = folded(make(K)), folded(make(None), REPEATED_BATCH)
    for name in ("mean", "m2", "m3", "m4", "left_mean", "right_mean", "left_m2", "right_m2", "c"):
        if hasattr(ours, name):
            shift = ours.origin - theirs.origin if name == "mean" and hasattr(ours, "origin") else 0.0
            truth = getattr(theirs, name)
            np.testing.assert_allclose(getattr(ours, name) + shift, truth, rtol=1e-9, atol=1e-9 * abs(truth).max())
    np.testing.assert_array_equal(ours.weight if hasattr(ours, "origin") else ours.total, theirs.n)


def test_whole_weights_count_and_inform_like_repeated_rows():
    spec, ours = counted(K)
    plain, theirs = counted(None, REPEATED_BATCH)
    for left, right in zip(ours.counts, theirs.counts, strict=True):
        np.testing.assert_array_equal(left, right)
    for table in (pair_information, interactions):
        name = "value" if table is pair_information else "joint_mi"
        np.testing.assert_allclose(
            table(spec, ours).column(name).to_numpy(), table(plain, theirs).column(name).to_numpy(), atol=1e-12
        )


@pytest.mark.parametrize("weight", [1.0, 0.1, 1e12])
def test_equal_weights_give_the_tables_of_none(weight):
    batch = batch_of(FRAME.assign(one=weight))
    present = {column.name: int(FRAME[column.name].notna().sum()) for column in NUMBERS}
    codes = number_codings(128)
    for kind, left, measure in (
        (CoMomentsSummarizer, codes, pearson),
        (RankCoMomentsSummarizer, codes, lambda spec, state: spearman(spec, state, present)),
        (GroupedMomentsSummarizer, LEVELS, correlation_ratio),
    ):
        ours, theirs = kind(left, codes, ONE), kind(left, codes)
        assert_tables_alike(measure(ours, folded(ours, batch)), measure(theirs, folded(theirs, batch)))
    for measure in (pair_information, cramers_v, interactions):
        assert_tables_alike(measure(*counted(ONE, batch)), measure(*counted(None, batch)))


# --- effective rows -------------------------------------------------------------------------------------------------


def test_rounded_margins_add_up_in_every_block():
    spec, state = counted(W)
    effective = effective_rows(state)
    pair = state.counts[0].sum(axis=0)
    starts = np.cumsum([0, *(int(c.groups.max()) + 1 for c in spec.left)])[:-1]
    whole = effective.margins(pair, starts, starts)
    total = effective.total(pair[: starts[1], : starts[1]].sum())
    kish = FRAME["w"].sum() ** 2 / (FRAME["w"] ** 2).sum()
    assert total == round(kish)
    assert (whole == np.round(whole)).all()
    assert (whole[pair == 0] == 0).all()
    sums = np.add.reduceat(np.add.reduceat(whole, starts, axis=0), starts, axis=1)
    np.testing.assert_array_equal(sums, np.full_like(sums, total))
    assert abs(whole - pair * effective.scale).max() < 1.01
