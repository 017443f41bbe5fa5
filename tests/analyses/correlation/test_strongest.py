"""The strongest pairs of every column, against sorting all pairs."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest

from featflow.analyses.correlation.strongest import above, best_of_features, merge_best, strengths, strongest
from featflow.analyses.correlation.tables import CORRELATION


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    pairs = list(combinations([f"x{i}" for i in range(12)], 2))
    n = len(pairs)
    value = random.normal(size=n)
    value[::17] = np.nan
    columns = {"feature_a": [a for a, _ in pairs] * 2, "feature_b": [b for _, b in pairs] * 2}
    columns |= {"method": ["pearson"] * n + ["mutual_information"] * n, "value": np.concatenate([value, value**2])}
    return CORRELATION.build(columns | {"expected": np.concatenate([np.full(n, np.nan), random.random(n)])})


def truth(table, keep):
    frame = table.to_pandas()
    frame["strength"] = frame["value"].abs() - frame["expected"].fillna(0)
    kept = set()
    for name in set(frame["feature_a"]) | set(frame["feature_b"]):
        for method in ("pearson", "mutual_information"):
            mine = frame[((frame["feature_a"] == name) | (frame["feature_b"] == name)) & (frame["method"] == method)]
            kept |= set(mine.sort_values("strength", ascending=False).dropna(subset="strength").index[:keep])
    return sorted(kept)


@pytest.mark.parametrize("keep", [1, 3, 11, 50])
@pytest.mark.parametrize("cuts", [[], [10], [5, 40, 70, 100]])
def test_the_best_of_every_column_whatever_the_blocks(table, keep, cuts):
    features = {f"x{i}": i for i in range(12)}
    ends = [0, *cuts, len(table)]
    blocks = [table.slice(a, b - a) for a, b in pairwise(ends)]
    least = merge_best([best_of_features(block, features, keep) for block in blocks], 12)
    kept = pa.concat_tables([above(block, features, least) for block in blocks])
    assert kept.equals(table.take(pa.array(truth(table, keep))))


def test_the_strongest_of_each_method_ties_by_name(table):
    for keep in (1, 5, 1_000):
        frame = strongest(table, keep).to_pandas()
        for method, rows in frame.groupby("method"):
            whole = table.filter(pa.compute.equal(table["method"], method))
            strength = strengths(whole)
            best = np.sort(strength[np.isfinite(strength)])[::-1][:keep]
            np.testing.assert_array_equal(rows["strength"], best)
    tied = CORRELATION.build({"method": ["pearson"] * 3, "feature_a": list("cab"), "value": [0.5, -0.5, 0.5]})
    assert strongest(tied, 2)["feature_a"].to_pylist() == ["a", "b"]
    assert strongest(strongest(table, 9), 4).equals(strongest(table, 4))
