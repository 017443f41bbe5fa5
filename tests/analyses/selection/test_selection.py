"""Selection against planted truths: signals, their noisy copies, noise, XOR, units, and definitions by brute force."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import featflow
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.selection import report, terminal
from featflow.analyses.selection.candidates import candidates_of
from featflow.analyses.selection.criteria import Matrices, criterion
from featflow.analyses.selection.options import SelectionOptions
from featflow.errors import ConfigurationError, SchemaError
from featflow.measures.conditional_information import conditional_moments

SIGNALS = 4
PATH = ["target", "method", "step", "feature", "kept", "reason", "gain", "noise_p", "conditioned_on", "runner_up"]


def planted(rows=4000, seed=3):
    """Signals of falling strength, a copy of each that is right in 4 of 5 rows, an exact copy of the first, noise."""
    random = np.random.default_rng(seed)
    columns, logit = {}, np.zeros(rows)
    for place in range(SIGNALS):
        signal = random.integers(0, 4, rows)
        logit += 0.9 * 0.7**place * (signal - 1.5)
        copy = np.where(random.random(rows) < 0.8, signal, random.integers(0, 4, rows))
        columns |= {f"signal_{place}": levels(signal), f"near_{place}": levels(copy)}
    columns["signal_0_copy"] = columns["signal_0"]
    columns |= {f"noise_{place}": levels(random.integers(0, 2 + 3 * place, rows)) for place in range(5)}
    columns |= {
        f"noise_of_many_{place}": levels(random.integers(0, max(rows // 2**place, 2), rows)) for place in range(8)
    }
    columns["y"] = np.where(random.random(rows) < 1 / (1 + np.exp(-logit)), "yes", "no").tolist()
    return pl.DataFrame(columns)


def levels(codes):
    return [f"v{code}" for code in codes]


def chosen(frame, folder, selection=True, dataset=None, analyses=None, group_rows=250):
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "data.parquet", row_group_size=group_rows)
    return featflow.run(
        {
            "dataset": {"source": str(folder / "data.parquet"), "targets": ["y"], **(dataset or {})},
            "output": str(folder / "out"),
            "engine": {"kind": "serial"},
            "analyses": {"correlation": False, "interaction": False, "selection": selection, **(analyses or {})},
        }
    )


def kept(run, method="cmim"):
    return run.table("selection").filter(pl.col("kept"), method=method)["feature"].to_list()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    methods = ["cmim", "jmi", "mrmr", "jmim", "disr", "three_mr"]
    return chosen(planted(), tmp_path_factory.mktemp("planted"), {"methods": methods, "most": 6})


def test_each_signal_is_chosen_once_in_its_order_and_no_noise(run):
    assert kept(run) == [f"signal_{place}" for place in range(SIGNALS)]


def test_a_copy_is_kept_out_and_the_table_says_why(run):
    out = run.table("selection").filter(method="cmim", feature="signal_0_copy").to_dicts()
    assert [(row["step"], row["kept"], row["reason"]) for row in out] == [(None, False, "duplicate_of:signal_0")]


def test_gains_fall_and_what_follows_the_stop_is_noise(run):
    rows = run.table("selection").filter(pl.col("method") == "cmim", pl.col("step").is_not_null())
    assert (np.diff(rows["gain"].to_numpy()) <= 0).all()
    beyond = rows.filter(~pl.col("kept"))
    assert beyond["step"].to_list() == [5, 6, 7]
    assert set(beyond["reason"]) == {"noise"}
    assert (beyond["noise_p"] > 0.05).all()
    assert (rows.filter("kept")["selection_probability"] > 0.5).all()
    assert (rows["standard_error"] > 0).all()


@pytest.mark.parametrize("method", ["jmi", "mrmr", "jmim", "disr", "three_mr"])
def test_every_criterion_starts_with_the_strongest_and_keeps_no_noise(run, method):
    names = kept(run, method)
    assert names[0] == "signal_0"
    assert not [name for name in names if name.startswith("noise")]


def test_the_report_and_the_terminal_name_what_to_use(run):
    section = report.section(run, PageLimits(100))
    assert section.values["paths"][0].kept == kept(run)
    assert section.plots["path-0"]().renderers
    assert terminal.shown(run, 100) is not None


def test_the_path_depends_on_neither_shards_nor_the_order_of_rows_or_columns(run, tmp_path):
    frame = planted()
    turned = frame.select(reversed(frame.columns)).sample(fraction=1.0, shuffle=True, seed=1)
    other = chosen(turned, tmp_path, dataset={"shard_bytes": 4096}, group_rows=500)
    before = run.table("selection").filter(pl.col("method") == "cmim", pl.col("step").is_not_null())
    after = other.table("selection").filter(pl.col("step").is_not_null())
    assert_frame_equal(before.select(PATH), after.select(PATH), rel_tol=0, abs_tol=0)


def test_of_pure_noise_nothing_is_kept(tmp_path):
    frame = planted().with_columns(pl.col("y").shuffle(seed=0))
    assert kept(chosen(frame, tmp_path)) == []


def test_halves_of_an_exclusive_or_are_chosen_as_one(tmp_path):
    random = np.random.default_rng(5)
    a, b = random.integers(0, 2, (2, 3000))
    noise = {f"noise_{place:02d}": levels(random.integers(0, 4, 3000)) for place in range(20)}
    y = np.where(random.random(3000) < 0.9, a ^ b, 1 - (a ^ b))
    frame = pl.DataFrame({**noise, "a": levels(a), "b": levels(b), "y": levels(y)})
    first = chosen(frame, tmp_path, {"methods": ["cmim"]}, analyses={"interaction": True})
    assert kept(first) == ["a x b"]
    assert first.table("selection").filter("kept")["features"].to_list() == [["a", "b"]]
    given = {"methods": ["jmi"], "given": ["a"], "crosses": 0}
    assert kept(chosen(frame, tmp_path, given, analyses={"interaction": True}), "jmi") == ["b"]


def test_noise_by_day_is_not_kept_where_evidence_counts_days(tmp_path):
    random = np.random.default_rng(11)
    day = np.repeat(np.arange(60), 50)
    x, by_day = random.normal(size=3000), random.normal(size=(60, 6))
    score = random.normal(size=60)[day] + x + random.normal(size=3000)
    columns = {f"daily_{place}": by_day[day, place] for place in range(6)}
    frame = pl.DataFrame({**columns, "x": x, "day": day, "y": np.where(score > 0, "yes", "no").tolist()})
    assert kept(chosen(frame, tmp_path, dataset={"event_time": "day"})) == ["x"]


def test_equal_weights_choose_as_none_do(run, tmp_path):
    weighted = chosen(planted().with_columns(w=pl.lit(2.0)), tmp_path, dataset={"weight": "w"})
    assert kept(weighted) == kept(run)


def test_an_unknown_given_feature_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="given: no feature 'signl_1'; the nearest is 'signal_1'"):
        chosen(planted(200), tmp_path, {"given": ["signl_1"]})


@pytest.mark.parametrize(
    ("analyses", "message"),
    [
        ({"ranking": False}, "it chooses from the ranking, which is off"),
        ({"ranking": {"strata": ["near_0"]}}, "strata"),
    ],
)
def test_what_it_cannot_choose_from_is_said(tmp_path, analyses, message):
    run = chosen(planted(400), tmp_path, analyses=analyses)
    assert "selection" not in run.tables
    assert any(message in warning for warning in run.manifest["warnings"])


def test_few_groups_have_no_errors_and_a_warning(tmp_path):
    run = chosen(planted(1000), tmp_path, group_rows=1000, analyses={"uncertainty": {"group_by": "shard", "groups": 8}})
    rows = run.table("selection").filter(pl.col("step").is_not_null())
    groups = rows["standard_error"].null_count() == rows.height
    assert groups == any("error bars need 8" in warning for warning in run.manifest["warnings"])
    assert rows["noise_p"].null_count() == 0


# --- measures -------------------------------------------------------------------------------------------------------


def information(*columns):
    """Plug-in mutual information of two columns of codes, nats."""
    counts = np.zeros([column.max() + 1 for column in columns])
    np.add.at(counts, columns, 1)
    p = counts / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log(p / (p.sum(1, keepdims=True) * p.sum(0, keepdims=True)))
    return float(np.nansum(terms))


def test_criteria_are_their_definitions():
    random = np.random.default_rng(1)
    y = random.integers(0, 2, 500)
    x = [np.where(random.random(500) < 0.5 + place / 10, y, random.integers(0, 3, 500)) for place in range(4)]

    def joint(k, j):
        return information(3 * x[k] + x[j], y)

    def entropy(codes):
        p = np.unique(codes, return_counts=True)[1] / len(codes)
        return float(-(p * np.log(p)).sum())

    relevance = np.array([[information(each, y)] for each in x])
    conditional = np.array([[[joint(k, j) - information(x[j], y)] for j in range(4)] for k in range(4)])
    shared = np.array([[[information(x[k], x[j])] for j in range(4)] for k in range(4)])
    of_three = np.array([[entropy(9 * y + 3 * x[k] + x[j]) for j in range(4)] for k in range(4)])
    entropies = np.array([entropy(each) for each in x])
    figures = Matrices(relevance, conditional, shared, entropies, of_three, entropy(y))
    s = [0, 2]
    for k in (1, 3):
        expected = {
            "cmim": min(relevance[k, 0], *(conditional[k, j, 0] for j in s)),
            "jmi": np.mean([joint(k, j) for j in s]) - np.mean([relevance[j, 0] for j in s]),
            "mrmr": relevance[k, 0] - np.mean([shared[k, j, 0] for j in s]),
            "jmim": min(joint(k, j) for j in s),
            "disr": sum(joint(k, j) / of_three[k, j] for j in s),
            "three_mr": relevance[k, 0] / entropy(y)
            - np.median([shared[k, j, 0] / min(entropies[k], entropies[j]) for j in s])
            + np.median([joint(k, j) for j in s]) / entropy(y),
        }
        for method, value in expected.items():
            assert criterion(method, figures, s)[k, 0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("rows", [600, 2000])
def test_the_null_of_conditional_information_is_that_of_permutations_within_strata(rows):
    random = np.random.default_rng(rows)
    stratum, x = random.integers(0, 12, (2, rows))
    y = (random.random(rows) < (1 + stratum) / 16).astype(int)
    draws = []
    for _ in range(400):
        order = np.lexsort((random.random(rows), stratum))
        shuffled = np.empty_like(y)
        shuffled[np.sort(np.argsort(stratum, kind="stable"))[np.argsort(np.argsort(stratum, kind="stable"))]] = 0
        shuffled[np.argsort(stratum, kind="stable")] = y[order]
        table = np.zeros((12, 12, 2), np.int64)
        np.add.at(table, (stratum, x, shuffled), 1)
        draws.append(sum(part.sum() / rows * information_of(part) for part in table))
    mean, variance, _ = conditional_moments([table])
    assert abs(np.mean(draws) - mean[0]) < 3 * np.std(draws) / 20
    assert np.var(draws) == pytest.approx(variance[0], rel=0.3)


def information_of(table):
    p = table / table.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nansum(p * np.log(p / (p.sum(1, keepdims=True) * p.sum(0, keepdims=True)))))


# --- featflow.select ------------------------------------------------------------------------------------------------


def test_select_returns_names_of_a_frame():
    chosen_names = featflow.select(planted(), "y", engine={"kind": "serial"})
    assert chosen_names == [f"signal_{place}" for place in range(SIGNALS)]
    assert set(chosen_names.table.filter(~pl.col("kept"))["reason"]) == {"noise", "duplicate_of:signal_0"}
    assert featflow.select(planted(), "y", 2, engine={"kind": "serial"}) == ["signal_0", "signal_1"]


def test_select_refuses_no_features_and_unknown_criteria():
    with pytest.raises(ConfigurationError, match="k is 0"):
        featflow.select(planted(100), "y", 0)
    with pytest.raises(ConfigurationError, match="methods"):
        featflow.select(planted(100), "y", method="best")


# --- candidates -----------------------------------------------------------------------------------------------------


def test_pairs_with_a_column_that_is_not_ranked_and_names_that_clash_are_no_crosses():
    """The column that names the units is in pairs and not in the ranking."""
    known = {"target": "y", "corrected_mi": 0.0, "alerts": [], "significant": False}
    ranking = pl.DataFrame([{"feature": name, **known} for name in ("a", "b", "c", "a x b")])
    pairs = [("a", "user"), ("a", "b"), ("b", "c")]
    interaction = pl.DataFrame(
        [
            {"feature_a": a, "feature_b": b, "synergy": 0.1, "strategy": "memorise", "rank": rank}
            for rank, (a, b) in enumerate(pairs)
        ]
    )
    assert candidates_of(ranking, interaction, SelectionOptions()).crosses == [("b", "c")]
