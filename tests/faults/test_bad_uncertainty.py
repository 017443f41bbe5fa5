"""Nulls and error bars that cannot be had: an error that names the key and the column, or a warning that says so.

What the schema or the configuration says is refused before anything is read, by a plan as by a run. What only the rows
say ends in nulls and a warning in the manifest, never in a number without ground.
"""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from featflow.config import parse
from featflow.errors import ConfigurationError, SchemaError
from featflow.pipeline.plan import plan

ROWS = 1_000
DAY = 86_400_000_000
LABEL = {"targets": ["label"]}
INTERVALS = ("standard_error", "ci_low", "ci_high")
RUN_TOO_FEW = "the jackknife needs 8; intervals are null"
ONLY_RANKING = {"correlation": False, "interaction": False}
NAMES = np.char.add("u", np.arange(ROWS).astype(str))


def ranking(**options):
    return {"analyses": {"ranking": options}}


def uncertainty(**options):
    return {"analyses": {"uncertainty": options}}


def refused(bench, error, *words, **config):
    """A run and a plan must end with this error, say the same, and leave nothing; return the message."""
    message = bench.refused(error, *words, **config)
    with pytest.raises(error) as caught:
        plan(parse(bench.config(**config)))
    assert (str(caught.value), caught.value.exit_code) == (message, 2)
    assert not bench.work()
    return message


def done_as_planned(bench, **config):
    """Run what a plan lets pass; a plan lets pass again what has run."""
    config = config | {"dataset": LABEL | config.get("dataset", {})}
    plan(parse(bench.config(**config)))
    done = bench.run(**config)
    assert plan(parse(bench.config(**config))).relation_shards == 0
    assert_no_nan(done)
    return done


def assert_no_nan(done):
    for name in done.manifest["tables"]:
        for column in done.table(name).select(pl.selectors.float()).iter_columns():
            assert column.is_finite().all(), (name, column.name)


def rows_of(done):
    return {row["feature"]: row for row in done.table("ranking").to_dicts()}


def warned(done, *words):
    """Exactly one warning says all of these words."""
    found = [w for w in done.manifest["warnings"] if all(word in w for word in words)]
    assert len(found) == 1, done.manifest["warnings"]
    return found[0]


# --- strata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"), [("ctiy", "the nearest is 'city'"), ("zzz", "it may be excluded, or no column of the dataset")]
)
@pytest.mark.parametrize("key", ["strata", "clusters"])
def test_a_column_that_does_not_exist(bench, key, name, hint):
    bench.write()
    wanted = [name] if key == "strata" else name
    message = refused(bench, SchemaError, dataset=LABEL, **ranking(**{key: wanted}))
    assert message == f"analyses.ranking.{key}: no column '{name}'; {hint}"


def test_the_second_of_two_strata_is_looked_at(bench):
    bench.write()
    refused(bench, SchemaError, "analyses.ranking.strata", "'labl'", "'label'", **ranking(strata=["city", "labl"]))


@pytest.mark.parametrize(
    ("name", "dataset", "what"),
    [
        ("label", {}, "a target"),
        ("city", {"kinds": {"city": "text"}}, "text"),
        ("city", {"entity": ["city"]}, "a join key"),
    ],
    ids=["target", "text", "entity"],
)
def test_strata_without_levels(bench, name, dataset, what):
    bench.write()
    message = refused(bench, SchemaError, dataset=LABEL | dataset, **ranking(strata=[name]))
    assert message == f"analyses.ranking.strata: '{name}' is {what}, which has no levels to stay within"


@pytest.mark.parametrize("dataset", [{"exclude": ["amount"]}, {"weight": "amount"}], ids=["excluded", "a weight"])
def test_strata_of_a_column_kept_out(bench, dataset):
    bench.write()
    refused(bench, SchemaError, "'amount'", "may be excluded", dataset=LABEL | dataset, **ranking(strata=["amount"]))


