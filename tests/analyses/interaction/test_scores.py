"""Pairs from counts, against one pair at a time and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats.contingency import association
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from featflow.analyses.correlation.counts import cramers_v, pair_information
from featflow.analyses.interaction.scores import interactions, top
from featflow.columns.binning import category_coding
from featflow.columns.column import Column, Kind, Role
from featflow.summaries import CodesSummarizer, PairCountsSummarizer

N = 3_000
RANDOM = np.random.default_rng(11)
A, B = RANDOM.integers(0, 2, N), RANDOM.integers(0, 2, N)
VALUES = {
    "a": A,
    "b": B,
    "noise": RANDOM.integers(0, 9, N),
    "copy": A,
    "wide": RANDOM.zipf(1.6, N) % 40,
    "xor": A ^ B,
    "constant": np.zeros(N, int),
}
MISSING = {"noise": RANDOM.random(N) < 0.2}


def _codings():
    columns = {}
    for name, values in VALUES.items():
        role = Role.TARGET if name == "xor" else Role.FEATURE
        present = values[~MISSING.get(name, np.zeros(N, bool))]
        levels, counts = np.unique(present.astype(str), return_counts=True)
        column = Column(name, "string", Kind.CATEGORY, role=role)
        columns[name] = category_coding(column, levels.tolist(), counts.tolist(), 16)
    return columns


CODINGS = _codings()
BATCH = pa.record_batch(
    {
        name: pa.array(values.astype(str), mask=MISSING.get(name, np.zeros(N, bool))).dictionary_encode()
        for name, values in VALUES.items()
    }
)
TARGETS = (CODINGS["xor"],)
CODES = CodesSummarizer(tuple(CODINGS.values()), TARGETS).summarize(BATCH)
CODE_BATCH = CODES.to_arrow().combine_chunks().to_batches()[0]
CODE = {name.removeprefix("column:"): CODES.table[name].to_numpy() for name in CODES.table.column_names}


def counted(left, right, targets=TARGETS):
    spec = PairCountsSummarizer(tuple(CODINGS[n] for n in left), tuple(CODINGS[n] for n in right), targets)
    return spec, spec.summarize(CODE_BATCH)


EVERY = tuple(CODINGS)
ALL = tuple(name for name in EVERY if name != "constant")


def test_counts_equal_one_pair_at_a_time():
    spec, state = counted(ALL, ALL)
    offsets = np.cumsum([0, *(int(c.groups.max()) + 1 for c in spec.left)])
    for i, x in enumerate(ALL):
        for j, y in enumerate(ALL):
            for label in range(state.counts[0].shape[0]):
                rows = CODE["target:xor"] == label
                truth = np.zeros((offsets[i + 1] - offsets[i], offsets[j + 1] - offsets[j]), int)
                np.add.at(truth, (CODE[x][rows], CODE[y][rows]), 1)
                block = state.counts[0][label, offsets[i] : offsets[i + 1], offsets[j] : offsets[j + 1]]
                np.testing.assert_array_equal(block, truth)


def test_information_of_every_pair_equals_sklearn():
    rows = pair_information(*counted(ALL, ALL)).to_pylist()
    assert len(rows) == math.comb(len(ALL), 2)
    for row in rows:
        x, y = CODE[row["feature_a"]], CODE[row["feature_b"]]
        table = contingency_matrix(x, y)
        assert row["n"] == N
        assert row["value"] == pytest.approx(mutual_info_score(x, y), abs=1e-12)
        assert row["expected"] == pytest.approx(expected_mutual_information(table, N), abs=1e-9)


def test_interactions_equal_one_pair_at_a_time():
    y = CODE["target:xor"]

    def corrected(code):
        table = contingency_matrix(code, y)
        return mutual_info_score(code, y), expected_mutual_information(table, N)

    rows = interactions(*counted(ALL, ALL)).to_pylist()
    assert len(rows) == math.comb(len(ALL) - 1, 2)  # the target is no feature
    for row in rows:
        a, b = CODE[row["feature_a"]].astype(int), CODE[row["feature_b"]].astype(int)
        joint, joint_expected = corrected(a * 256 + b)
        alone = sum(mi - expected for mi, expected in (corrected(a), corrected(b)))
        assert row["joint_mi"] == pytest.approx(joint, abs=1e-12)
        assert row["expected_mi"] == pytest.approx(joint_expected, abs=1e-9)
        assert row["synergy"] == pytest.approx(joint - joint_expected - alone, abs=3e-9)


def test_xor_is_synergy_and_nothing_else():
    best = top(interactions(*counted(ALL, ALL)), 1).to_pylist()[0]
    assert {best["feature_a"], best["feature_b"]} in ({"a", "b"}, {"copy", "b"})
    assert best["synergy"] == pytest.approx(math.log(2), abs=2e-3)  # bits of 3,000 rows are not quite fair
    assert best["rank"] == 1


@pytest.mark.parametrize("measure", [interactions, pair_information, cramers_v])
@pytest.mark.parametrize("cut", [1, 2, 6])
def test_blocks_give_what_the_whole_gives(measure, cut):
    """To the last bit, also where a block is one column, or holds one that does not vary."""
    whole = measure(*counted(EVERY, EVERY)).to_pylist()
    first, second = EVERY[:cut], EVERY[cut:]
    parts = [(first, first), (first, second), (second, second)]
    blocks = [row for left, right in parts for row in measure(*counted(left, right)).to_pylist()]
    key = lambda row: (row["feature_a"], row["feature_b"])  # noqa: E731
    assert sorted(blocks, key=key) == sorted(whole, key=key)


def test_cramers_v_is_bergsma_corrected_over_complete_rows():
    rows = {(r["feature_a"], r["feature_b"]): r for r in cramers_v(*counted(ALL, ALL)).to_pylist()}
    for (x, y), row in rows.items():
        both = (CODE[x] > 0) & (CODE[y] > 0)
        table = contingency_matrix(CODE[x][both], CODE[y][both])
        plain = association(table, method="cramer", correction=False)
        n, (r, k) = int(both.sum()), table.shape
        phi2 = plain**2 * (min(r, k) - 1)
        corrected = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
        smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1))
        assert row["n"] == n
        assert row["value"] == pytest.approx(min(1.0, math.sqrt(corrected / (smaller - 1))), abs=1e-10)
    assert rows["a", "copy"]["value"] == pytest.approx(1.0)
    assert rows["a", "noise"]["value"] < 0.05


def test_p_values_of_pairs():
    """Of a copy 0, of noise anything, of a column of one level nothing to say."""
    for measure in (cramers_v, pair_information):
        rows = {(r["feature_a"], r["feature_b"]): r["p_value"] for r in measure(*counted(ALL, ALL)).to_pylist()}
        assert rows["a", "copy"] < 1e-100
        assert all(p > 0.001 for pair, p in rows.items() if pair != ("a", "copy")), rows


@pytest.mark.parametrize("measure", [cramers_v, pair_information])
def test_p_values_of_noise_are_uniform(measure):
    random = np.random.default_rng(12)
    spec, _ = counted(("a", "noise", "wide"), ("a", "noise", "wide"))
    p_values = []
    for _ in range(200):
        shuffled = [pa.array(random.permutation(column.to_numpy())) for column in CODE_BATCH.columns]
        state = spec.summarize(pa.record_batch(shuffled, names=CODE_BATCH.schema.names))
        p_values += measure(spec, state).column("p_value").to_pylist()
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.07


def test_without_targets_there_is_correlation_and_no_interaction():
    spec, state = counted(ALL, ALL, ())
    assert interactions(spec, state, 10).num_rows == 0
    assert pair_information(spec, state).equals(pair_information(*counted(ALL, ALL)))


@pytest.mark.parametrize("keep", [1, 2, 4, 100])
def test_keeping_the_best_is_keeping_all_and_taking_the_best(keep):
    """The copy gives ties."""
    every = interactions(*counted(ALL, ALL))
    best = interactions(*counted(ALL, ALL), keep)
    assert top(best, keep).equals(top(every, keep))
    ties = every.column("synergy").to_pylist().count(min(best.column("synergy").to_pylist()))
    assert len(best) <= min(keep, len(every)) + ties - 1


def test_top_keeps_the_best_of_every_target():
    table = interactions(*counted(ALL, ALL))
    kept = top(pa.concat_tables([table.slice(0, 3), table.slice(3)]), 4)
    synergies = sorted(table.column("synergy").to_pylist(), reverse=True)[:4]
    assert kept.column("synergy").to_pylist() == synergies
    assert kept.column("rank").to_pylist() == [1, 2, 3, 4]


def test_what_says_nothing_says_exactly_nothing():
    """A constant, and a design in which every cell is its mean: sums of logarithms would leave 1e-15."""
    for row in pair_information(*counted(EVERY, EVERY)).to_pylist():
        if "constant" in (row["feature_a"], row["feature_b"]):
            assert (row["value"], row["p_value"]) == (0.0, 1.0)
    kept = {("noise", "constant"), ("wide", "constant"), ("a", "constant")}
    for row in interactions(*counted(EVERY, EVERY)).to_pylist():
        if (row["feature_a"], row["feature_b"]) in kept:
            assert row["synergy"] == 0.0
    x, y, z = (values.ravel() for values in np.meshgrid(np.arange(3), np.arange(7), np.arange(11)))
    columns = [
        category_coding(Column(name, "string", Kind.CATEGORY), [str(v) for v in range(n)], [1] * n, 16)
        for name, n in (("x", 3), ("y", 7), ("z", 11))
    ]
    batch = pa.record_batch(
        {name: pa.array(values.astype(str)).dictionary_encode() for name, values in (("x", x), ("y", y), ("z", z))}
    )
    codes = CodesSummarizer(tuple(columns), ()).summarize(batch).to_arrow().combine_chunks().to_batches()[0]
    spec = PairCountsSummarizer(tuple(columns), tuple(columns), ())
    assert pair_information(spec, spec.summarize(codes)).column("value").to_pylist() == [0.0] * 3
