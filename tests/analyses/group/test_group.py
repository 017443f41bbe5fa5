"""Groups of planted copies, against scipy on raw data, under any order and layout."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

import featflow
from featflow.analyses.group.analysis import Group
from featflow.analyses.group.grouping import Candidate, effective_features, grouped, representatives
from featflow.analyses.group.similarity import STEP, Similarities
from featflow.analyses.reporting.limits import PageLimits
from tests import datasets

ROWS = 4_000


def run(table, folder, parts=1, dataset=None, analyses=None, engine="serial"):
    config = {
        "dataset": {"source": datasets.write_parts(table, folder / "data", parts), **(dataset or {})},
        "output": str(folder / "out"),
        "engine": {"kind": engine},
        "analyses": {"correlation": False, "interaction": False, "drift": False, "group": True, **(analyses or {})},
        "budget": {"memory": "512MiB"},
    }
    return featflow.run(config)


def groups_of(done) -> set[frozenset[str]]:
    rows = done.table("group").to_dicts()
    return {frozenset(r["feature"] for r in rows if r["group"] == n) for n in {r["group"] for r in rows}}


def similarities(done) -> dict[str, float]:
    return {row["feature"]: row["similarity"] for row in done.table("group").to_dicts()}


def holes(values, random, share):
    return pa.array(values, mask=random.random(len(values)) < share)


def planted(rows: int = ROWS) -> pa.Table:
    """Groups x, c and rare with their copies, and columns that stand alone."""
    random = np.random.default_rng(3)
    x, y, z = random.normal(size=(3, rows))
    c, d = random.integers(0, 6, (2, rows))
    rare = random.random(rows) < 0.01
    half = random.random(rows) < 0.5
    label = x + z + c / 3 + random.normal(size=rows) > 1
    return pa.table(
        {
            "x": x,
            "x_again": x,
            "x_exp": np.exp(5 * x),
            "x_negative": -x,
            "x_noisy": 0.95 * x + np.sqrt(1 - 0.95**2) * random.normal(size=rows),
            "x_some": holes(x, random, 0.2),
            "x_squared": y**2,
            "y": y,
            "z": z,
            "c": np.array(list("abcdef"))[c],
            "c_code": np.array(list("qzmpaf"))[c],
            "c_noisy": np.array(list("abcdef"))[np.where(random.random(rows) < 0.02, d, c)],
            "d": np.array(list("abcdef"))[d],
            "rare": rare,
            "rare_word": np.where(rare, "yes", "no"),
            "missing_with_a": pa.array(random.normal(size=rows), mask=half),
            "missing_with_b": pa.array(random.normal(size=rows), mask=half),
            "missing_with_c": pa.array(random.choice(list("uvw"), rows), mask=half),
            "only_missing": pa.array(["yes"] * rows, mask=half),
            "is_missing": half,
            "constant": np.full(rows, 3.0),
            "one_level": ["only"] * rows,
            "all_missing": pa.nulls(rows, pa.float64()),
            "label": label.astype(str),
        }
    )


TRUTH = {
    frozenset({"x", "x_again", "x_exp", "x_negative", "x_noisy", "x_some"}),
    frozenset({"x_squared", "y"}),
    frozenset({"c", "c_code", "c_noisy"}),
    frozenset({"rare", "rare_word"}),
    frozenset({"only_missing", "is_missing"}),
    *(frozenset({name}) for name in ("z", "d", "constant", "one_level", "all_missing")),
    *(frozenset({f"missing_with_{name}"}) for name in "abc"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run(planted(), tmp_path_factory.mktemp("planted"), dataset={"targets": ["label"]})


def test_planted_groups_are_found(found):
    assert groups_of(found) == TRUTH
    note = found.manifest["analyses"]["group"]
    assert (note["features"], note["groups"]) == (23, len(TRUTH))
    assert 5 < note["effective_features"] < len(TRUTH) + 1


def test_exact_copies_have_similarity_one(found):
    table = {row["feature"]: row for row in found.table("group").to_dicts()}
    for name in ("x", "x_again", "x_exp", "x_negative", "c", "c_code", "rare", "rare_word", "is_missing"):
        assert table[name]["similarity"] == 1, name
    assert table["x_noisy"]["similarity"] == pytest.approx(6 / np.pi * np.arcsin(0.95 / 2), abs=0.01)
    assert 0.8 < table["x_some"]["similarity"] < 1


def test_the_table_is_ordered_and_says_what_it_must(found):
    rows = found.table("group").to_dicts()
    ranking = {row["feature"]: row for row in found.table("ranking").to_dicts()}
    assert [row["feature"] for row in rows if row["is_representative"]] == list(
        dict.fromkeys(row["representative"] for row in rows)
    )
    ranks = [ranking[row["representative"]]["corrected_mi"] for row in rows if row["is_representative"]]
    assert ranks == sorted(ranks, reverse=True)
    assert [row["group"] for row in rows] == sorted(row["group"] for row in rows)
    for row in rows:
        members = [each for each in rows if each["group"] == row["group"]]
        assert row["size"] == len(members)
        assert row["relevance"] == ranking[row["feature"]]["corrected_mi"]
        assert row["target"] == "label"
        assert members[0]["is_representative"]
        assert members[0]["relevance"] == max(each["relevance"] for each in members)
    missing = {row["feature"]: row["missing"] for row in rows}
    assert missing["all_missing"] == ROWS
    assert missing["x"] == missing["c"] == 0
    assert missing["only_missing"] == planted()["only_missing"].null_count


@pytest.mark.parametrize("change", ["columns", "rows", "shards", "with correlation"])
def test_nothing_hangs_on_order_or_layout(found, tmp_path, change):
    table, random, options = planted(), np.random.default_rng(8), {}
    if change == "columns":
        table = table.select(random.permutation(table.column_names).tolist())
    elif change == "rows":
        table = table.take(random.permutation(ROWS))
    elif change == "shards":
        options["parts"] = 7
    else:
        options["analyses"] = {"correlation": True, "interaction": True}
    again = run(table, tmp_path, dataset={"targets": ["label"]}, **options)
    assert again.table("group").equals(found.table("group"))
    assert again.manifest["analyses"]["group"] == found.manifest["analyses"]["group"]


def test_small_blocks_say_the_same(found, tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.execution.column_blocks.MOST_OF_A_SIDE", 4)
    monkeypatch.setattr("featflow.measures.block_pairs.CELLS", 2**9)
    again = run(planted(), tmp_path, dataset={"targets": ["label"]})
    assert again.table("group").equals(found.table("group"))


def oracle(table: pa.Table, names: list[str]) -> np.ndarray:
    """Similarities from raw values of few levels, by scipy and scikit-learn."""
    similarity = np.eye(len(names))
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            a, b = (table[name].to_numpy(zero_copy_only=False) for name in (first, second))
            numbers = [values.dtype.kind in "if" for values in (a, b)]
            own = [mutual_info_score(values, values) for values in (a, b)]
            information, adjusted = mutual_info_score(a, b), adjusted_mutual_info_score(a, b, average_method="max")
            expected = (information - adjusted * max(own)) / (1 - adjusted)
            most = max(own) - expected
            scale = most if any(numbers) else min(most, np.log(2))
            share = max((information - expected) / most, 0.0)
            if information - expected < 3 * np.sqrt(expected / len(a)):
                share = 0.0
            linfoot = np.sqrt((1 - np.exp(-2 * scale * share)) / (1 - np.exp(-2 * scale)))
            ranks = abs(spearmanr(a, b).statistic) if all(numbers) else 0.0
            ranks = ranks if ranks >= np.tanh(3 / np.sqrt(len(a) - 3)) else 0.0
            similarity[i, j] = similarity[j, i] = max(linfoot, ranks)
    return similarity


def test_similarities_and_groups_are_those_of_scipy_and_scikit_learn(tmp_path):
    random, rows = np.random.default_rng(4), 700
    latent = random.normal(size=(4, rows))
    columns = {}
    for index in range(12):
        mixed = latent[index % 4] + random.uniform(0.2, 1.2) * random.normal(size=rows)
        codes = np.digitize(mixed, np.quantile(mixed, np.linspace(0, 1, random.integers(3, 11))[1:-1]))
        columns[f"f{index:02d}"] = codes if index % 3 else np.array(list("kbxacmzqwp"))[codes]
    table, names = pa.table(columns), list(columns)
    kinds = {name: "number" for name in names if table[name].type == pa.int64()}
    done = run(table, tmp_path, dataset={"kinds": kinds}, analyses={"group": {"similarity": 0.6}})
    similarity = oracle(table, names)
    clusters = fcluster(linkage(squareform(1 - similarity, checks=False), "average"), 0.4, "distance")
    assert groups_of(done) == {frozenset(np.array(names)[clusters == each].tolist()) for each in np.unique(clusters)}
    assert len(groups_of(done)) < len(names)
    place = {name: index for index, name in enumerate(names)}
    for row in done.table("group").to_dicts():
        expected = similarity[place[row["feature"]], place[row["representative"]]]
        assert row["similarity"] == pytest.approx(expected, abs=1e-4)
    eigenvalues = np.linalg.eigvalsh(similarity)
    effective = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert done.manifest["analyses"]["group"]["effective_features"] == pytest.approx(effective, rel=1e-3)


def test_of_normal_variables_under_any_monotone_transform_it_is_their_correlation(tmp_path):
    random = np.random.default_rng(9)
    x = random.normal(size=20_000)
    columns = {"x": x} | {f"y{r}": np.sinh(r * x + random.normal(size=20_000)) for r in (1, 3, 9)}
    done = run(pa.table(columns), tmp_path, analyses={"group": {"similarity": 0.3}})
    rows = {row["feature"]: row for row in done.table("group").to_dicts()}
    assert {row["representative"] for row in rows.values()} == {"x"}
    for r in (1, 3, 9):
        ranks, correlation = spearmanr(x, columns[f"y{r}"]).statistic, r / np.hypot(r, 1)
        assert ranks - 0.004 < rows[f"y{r}"]["similarity"] < correlation + 0.004


def test_independent_columns_are_as_many_as_they_are(tmp_path):
    random = np.random.default_rng(5)
    numbers = {f"n{i}": random.normal(size=ROWS) for i in range(8)}
    words = {f"w{i}": random.choice(list("abcdefghij"), ROWS) for i in range(8)}
    done = run(pa.table(numbers | words), tmp_path)
    assert len(groups_of(done)) == 16
    assert done.manifest["analyses"]["group"]["effective_features"] == pytest.approx(16, rel=0.002)


def test_columns_that_are_present_together_in_few_rows_are_not_alike(tmp_path):
    random = np.random.default_rng(6)
    table = pa.table({f"s{i}": holes(random.normal(size=2_000), random, 0.98) for i in range(20)})
    assert len(groups_of(run(table, tmp_path))) == 20


def test_copies_alone_behave_like_one_and_the_least_missing_stands_for_them(tmp_path):
    x = np.random.default_rng(6).normal(size=ROWS)
    gone = np.arange(ROWS) < 40
    table = pa.table({"b": pa.array(x, mask=gone), "d": x, "c": x, "text": [f"t{v}" for v in x]})
    done = run(table, tmp_path, dataset={"kinds": {"text": "text"}})
    rows = done.table("group").to_dicts()
    assert [(row["feature"], row["representative"], row["relevance"]) for row in rows] == [
        ("c", "c", None),
        ("d", "c", None),
        ("b", "c", None),
    ], "text is left out"
    exact = run(pa.table(dict.fromkeys("ba", x)), tmp_path / "exact")
    assert exact.manifest["analyses"]["group"]["effective_features"] == 1


def test_one_column_and_none(tmp_path):
    one = run(pa.table({"x": np.arange(50.0)}), tmp_path / "one")
    assert groups_of(one) == {frozenset({"x"})}
    assert one.manifest["analyses"]["group"]["effective_features"] == 1
    none = run(pa.table({"y": np.arange(50) % 2}), tmp_path / "none", dataset={"targets": ["y"]})
    assert none.table("group").is_empty()
    assert none.manifest["analyses"]["group"] == {
        "features": 0,
        "groups": 0,
        "effective_features": 0.0,
        "similarity": 0.8,
    }


def test_weights_count_rows_as_often(tmp_path):
    table, weight = planted(), np.random.default_rng(2).integers(0, 4, ROWS)
    weighted = run(
        table.append_column("w", pa.array(weight.astype(float))),
        tmp_path / "weighted",
        dataset={"targets": ["label"], "weight": "w"},
    )
    repeated = run(
        table.take(np.repeat(np.arange(ROWS), weight)), tmp_path / "repeated", dataset={"targets": ["label"]}
    )
    assert groups_of(weighted) == groups_of(repeated) == TRUTH
    other = similarities(repeated)
    assert similarities(weighted)["x_noisy"] == pytest.approx(other["x_noisy"], abs=0.003)


def test_a_sample_finds_the_same_groups_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.execution.context.EXHAUSTIVE_UP_TO", 1000)
    options = {"dataset": {"targets": ["label"]}, "analyses": {"group": {"sample": 2_500}}}
    done = run(planted(), tmp_path, parts=3, **options)
    assert groups_of(done) == TRUTH
    assert done.manifest["analyses"]["group"]["sample"] == 2_500 / ROWS
    assert any("analyses.group.sample" in warning for warning in done.manifest["warnings"])


def test_more_features_than_are_held_at_once_are_grouped_by_chains(tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.analyses.group.analysis.DENSE_UP_TO", 5)
    monkeypatch.setattr("featflow.analyses.group.grouping.DENSE_UP_TO", 5)
    random = np.random.default_rng(1)
    steps = np.cumsum(random.normal(size=(12, ROWS)) * np.r_[1.0, np.full(11, 0.25)][:, None], axis=0)
    table = pa.table({f"s{i:02d}": values for i, values in enumerate(steps)} | {"z": random.normal(size=ROWS)})
    done = run(table, tmp_path, analyses={"group": {"similarity": 0.9}})
    assert groups_of(done) == {frozenset(table.column_names) - {"z"}, frozenset({"z"})}
    assert similarities(done)["s11"] is None, "the ends of a chain are less alike"
    assert any("analyses.group.similarity" in warning for warning in done.manifest["warnings"])
    with monkeypatch.context() as dense:
        dense.setattr("featflow.analyses.group.analysis.DENSE_UP_TO", 100)
        dense.setattr("featflow.analyses.group.grouping.DENSE_UP_TO", 100)
        whole = run(table, tmp_path / "dense", analyses={"group": {"similarity": 0.9}})
    assert len(groups_of(whole)) > 2
    effective = [each.manifest["analyses"]["group"]["effective_features"] for each in (done, whole)]
    assert effective[0] == effective[1]


def test_the_best_target_decides_and_equal_relevance_is_no_rank(tmp_path):
    random = np.random.default_rng(7)
    a, b = random.normal(size=(2, ROWS))
    near = a + 0.2 * random.normal(size=ROWS)
    table = pa.table(
        {
            "zz": pa.array(a),
            "aa": pa.array(near),
            "b": b,
            "about_a": (a > 0).astype(str),
            "about_b": (b + near / 2 > 0).astype(str),
        }
    )
    rows = {
        r["feature"]: r
        for r in run(table, tmp_path, dataset={"targets": ["about_a", "about_b"]}).table("group").to_dicts()
    }
    assert rows["aa"]["representative"] == "zz"
    assert (rows["zz"]["group"], rows["zz"]["target"], rows["b"]["target"]) == (2, "about_a", "about_b"), (
        "b is first by name"
    )
    assert rows["aa"]["target"] == "about_a" or rows["aa"]["target"] == "about_b"


def test_representatives_by_rank_then_missing_then_name():
    def head(*candidates):
        return candidates[representatives(candidates, np.zeros(len(candidates), int))[0]].name

    assert head(Candidate("a", 0, 2.0), Candidate("b", 9, 1.0)) == "b"
    assert head(Candidate("a", 9, 1.0), Candidate("b", 0, 1.0)) == "b"
    assert head(Candidate("b", 0, 1.0), Candidate("a", 0, 1.0)) == "a"
    assert head(Candidate("a", 0), Candidate("b", 5, 40.0)) == "b", "what is not ranked comes last"


def test_effective_features_of_random_matrices_are_their_participation_ratio():
    random = np.random.default_rng(0)
    p = 9
    matrix = np.eye(p)
    upper = np.triu_indices(p, 1)
    values = np.round(random.random(len(upper[0])) / STEP) * STEP
    matrix[upper] = values
    matrix.T[upper] = values
    squares = int(((values / STEP).astype(np.int64) ** 2).sum())
    eigenvalues = np.linalg.eigvalsh(matrix)
    block = Similarities(*upper, values.astype(np.float32), squares)
    assert effective_features([block], p) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-12)
    order = fcluster(linkage(1 - values, "average"), 0.5, "distance")
    same = order[:, None] == order
    ours = grouped([block], p, 0.5)
    assert ((ours[:, None] == ours) == same).all()


def test_the_terminal_says_what_may_go(found):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(Group.shown(found, 100))
    text = console.export_text()
    assert f"23 features behave like {len(TRUTH)} (effective" in text
    assert "rare_word" in text


def test_the_report_lists_groups_of_two_or_more(found):
    section = Group.section(found, PageLimits(rows=100))
    (listed,) = section.listings
    assert len(listed.rows) == sum(len(group) > 1 for group in TRUTH)
    assert section.values["repeated"] == 23 - len(TRUTH)