def test_strata_of_single_rows_say_nothing(bench):
    bench.write(table=bench.table(name=NAMES))
    done = done_as_planned(bench, analyses=ONLY_RANKING | {"ranking": {"strata": ["name"]}})
    said = f"target 'label': {ROWS} of {ROWS} strata hold one class only, 1,000 rows in all"
    warned(done, said, "they say nothing about any feature")
    for row in rows_of(done).values():
        assert (row["mi"], row["p_value"], row["null_method"]) == (0, 1, "degenerate")
        assert row["z"] is None
        assert row["normalized_mi"] is None
        assert not row["significant"]
        assert row["marginal_mi"] is not None


def test_strata_of_one_class_are_counted_and_the_others_score(bench):
    label = bench.table()["label"].to_numpy(zero_copy_only=False)
    shop = np.where(label == "yes", (np.arange(ROWS) % 5).astype(str), "0")  # shops 1 to 4 hold "yes" only
    bench.write(table=bench.table(shop=shop))
    done = done_as_planned(bench, **ranking(strata=["shop"]))
    silent = int((shop != "0").sum())
    warned(done, f"4 of 5 strata hold one class only, {silent:,} rows in all")
    assert rows_of(done)["amount"]["p_value"] < 1e-6
    assert rows_of(done)["shop"]["p_value"] == 1


def test_strata_that_leave_nothing_of_a_target(bench):
    """One target is the same column under another name as the stratum, the other is not."""
    table = bench.table()
    other = np.random.default_rng(1).choice(["a", "b"], ROWS)
    bench.write(table=bench.table(copy=table["label"], other=other))
    done = done_as_planned(bench, dataset={"targets": ["label", "other"]}, **ranking(strata=["copy"]))
    warned(done, "target 'label': 2 of 2 strata hold one class only, 1,000 rows in all")
    rows = done.table("ranking").filter(pl.col("target") == "label")
    assert set(rows["p_value"]) == {1.0}
    assert rows["normalized_mi"].null_count() == rows["z"].null_count() == len(rows)
    assert not any("'other'" in warning for warning in done.manifest["warnings"])


def test_strata_too_many_for_memory(bench):
    """How many levels a column has is known after the first pass: a plan says so once there is one."""
    bench.write(table=bench.table(name=NAMES, back=NAMES[::-1]))
    config = ranking(strata=["name", "back"]) | {"dataset": LABEL}
    message = bench.refused(
        ConfigurationError, "budget.memory", "target_counts state", "raise budget.memory", "coarser strata", **config
    )
    with pytest.raises(ConfigurationError) as caught:
        plan(parse(bench.config(**config)))
    assert str(caught.value) == message


# --- clusters -------------------------------------------------------------------------------------------------------


def test_clusters_that_are_a_target(bench):
    bench.write()
    message = refused(bench, SchemaError, dataset=LABEL, **ranking(clusters="label"))
    assert message.startswith("analyses.ranking.clusters: 'label' is a target")


@pytest.mark.parametrize(("shops", "held"), [(1, 1), (3, 3)])
def test_clusters_too_few_for_intervals(bench, shops, held):
    bench.write(table=bench.table(shop=(np.arange(ROWS) % shops).astype(str)))
    done = done_as_planned(bench, **ranking(clusters="shop"))
    said = f"target 'label': its rows fall into {held} group(s) and {RUN_TOO_FEW}"
    assert warned(done, said).endswith("; see analyses.uncertainty.group_by")
    assert done.table("ranking")["ci_low"].null_count() == len(done.table("ranking"))


def test_clusters_of_one_row_each_change_next_to_nothing(bench):
    bench.write(table=bench.table(name=NAMES))
    options = {"uncertainty": {"groups": 128}} | ONLY_RANKING
    dataset = {"entity": ["name"]}
    by_row = rows_of(done_as_planned(bench, dataset=dataset, analyses=options | {"ranking": {"clusters": "name"}}))
    rows = options | {"uncertainty": {"units": "rows", "groups": 128}}
    without = rows_of(done_as_planned(bench, dataset=dataset, analyses=rows))
    for name, row in by_row.items():
        assert (without[name]["design_effect"], row["design_effect"]) == (None, 1)
        for key in ("corrected_mi", "p_value", "significant", "effective_n"):
            assert row[key] == without[name][key]


