"""The ranking by window against rows: what windows hold, what the past says, what random splits say, and the flag."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from featflow.analyses.ranking.windows import expected_log, rank_in_windows, score_windows, window_starts
from featflow.columns.binning import category_coding, number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.sort_keys import sortable_keys
from featflow.summaries import TimeCountsSummarizer

TIME = Column("t", "int64", Kind.NUMBER)


def coding(name, values):
    if values.dtype.kind == "f":
        cells, counts = np.unique(sortable_keys(values), return_counts=True)
        return number_coding(Column(name, "float64", Kind.NUMBER), cells, counts, 0, (64, 16))
    levels, counts = np.unique(values.astype(str), return_counts=True)
    return category_coding(Column(name, "string", Kind.CATEGORY), levels.tolist(), counts.tolist(), 16)


def scored(values, windows=8):
    """Rows of the table, skills by feature, and warnings, of arrays by name: t, y, and features."""
    columns = {
        name: array if array.dtype.kind == "f" or name == "t" else pa.array(array.astype(str)).dictionary_encode()
        for name, array in values.items()
    }
    features = tuple(coding(name, array) for name, array in values.items() if name not in {"t", "y"})
    spec = TimeCountsSummarizer(features, (coding("y", values["y"]),), TIME, 1.0)
    table, skills, warnings = score_windows(spec, spec.summarize(pa.record_batch(columns)), windows)
    found = {feature: skill for (_, feature), skill in skills.items()}
    return rank_in_windows(table).to_pylist(), found, warnings


def pair_codes(values):
    made = coding("x", values)
    if values.dtype.kind == "f":
        return made.groups[np.searchsorted(made.edges, sortable_keys(values), side="right") + 1]
    return made.groups[1 + np.searchsorted(made.levels.to_pylist(), values.astype(str))]


def gains(x, y, learnt, told):
    """Mean of log p(y | x) / p(y) over the rows told, from the rows learnt, row by row."""
    classes, levels = np.unique(y), len(np.unique(x))
    shares = {c: ((y == c).sum() + 0.5) / (len(y) + len(classes) / 2) for c in classes}
    alpha, found = len(classes) / 2, []
    for level, label in zip(x[told], y[told], strict=True):
        with_level, with_label = x[learnt] == level, y[learnt] == label
        given = ((with_level & with_label).sum() + alpha * shares[label]) / (with_level.sum() + alpha)
        alone = (with_label.sum() + levels * alpha * shares[label]) / (learnt.sum() + levels * alpha)
        found.append(np.log(given / alone))
    return np.mean(found)


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(3)
    n = 900
    y = random.integers(0, 3, n)
    values = {"t": random.integers(0, 23, n), "y": y, "x": y + random.normal(0, 2, n)}
    return values | {"city": random.integers(0, 30, n), "twin": np.where(random.random(n) < 0.3, y, 0)}


def test_windows_hold_about_as_many_rows_and_all_of_them(rows):
    table, _, _ = scored(rows, 5)
    windows = sorted({(row["window"], row["start"], row["end"], row["n"]) for row in table})
    assert [window for window, *_ in windows] == [1, 2, 3, 4, 5]
    for (_, start, end, n), after in zip(windows, [*windows[1:], None], strict=True):
        assert n == ((rows["t"] >= start) & (rows["t"] < end)).sum()
        assert abs(n - 180) <= 60
        assert after is None or end == after[1]
    assert sum(n for *_, n in windows) == 900


def test_windows_are_no_more_than_units_with_rows():
    assert window_starts(np.array([5, 5, 5]), 8).tolist() == [0, 1, 2]
    assert window_starts(np.array([1, 98, 1]), 2).tolist() == [0, 1]
    values = {"t": np.zeros(50, np.int64), "y": np.arange(50) % 2, "x": np.arange(50) % 5}
    table, skills, warnings = scored(values)
    assert (table, skills) == ([], {})
    assert "1 unit(s) of event time" in warnings[0]


def test_information_of_a_window_is_that_of_its_rows(rows):
    table, _, _ = scored(rows, 5)
    for row in table:
        kept = (rows["t"] >= row["start"]) & (rows["t"] < row["end"])
        joint = contingency_matrix(pair_codes(rows[row["feature"]])[kept], rows["y"][kept])
        assert row["mi"] == pytest.approx(mutual_info_score(None, None, contingency=joint), abs=1e-12)
        assert row["expected_mi"] == pytest.approx(expected_mutual_information(joint, kept.sum()), abs=1e-9)
        assert row["corrected_mi"] == row["mi"] - row["expected_mi"]
    for window in range(1, 6):
        of_window = [row for row in table if row["window"] == window]
        assert [row["rank"] for row in of_window] == [1, 2, 3]
        assert [-row["corrected_mi"] for row in of_window] == sorted(-row["corrected_mi"] for row in of_window)


def test_forward_information_is_what_earlier_rows_say_of_later_ones(rows):
    table, skills, _ = scored(rows, 5)
    for name in ("x", "city", "twin"):
        x, parts = pair_codes(rows[name]), []
        for row in (row for row in table if row["feature"] == name):
            if row["window"] == 1:
                assert row["forward_information"] is None
                continue
            told = (rows["t"] >= row["start"]) & (rows["t"] < row["end"])
            truth = gains(x, rows["y"], rows["t"] < row["start"], told)
            assert row["forward_information"] == pytest.approx(truth, abs=1e-12)
            parts.append((row["n"], truth))
        n, of_window = np.array(parts).T
        assert skills[name].forward == pytest.approx((n * of_window).sum() / n.sum(), abs=1e-12)


def test_random_split_information_is_the_mean_over_random_splits():
    random = np.random.default_rng(8)
    n = 120
    y = random.integers(0, 2, n)
    values = {"t": np.arange(n) // 20, "y": y, "x": np.where(random.random(n) < 0.4, y, random.integers(0, 4, n))}
    _, skills, _ = scored(values, 6)
    means = []
    for _ in range(150):
        parts = []
        for window in range(1, 6):
            learnt = random.random(n) < window / 6
            parts.append(gains(values["x"], y, learnt, ~learnt) if not learnt.all() else 0.0)
        means.append(np.mean(parts))
    assert abs(skills["x"].random - np.mean(means)) < 3.5 * np.std(means) / np.sqrt(len(means))


@pytest.mark.parametrize("share", [0.01, 0.125, 0.5, 0.9])
@pytest.mark.parametrize("offset", [0.02, 0.5, 8.0])
def test_expected_logarithms_are_those_of_a_binomial(share, offset):
    trials = np.unique(np.geomspace(1, 4000, 40).astype(int)) - 1
    truth = [stats.binom(n, share).pmf(np.arange(n + 1)) @ np.log(np.arange(n + 1) + offset) for n in trials]
    found = expected_log(trials[:, None], share, np.array([offset]))[:, 0]
    near = trials * share < 32
    np.testing.assert_allclose(found[near], np.array(truth)[near], rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[~near], np.array(truth)[~near], rtol=0, atol=1e-4)


def test_what_cannot_vary_says_nothing_and_what_is_the_target_says_all():
    n = 3_000
    y = np.arange(n) % 2
    values = {"t": np.arange(n) // 7 % 50, "y": y, "same": np.zeros(n, int), "copy": y, "other": 1 - y}
    table, skills, _ = scored(values)
    assert [row["corrected_mi"] for row in table if row["feature"] == "same"] == [0.0] * 8
    assert skills["same"].forward == pytest.approx(0, abs=1e-12)
    for name in ("copy", "other"):
        assert skills[name].forward == pytest.approx(np.log(2), abs=0.01)
        assert skills[name].random == pytest.approx(skills[name].forward, abs=1e-3)
    assert not any(skill.poor for skill in skills.values())
    table, skills, _ = scored(values | {"y": np.zeros(n, int)})
    assert {row["mi"] for row in table} == {0.0}
    assert {(round(skill.forward, 12), skill.poor) for skill in skills.values()} == {(0.0, False)}


def test_a_target_without_dated_rows_is_told():
    spec = TimeCountsSummarizer((coding("x", np.arange(4) % 2),), (coding("y", np.arange(4) // 2),), TIME, 1.0)
    x, y = (pa.array(values).dictionary_encode() for values in (["0", "1"] * 2, ["0", "1", None, None]))
    batch = pa.record_batch({"x": x, "y": y, "t": pa.array([None, None, 1, 2], pa.int64())})
    table, skills, warnings = score_windows(spec, spec.summarize(batch), 8)
    assert (table.num_rows, skills) == (0, {})
    assert "target 'y'" in warnings[0]


# --- the flag -------------------------------------------------------------------------------------------------------


def broken(n, until, random, labels=2):
    """x2 is the target up to a time and noise after it; x1 says a little, always."""
    t = np.sort(random.integers(0, 90, n))
    y = random.integers(0, labels, n)
    x2 = np.where(np.arange(n) < until * n, y, random.integers(0, labels, n)) + random.normal(0, 0.01, n)
    x1 = np.where(random.random(n) < 0.4, y, random.integers(0, labels, n))
    noise = {f"noise_{i}": random.normal(size=n) for i in range(3)}
    return {"t": t, "y": y, "x1": x1, "x2": x2} | noise


@pytest.mark.parametrize("until", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(("n", "labels"), [(3_000, 2), (20_000, 5)])
def test_what_breaks_at_a_time_is_flagged_and_in_random_order_it_is_not(until, n, labels):
    random = np.random.default_rng(int(100 * until) + n)
    values = broken(n, until, random, labels)
    _, skills, _ = scored(values)
    assert [name for name, skill in skills.items() if skill.poor] == ["x2"]
    assert skills["x1"].forward == pytest.approx(skills["x1"].random, rel=0.5)
    if until > 0.5:
        assert skills["x2"].random == max(skill.random for skill in skills.values())
    _, mixed, _ = scored(values | {"t": random.permutation(values["t"])})
    assert not any(skill.poor for skill in mixed.values())
    assert mixed["x2"].forward == pytest.approx(mixed["x2"].random, rel=0.2)


@pytest.mark.parametrize(("n", "classes"), [(100, 16), (400, 2), (400, 16), (5_000, 2), (5_000, 16)])
def test_what_holds_is_not_flagged_however_little_it_says(n, classes):
    random = np.random.default_rng(n + classes)
    base = random.normal(size=n)
    strength = np.repeat([0.0, 0.05, 0.1, 0.2, 0.4, 0.8], 30)
    x = strength[:, None] * base + random.normal(size=(len(strength), n))
    y = np.argsort(np.argsort(base)) * classes // n
    _, skills, _ = scored({"t": random.integers(0, 60, n), "y": y} | {f"x{i}": row for i, row in enumerate(x)})
    assert sum(skill.poor for skill in skills.values()) == 0
    forward, at_random = np.array([(skill.forward, skill.random) for skill in skills.values()]).T
    for each in np.unique(strength):
        alike = strength == each
        error = forward[alike].std() / np.sqrt(alike.sum())
        assert forward[alike].mean() == pytest.approx(at_random[alike].mean(), abs=4 * error + 0.01)


def test_rows_that_share_a_unit_count_as_few():
    """Values and targets of whole days, unlike from day to day: chance that looks like a broken relation."""
    random = np.random.default_rng(6)
    n, days, flagged = 6_000, 60, 0
    t = random.integers(0, days, n)
    y = (random.random(n) < random.beta(2, 2, days)[t]).astype(int)
    features = {f"x{i}": random.normal(size=days)[t] + 0.3 * random.normal(size=n) for i in range(60)}
    _, skills, _ = scored({"t": t, "y": y} | features)
    flagged = sum(skill.poor for skill in skills.values())
    assert flagged <= 2
