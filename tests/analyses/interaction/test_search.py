"""The search for interactions finds what looking at every pair on every row finds, and says what it looked at."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from datasets import write_parts

import featflow
from featflow.analyses.interaction.screening import limits, scores

ROWS, PLANTED = 14_000, 3
NUMBERS = ("joint_mi", "expected_mi", "corrected_joint_mi", "synergy", "standard_error", "ci_low", "ci_high", "p_value")


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(5)
    x = random.normal(size=(24, ROWS))
    odds = sum(0.9 * np.sign(x[2 * k] * x[2 * k + 1]) for k in range(PLANTED))
    y = (odds + random.logistic(size=ROWS) > 0).astype(int)
    numbers = {f"x{i:02d}": np.where(random.random(ROWS) < 0.02, np.nan, values) for i, values in enumerate(x)}
    words = {f"w{i}": random.integers(0, 3 + i, ROWS).astype(str) for i in range(4)}
    target = pa.array(y.astype(str), mask=random.random(ROWS) < 0.01)
    more = {"y": target, "z": x[20] * x[21] + random.normal(size=ROWS), "weight": random.integers(1, 4, ROWS)}
    return pa.table(numbers | words | more)


def run(table, folder, search, kind="serial", **dataset):
    dataset = {"source": write_parts(table, folder / "data", 2), "targets": ["y", "z"], "exclude": ["weight"]} | dataset
    analyses = {"correlation": False, "ranking": False, "interaction": {"search": search, "keep": 10}}
    return featflow.run(
        {"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": kind}, "analyses": analyses}
    )


def same_numbers(ours, theirs, target):
    columns = ["feature_a", "feature_b", "n", "rows_used", *NUMBERS]
    ours, theirs = (t.filter(t["target"] == target).select(columns) for t in (ours, theirs))
    both = ours.join(theirs, on=["feature_a", "feature_b"], suffix="_all")
    assert len(both) >= PLANTED
    for name in columns[2:]:
        np.testing.assert_allclose(both[name], both[f"{name}_all"], rtol=1e-7, atol=1e-9, err_msg=name)
    return both


@pytest.mark.parametrize("kind", ["serial", "ray"])
def test_it_finds_the_planted_and_says_the_same_of_them(kind, table, tmp_path, request):
    if kind == "ray":
        request.getfixturevalue("local_ray")
    every = run(table, tmp_path / "all", "all").table("interaction")
    done = run(table, tmp_path / "sample", "sample", kind)
    found = done.table("interaction")
    for target, planted in (("y", [(f"x{2 * k:02d}", f"x{2 * k + 1:02d}") for k in range(PLANTED)]), ("z", ["x20x21"])):
        best = found.filter(found["target"] == target).head(len(planted))
        names = list(zip(best["feature_a"], best["feature_b"], strict=True))
        assert set(names) == (set(planted) if target == "y" else {("x20", "x21")})
        assert set(best["rows_used"]) == {ROWS}
    same_numbers(found, every, "y")
    searched = {entry["target"]: entry for entry in done.manifest["analyses"]["interaction"]["search"]}
    assert set(searched) == {"y", "z"}
    for entry in searched.values():
        rows = [step["rows"] for step in entry["rounds"]]
        pairs = [step["pairs"] for step in entry["rounds"]]
        assert rows == sorted(rows)
        assert rows[-1] == 1.0
        assert pairs == sorted(pairs, reverse=True)
        assert pairs[0] == 28 * 27 / 2
        looked_at = sum(r * p for r, p in zip(rows, pairs, strict=True)) / pairs[0]
        assert entry["pair_rows"] == pytest.approx(looked_at)
        assert entry["pair_rows"] < 0.7


def test_weights_count_in_a_search_too(table, tmp_path):
    weighted = {"weight": "weight", "exclude": []}
    every = run(table, tmp_path / "all", "all", **weighted).table("interaction")
    found = run(table, tmp_path / "sample", "sample", **weighted).table("interaction")
    both = same_numbers(found, every, "y")
    assert set(both["n"]) == {ROWS - table["y"].null_count}


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import expected_mutual_information

    random = np.random.default_rng(0)
    tables = random.poisson(6, size=(5, 4, 3, 2))
    total = tables.sum(axis=(1, 2)).max(axis=0)  # every pair of one target has the same classes
    tables[:, 0, 0, :] += total - tables.sum(axis=(1, 2))
    found = scores(tables, 1.0)
    for index, table in enumerate(tables):
        parts = []
        for counts in (table.reshape(12, 2), table.sum(axis=1), table.sum(axis=0)):
            mi = mutual_info_score(None, None, contingency=counts)
            rows, columns = counts.sum(axis=1), counts.sum(axis=0)
            parts.append((mi, expected_mutual_information(np.array(counts), int(counts.sum()))))
            assert rows.sum() == columns.sum()
        corrected = [mi - mean for mi, mean in parts]
        assert found.joint_mi[index] == pytest.approx(parts[0][0], abs=1e-12)
        assert found.expected_mi[index] == pytest.approx(parts[0][1], abs=1e-8)
        assert found.synergy[index] == pytest.approx(corrected[0] - corrected[1] - corrected[2], abs=1e-8)


def test_limits_hold_the_truth_and_the_bound():
    """Synergy of a planted pair over samples: the limits are three standard errors away."""
    random = np.random.default_rng(1)
    inside = 0
    share = np.full((4, 4, 2), 1 / 32) + 0.01 * np.where((np.arange(4)[:, None] + np.arange(4)) % 2, 1, -1)[
        ..., None
    ] * np.array([1, -1])
    joint = share.sum(axis=2, keepdims=True)
    truth = float((share * np.log(share / (joint * share.sum(axis=(0, 1))))).sum())
    for _ in range(300):
        table = random.multinomial(2_000, share.ravel()).reshape(1, 4, 4, 2)
        found = scores(table, 1.0)
        low, high = limits(found.synergy, (found.joint_mi, found.expected_mi), np.array([2_000.0]), np.log(2))
        inside += low[0] <= truth <= high[0]
    assert inside >= 295
    low, high = limits(np.array([0.5]), (np.array([0.6]), np.array([0.0])), np.array([10.0]), 0.69)
    assert high[0] == pytest.approx(0.59)


def test_a_mean_below_nothing_by_rounding_has_limits():
    """That of two columns of one level in the sample: without limits it would pass for the best of all pairs."""
    low, high = limits(np.array([-2e-16]), (np.array([1e-15]), np.array([-2e-16])), np.array([9_000.0]), 2.8)
    assert low[0] == high[0] == pytest.approx(0, abs=1e-15)


def test_shards_of_which_no_row_is_sampled():
    from featflow.execution.stored_columns import _joined

    nothing = pa.record_batch({"column:x": pa.array([], pa.uint8())})
    assert _joined([nothing, nothing]).num_rows == 0


def test_one_feature_has_no_pairs(tmp_path):
    random = np.random.default_rng(0)
    table = pa.table({"x": random.normal(size=300), "y": random.integers(0, 2, 300)})
    done = run(table, tmp_path, "sample", targets=["y"], exclude=[])
    assert len(done.table("interaction")) == 0