# --- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["event_time", "entity"])
def test_group_by_what_is_not_configured(bench, key):
    bench.write()
    message = refused(bench, SchemaError, dataset=LABEL, **uncertainty(group_by=key))
    assert message == f"analyses.uncertainty.group_by is {key} and dataset.{key} is not set; set it"


def test_group_by_entities_of_a_type_that_is_not_analysed(bench):
    bench.write(table=bench.table(cart=pa.array([[1, 2]] * ROWS)))
    words = ("analyses.uncertainty.group_by is entity", "no column of dataset.entity", "type")
    refused(bench, SchemaError, *words, dataset=LABEL | {"entity": ["cart"]}, **uncertainty(group_by="entity"))


FEW = {
    "all": ({}, {"ranking", "correlation", "interaction"}),
    "without ranking": ({"ranking": False}, {"correlation", "interaction"}),
    "correlation alone": ({"ranking": False, "interaction": False}, {"correlation"}),
    "interaction alone": ({"ranking": False, "correlation": False}, {"interaction"}),
    "ranking alone": (ONLY_RANKING, {"ranking"}),
}


@pytest.mark.parametrize("name", list(FEW))
def test_three_entities_give_no_interval_and_every_table_says_so(bench, name):
    analyses, tables = FEW[name]
    bench.write(table=bench.table(user=(np.arange(ROWS) % 3).astype(str), age=np.arange(ROWS) % 70))
    done = done_as_planned(bench, dataset={"entity": ["user"]}, analyses=analyses)
    found = {key: done.table(key) for key in tables}
    if "ranking" in tables:
        warned(
            done, f"target 'label': its rows fall into 3 group(s) and {RUN_TOO_FEW}; see analyses.uncertainty.group_by"
        )
        assert found["ranking"].select(*INTERVALS, "rank_low").null_count().row(0) == (len(found["ranking"]),) * 4
        assert rows_of(done)["amount"]["p_value"] < 1e-20  # this needs no groups
    if "interaction" in tables:
        warned(done, f"interactions with target 'label': their rows fall into 3 group(s) and {RUN_TOO_FEW}")
        assert found["interaction"].select(*INTERVALS, "z").null_count().row(0) == (len(found["interaction"]),) * 4
        assert set(found["interaction"]["strategy"]) <= {"naive", None}
    if "correlation" in tables:
        counted = found["correlation"].filter(pl.col("method").is_in(["cramers_v", "mutual_information"]))
        assert counted.select(*INTERVALS, "error_method").null_count().row(0) == (len(counted),) * 4
        warned(done, "correlation: 1 of 1 kept pair(s) of cramers_v", "fewer groups", "their intervals are null")
        warned(done, "correlation: 6 of 6 kept pair(s) of mutual_information", "their intervals are null")
        for method in ("pearson", "spearman"):
            row = found["correlation"].filter(pl.col("method") == method).row(0, named=True)
            assert row["error_method"] == "fisher_z"
            warned(done, f"1 of 1 kept pair(s) of {method}", "their intervals are fisher_z, as of independent rows")
    assert len(done.manifest["warnings"]) == len(tables) + 3 * ("correlation" in tables)


def test_without_targets_correlation_says_so(bench):
    bench.write(table=bench.table(user=(np.arange(ROWS) % 3).astype(str)))
    done = done_as_planned(bench, dataset={"entity": ["user"], "targets": []})
    warned(done, "correlation: 3 of 3 kept pair(s) of mutual_information", "their intervals are null")


