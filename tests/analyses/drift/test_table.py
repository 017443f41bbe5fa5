"""Drift of one column from its states, against raw rows; what becomes an alert."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon

from featflow.analyses.change import ColumnState
from featflow.analyses.drift.table import Limits, drift, streaks
from featflow.analyses.options import DriftThresholds
from featflow.analyses.profile.drift import column_drift
from featflow.columns.column import Column, Kind, Role
from featflow.columns.encoding import encode
from featflow.columns.options import CodebookOptions
from featflow.measures.codebook import ColumnStates, build_codebook
from featflow.summaries import LevelsSummarizer, MomentsSummarizer, ValueHistogramsSummarizer

NUMBER = Column("x", "float64", Kind.NUMBER)
CATEGORY = Column("c", "string", Kind.CATEGORY)
LIMITS = Limits(DriftThresholds().model_dump())


def states(array, column, cells=65_536, levels=4_096):
    """The whole states of a column, and its rows as reading gives them."""
    array = array if column.is_numeric else pa.array(array, pa.string()).dictionary_encode()
    batch = pa.record_batch({column.name: array})
    numbers, categories = ((column,), ()) if column.is_numeric else ((), (column,))
    return batch, ColumnStates(
        batch.num_rows,
        numbers,
        categories,
        MomentsSummarizer(numbers).summarize(batch),
        ValueHistogramsSummarizer(numbers, cells).summarize(batch).histograms,
        LevelsSummarizer(categories, levels).summarize(batch).columns,
    )


def column_state(array, column, **more):
    _, whole = states(array, column, **more)
    if not column.is_numeric:
        return ColumnState(column, whole.rows, whole.levels[0].missing, whole.levels[0])
    moments = whole.moments
    n = int(moments.n[0])
    std = float(np.sqrt(moments.m2[0] / max(n - 1, 1)))
    extremes = float(moments.low[0]), float(moments.high[0])
    return ColumnState(column, whole.rows, whole.rows - n, whole.histograms[0], std, *extremes)


def coding_of(array, column, **more):
    return build_codebook((column,), states(array, column, **more)[1], CodebookOptions()).codings[0]


def compared(before, now, column, frozen=None, **more):
    """The rows by metric, on the bins of frozen data, and the counts of raw rows by pair code."""
    coding = coding_of(before if frozen is None else frozen, column, **more)
    rows = column_drift(column_state(before, column, **more), column_state(now, column, **more), coding)
    counts = []
    for array in (before, now):
        codes = coding.groups[encode(states(array, column)[0].column(0), coding)]
        counts.append(np.bincount(codes, minlength=int(coding.groups.max()) + 1))
    return {row["metric"]: row for row in rows}, counts


def assert_binned(rows, counts):
    smoothed = [(each + 0.5)[counts[0] + counts[1] > 0] for each in counts]
    p, q = (each / each.sum() for each in smoothed)
    assert rows["psi"]["value"] == pytest.approx(np.sum((p - q) * np.log(p / q)), rel=1e-9)
    assert rows["jensen_shannon"]["value"] == pytest.approx(jensenshannon(*counts) ** 2, rel=1e-9)


def test_numbers_are_binned_as_encoding_does_with_missing_as_a_bin():
    random = np.random.default_rng(1)
    before, now = (
        pa.array(random.normal(shift, 1, 5_000), mask=random.random(5_000) < share)
        for shift, share in ((0, 0.02), (0.5, 0.2))
    )
    rows, counts = compared(before, now, NUMBER)
    assert len(counts[0]) == 17
    assert_binned(rows, counts)
    assert rows["missing_rate"]["value"] == pytest.approx(now.null_count / 5_000 - before.null_count / 5_000)
    assert rows["missing_rate"]["p_value"] < 1e-50


def test_defaults_are_what_a_normal_gives_whose_mean_moves_by_045():
    random = np.random.default_rng(6)
    x = random.normal(size=400_000)
    rows, _ = compared(pa.array(x), pa.array(x + 0.45), NUMBER)
    thresholds = DriftThresholds().model_dump()
    for metric in ("psi", "jensen_shannon", "kolmogorov_smirnov", "wasserstein"):
        assert rows[metric]["value"] == pytest.approx(thresholds[metric], rel=0.07), metric


@pytest.mark.parametrize("levels", [6, 400])
def test_categories_are_binned_as_encoding_does(levels):
    random = np.random.default_rng(2)
    names = np.array([f"level {index}" for index in range(levels)])
    weights = 1 / np.arange(1, levels + 1)
    before = random.choice(names, 6_000, p=weights / weights.sum())
    now = random.choice(names[::-1], 6_000, p=weights / weights.sum())
    before, now = (pa.array(each, mask=random.random(6_000) < 0.05) for each in (before, now))
    rows, counts = compared(before, now, CATEGORY)
    assert_binned(rows, counts)
    shares = [
        {value: values.count(value) / 6_000 for value in {*values}} for values in (before.to_pylist(), now.to_pylist())
    ]
    largest = max(abs(shares[0].get(value, 0) - shares[1].get(value, 0)) for value in {*shares[0], *shares[1]})
    assert rows["l_infinity"]["value"] == pytest.approx(largest)


def test_categories_new_and_gone():
    before, now = ["a"] * 500 + ["b"] * 400 + ["c"] * 100, ["a"] * 500 + ["b"] * 200 + ["d"] * 300
    rows, _ = compared(before, now, CATEGORY)
    assert rows["new_categories"]["current_value"] == pytest.approx(0.3)
    assert rows["vanished_categories"]["current_value"] == pytest.approx(0.1)
    assert rows["new_categories"]["value"] == pytest.approx(0.3, abs=1e-9)
    assert rows["new_categories"]["p_value"] < 1e-6


@pytest.mark.parametrize("limits", [(64, 64), (4_096, 64), (64, 4_096)])
def test_categories_beyond_the_limit_are_compared_by_bucket(limits):
    """Either the codebook's data or a run's may have too many levels; frequent ones stay apart in all cases."""
    random = np.random.default_rng(4)
    weights = 1 / np.arange(1, 1_001)
    before, now = (
        [f"v{value}" for value in random.choice(1_000, 20_000, p=shares / shares.sum())]
        for shares in (weights, np.roll(weights, 3))
    )
    of_codebook, of_run = limits
    coding = coding_of(before, CATEGORY, levels=of_codebook)
    first, second = (column_state(each, CATEGORY, levels=of_run) for each in (before, now))
    rows = {row["metric"]: row for row in column_drift(first, second, coding)}
    exact, _ = compared(before, now, CATEGORY)
    assert rows["psi"]["value"] == pytest.approx(exact["psi"]["value"], rel=0.02)
    assert rows["l_infinity"]["value"] == pytest.approx(exact["l_infinity"]["value"], abs=0.002)
    assert ("new_categories" in rows) == (of_run == 4_096)
    assert all(row["value"] == 0 for row in column_drift(first, first, coding))


def test_a_run_and_itself():
    for array, column in (([1.5, 2.0, None, np.nan, np.inf, 7.0], NUMBER), (["a", None, "b", "a"], CATEGORY)):
        values = pa.array(array, pa.float64()) if column is NUMBER else array
        rows, _ = compared(values, values, column)
        assert {row["value"] for row in rows.values()} == {0.0}
        table = drift(rows.values(), ("a", "b"), LIMITS, {})
        assert not any(table.column("alert").to_pylist())


@pytest.mark.parametrize("values", [[None, None], [3.0, 3.0], [np.inf]])
def test_columns_without_spread_are_compared(values):
    before, now = pa.array(values, pa.float64()), pa.array([1.0, 2.0, 4.0])
    for pair in ((before, now), (now, before)):
        rows, _ = compared(*pair, NUMBER)
        assert np.isfinite([rows["psi"]["value"], rows["missing_rate"]["value"]]).all()
        drift(rows.values(), ("a", "b"), LIMITS, {})


def test_texts_and_times_have_a_missing_rate_alone():
    text, time = Column("t", "string", Kind.TEXT), Column("when", "int64", Kind.TIME)
    said = column_drift(column_state(["a", None], text), column_state(["b", "c"], text), None)
    assert [row["metric"] for row in said] == ["missing_rate"]
    before, now = pa.array([1, 2, 3]), pa.array([7, 8, None])
    rows, _ = compared(before, now, time)
    assert list(rows) == ["missing_rate"]
    event = Column("n", "int64", Kind.NUMBER, role=Role.EVENT_TIME)
    assert list(compared(before, now, event)[0]) == ["missing_rate"]


# --- alerts ---------------------------------------------------------------------------------------------------------


def row(value, p_value, feature="x", metric="psi", **more):
    return {"feature": feature, "metric": metric, "value": value, "p_value": p_value} | more


def alerts(rows, limits=LIMITS, before=None):
    return drift(rows, ("reference", "current"), limits, before or {}).column("alert").to_pylist()


def test_an_alert_takes_an_effect_and_significance():
    cases = [row(0.3, 1e-6), row(0.1, 1e-6, "y"), row(0.3, 0.5, "z"), row(float("nan"), float("nan"), "v")]
    assert alerts(cases) == [True, False, False, False]
    assert alerts([row(-0.3, 1e-6, metric="missing_rate")]) == [True]
    assert alerts([row(9.0, 1e-6, metric="rank")]) == [False]  # has no threshold by default
    assert alerts([]) == []


def test_q_values_are_of_one_metric_and_target():
    many = [row(0.3, 0.004, f"x{index}") for index in range(10)] + [row(0.0, 1.0, f"z{index}") for index in range(90)]
    apart = [row(0.3, 0.004, metric="kolmogorov_smirnov"), row(0.3, 0.004, metric="information", target="y")]
    found = drift([*many, *apart], ("a", "b"), LIMITS, {})
    q_values = found.column("q_value").to_pylist()
    assert q_values[0] == pytest.approx(0.04)
    assert q_values[-2:] == [0.004, 0.004]
    assert found.column("alert").to_pylist() == [False] * 100 + [True, True]


def test_alerts_wait_until_they_persist():
    limits, table = Limits(LIMITS.thresholds, persist=3), None
    found = []
    for beyond in (True, True, False, True, True, True, True):
        before = streaks(table, "reference") if table else {}
        table = drift([row(0.3 if beyond else 0.0, 1e-6)], ("reference", "current"), limits, before)
        found.append((table.column("runs_beyond")[0].as_py(), table.column("alert")[0].as_py()))
    assert [count for count, _ in found] == [1, 2, 0, 1, 2, 3, 4]
    assert [alert for _, alert in found] == [False] * 5 + [True, True]
    assert streaks(table, "another run") == {}