def test_large_tables_that_fold_groups_below_what_is_needed(bench, monkeypatch):
    """Twelve users are up to twelve groups, and fewer where a table is too large for all groups and keeps eight."""
    monkeypatch.setattr("featflow.summaries.target_counts.TABLE_BYTES", 8_192)
    user = (np.arange(ROWS) % 12).astype(str)
    bench.write(table=bench.table(user=user, shop=(np.arange(ROWS) // 5).astype(str)))
    done = done_as_planned(bench, dataset={"entity": ["user"]}, analyses=ONLY_RANKING)
    rows = rows_of(done)
    assert rows["city"]["ci_low"] is not None
    assert rows["shop"]["ci_low"] is None
    warned(done, "target 'label'", RUN_TOO_FEW, "in large tables, which fold groups")


@pytest.mark.parametrize("missing", ["no row", "all rows"])
def test_event_time_that_does_not_vary(bench, missing):
    at = pa.array([1_600_000_000_000_000] * ROWS, pa.timestamp("us"))
    bench.write(table=bench.table(at=pa.nulls(ROWS, pa.timestamp("us")) if missing == "all rows" else at))
    done = done_as_planned(bench, dataset={"event_time": "at"})
    warned(done, "target 'label': its rows fall into 1 group(s)", RUN_TOO_FEW, "analyses.uncertainty.group_by")
    warned(done, "interactions with target 'label': their rows fall into 1 group(s)", RUN_TOO_FEW)
    assert set(done.table("ranking")["ci_low"]) == {None}
    if missing == "all rows":
        warned(done, "dataset.event_time: 'at' is missing in 1,000 of 1,000 rows")


def test_event_time_with_nulls_is_told(bench):
    days = 1_600_000_000_000_000 + np.arange(ROWS) * DAY // 10
    bench.write(table=bench.table(at=pa.array(days, pa.timestamp("us"), mask=np.arange(ROWS) % 4 == 0)))
    done = done_as_planned(bench, dataset={"event_time": "at"})
    assert done.manifest["warnings"] == [
        "dataset.event_time: 'at' is missing in 250 of 1,000 rows; they share a group of rows in the jackknife",
        "dataset.event_time: 'at' is missing in 250 rows; they are in no window of the ranking",
    ]
    assert rows_of(done)["amount"]["standard_error"] > 0


def test_entities_that_are_all_missing_are_one(bench):
    bench.write(table=bench.table(user=pa.nulls(ROWS, pa.string())))
    done = done_as_planned(bench, dataset={"entity": ["user"]})
    warned(done, "target 'label': its rows fall into 1 group(s)", RUN_TOO_FEW)


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("groups", 7, "greater than or equal to 8"),
        ("groups", 129, "less than or equal to 128"),
        ("groups", 8.5, "valid integer"),
        ("groups", None, "is empty"),
        ("confidence", 0.5, "greater than 0.5"),
        ("confidence", 1, "less than 1"),
        ("confidence", 95, "less than 1"),
        ("confidence", float("nan"), "less than 1"),
        ("false_discovery_rate", 0, "greater than 0"),
        ("false_discovery_rate", 1, "less than 1"),
        ("false_discovery_rate", "5%", "valid number"),
        ("group_by", "day", "'event_time', 'entity' or 'shard'"),
        ("procedure", "bonferroni", "'benjamini_hochberg' or 'benjamini_yekutieli'"),
    ],
)
def test_options_out_of_range(bench, key, value, rule):
    bench.write()
    words = (f"'analyses.uncertainty.{key}'", rule, *([] if value is None else [f"got {value!r}"]))
    refused(bench, ConfigurationError, *words, dataset=LABEL, **uncertainty(**{key: value}))


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("interaction", "keep", 0, ("greater than or equal to 1", "got 0")),
        ("correlation", "error_bars", 0, ("greater than or equal to 1", "got 0")),
        ("correlation", "keep", 5, ("write all, {top: 100} or {above: 0.3}", "got 5")),
        ("correlation", "keep", "some", ("write all, {top: 100} or {above: 0.3}", "got 'some'")),
        ("correlation", "keep", {"top": 3, "above": 0.1}, ("has both top and above; leave one out",)),
        ("correlation", "keep", {"above": -1}, ("greater than or equal to 0", "got -1")),
    ],
)
def test_what_to_keep(bench, section, key, value, words):
    bench.write()
    refused(bench, ConfigurationError, f"'analyses.{section}.{key}", *words, analyses={section: {key: value}})


def test_the_command_line_names_the_key(bench):
    bench.write()
    done = bench.command("--json", config=bench.config(dataset=LABEL, **ranking(strata=["ctiy"])))
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert answer["error"] == "analyses.ranking.strata: no column 'ctiy'; the nearest is 'city'"


# --- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("amuont", "dataset.weight: no column 'amuont'; the nearest is 'amount'"),
        ("city", "dataset.weight: 'city' is string; weights are numbers"),
    ],
)
def test_a_weight_that_is_no_column_of_numbers(bench, weight, message):
    bench.write()
    assert refused(bench, SchemaError, dataset=LABEL | {"weight": weight}) == message


@pytest.mark.parametrize(
    ("key", "order"), [("targets", "{key} and in dataset.weight"), ("exclude", "weight and in dataset.{key}")]
)
def test_a_weight_with_another_role(bench, key, order):
    bench.write()
    message = refused(bench, ConfigurationError, dataset={"weight": "amount", key: ["amount"]})
    assert message == f"column 'amount' stands in dataset.{order.format(key=key)}; take it out of one"


# --- too little to say ----------------------------------------------------------------------------------------------


def test_more_classes_than_rows_allow(bench):
    bench.write(table=bench.table(each=NAMES).slice(0, 20))
    done = done_as_planned(bench, dataset={"targets": ["each"]})
    warned(done, "target 'each': 20 classes in 20 rows; most scores equal their null")
    for row in rows_of(done).values():  # whatever the order of a unique target, the score is the feature's entropy
        assert (row["p_value"], row["null_method"], row["significant"]) == (1, "degenerate", False)
        assert row["corrected_mi"] == pytest.approx(0, abs=1e-12)


def test_a_target_of_more_levels_than_classes_takes_the_frequent_ones(bench):
    bench.write(table=bench.table(each=NAMES))
    done = done_as_planned(bench, dataset={"targets": ["each"]})
    assert not any(row["significant"] for row in rows_of(done).values())


def test_one_row(bench):
    bench.write(table=bench.table().slice(0, 1))
    bench.refused(SchemaError, "dataset.targets: 'label' has one value in all rows", dataset=LABEL)
    done = done_as_planned(bench, dataset={"targets": []})
    table = done.table("correlation")
    assert set(table["value"]) <= {None, 0.0}
    assert table.select(*INTERVALS).null_count().row(0) == (len(table),) * 3
    assert set(table["p_value"]) <= {None, 1.0}
    warned(done, "mutual_information", "fewer groups than the 8")


def test_ten_rows(bench):
    bench.write(table=bench.table().slice(0, 10))
    done = done_as_planned(bench)
    rows = rows_of(done)
    assert (rows["amount"]["p_value"], rows["amount"]["null_method"]) == (1, "degenerate")  # every value is its own bin
    assert rows["city"]["null_method"] == "exact"
    assert not any(row["significant"] for row in rows.values())
    assert set(done.table("interaction")["strategy"]) == {"naive"}


@pytest.mark.parametrize("rows", [3, 7])
def test_fewer_rows_than_groups_that_are_needed(bench, rows):
    label = ["no", "yes"] * 4
    columns = {"amount": np.arange(8.0), "city": ["a", "a", "b", "b"] * 2, "label": label}
    bench.write(table=pa.table(columns).slice(0, rows))
    done = done_as_planned(bench)
    warned(done, f"target 'label': its rows fall into {rows} group(s)", RUN_TOO_FEW)
    assert set(done.table("ranking")["ci_low"]) == {None}


@pytest.mark.parametrize("dropped", [["city"], ["city", "amount"]], ids=["one feature", "no feature"])
def test_interactions_without_a_pair(bench, dropped):
    bench.write(table=bench.table().drop_columns(dropped))
    done = done_as_planned(bench)
    assert len(done.table("interaction")) == 0
    assert done.table("interaction").columns[:4] == ["target", "rank", "feature_a", "feature_b"]
    assert len(done.table("ranking")) == 2 - len(dropped)
    assert done.table("ranking").columns[:3] == ["target", "rank", "feature"]
    assert done.manifest["warnings"] == []


def test_interactions_of_nothing(bench):
    bench.write(table=bench.table(one=["x"] * ROWS, two=np.ones(ROWS)).drop_columns(["amount", "city"]))
    done = done_as_planned(bench)
    row = done.table("interaction").row(0, named=True)
    assert (row["synergy"], row["p_value"], row["q_value"], row["strategy"]) == (0, 1, 1, "naive")
    assert not any(row["significant"] for row in rows_of(done).values())
