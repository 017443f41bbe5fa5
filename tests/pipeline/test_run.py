"""The whole job: real tables, both engines, any sharding and order, reuse."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import measured_again, mixed_table, write_parts

import featflow
from featflow.analyses.correlation.counts import pair_information

FLOAT_TOLERANCE = 1e-9
"""Relative to 1 for correlations, to the value for moments: sums in another order."""
COUNTED = {"mutual_information", "cramers_v"}
REAL_VALUED = ("value", "estimate", "error_bound", "standard_error", "ci_low", "ci_high", "p_value", "q_value")


def run(source, output, kind="serial", **more):
    dataset = {"source": str(source)} | more.pop("dataset", {})
    return featflow.run({"dataset": dataset, "output": str(output), "engine": {"kind": kind}} | more)


# --- real tables ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hflights(shared_data, tmp_path_factory):
    dataset = {"targets": ["Cancelled", "ArrDelay"]}
    return run(shared_data / "hflights.parquet", tmp_path_factory.mktemp("hflights"), dataset=dataset)


def test_hflights_reconciles(hflights):
    assert hflights.manifest["rows"] == {"footers": 227_496, "read": 227_496, "quarantined": 0}
    assert set(hflights.table("profile")["rows"]) == {227_496}


def test_hflights_pearson_is_exact(hflights):
    found = hflights.table("correlation").filter(
        (pl.col("method") == "pearson") & (pl.col("feature_a") == "ArrDelay") & (pl.col("feature_b") == "DepDelay")
    )
    assert found["value"][0] == pytest.approx(0.9292181471928528, abs=1e-12)
    assert found["n"][0] == 223_874


def test_hflights_year_is_constant(hflights):
    alerts = dict(hflights.table("profile").select("column", "alerts").iter_rows())
    assert [name for name, found in alerts.items() if "constant" in found] == ["Year"]
    assert "target_name" in alerts["CancellationCode"]


def test_hflights_leaks_of_cancelled_stand_out(hflights):
    rows = {row["feature"]: row for row in hflights.table("ranking").filter(pl.col("target") == "Cancelled").to_dicts()}
    assert rows["CancellationCode"]["rank"] == 1
    assert "determines_target" in rows["CancellationCode"]["alerts"]
    for name in ("DepTime", "ArrTime"):
        assert rows[name]["rank"] <= 8
        assert "missing_pattern" in rows[name]["alerts"]
        assert rows[name]["missing_mi"] > 0.99 * rows[name]["corrected_mi"]
    clean = [
        row["corrected_mi"] for row in rows.values() if not {"missing_pattern", "determines_target"} & {*row["alerts"]}
    ]
    assert max(clean) < rows["DepTime"]["corrected_mi"] / 3
    for row in rows.values():
        assert row["missing_mi"] + row["value_mi"] == pytest.approx(row["corrected_mi"], abs=1e-12)


def test_diabetes_as_categories(shared_data, tmp_path):
    kinds = dict.fromkeys(["encounter_id", "patient_nbr", "number_inpatient"], "category")
    done = run(
        shared_data / "diabetes130.parquet",
        tmp_path,
        dataset={"targets": ["readmitted"], "kinds": kinds},
        codebook={"levels": 131_072},
        analyses={"correlation": False, "interaction": False},
    )
    ranked = done.table("ranking")
    rows = {row["feature"]: row for row in ranked.to_dicts()}
    truth = {
        "encounter_id": (0.9451984, 0.9451984),
        "patient_nbr": (0.6532625, 0.6915410),
        "number_inpatient": (0.03113, 0.00020),
        "discharge_disposition_id": (0.02009, 0.00026),
        "diag_1": (0.02527, 0.00746),
        "diag_2": (0.02093, 0.00776),
        "medical_specialty": (0.00695, 0.00073),
    }
    for name, (mi, expected) in truth.items():
        digits = 7 if name.endswith(("_nbr", "r_id")) else 5
        assert round(rows[name]["mi"], digits) == mi, name
        assert round(rows[name]["expected_mi"], digits) == expected, name
    assert rows["encounter_id"]["corrected_mi"] == pytest.approx(0.0, abs=1e-12)
    assert rows["encounter_id"]["mi"] == pytest.approx(0.9451983913457026, abs=1e-12)  # H(readmitted)
    assert rows["patient_nbr"]["corrected_mi"] < 0
    assert rows["number_inpatient"]["cardinality"] == 21
    assert {"encounter_id", "patient_nbr"} == set(ranked.sort("mi", descending=True)["feature"][:2])
    assert min(rows["encounter_id"]["rank"], rows["patient_nbr"]["rank"]) > 20
    alerts = dict(done.table("profile").select("column", "alerts").iter_rows())
    assert [name for name, found in alerts.items() if "constant" in found] == ["examide", "citoglipton"]
    assert [name for name, found in alerts.items() if "id_like" in found] == ["encounter_id", "patient_nbr"]


def test_diabetes_as_numbers(shared_data, tmp_path):
    done = run(
        shared_data / "diabetes130.parquet",
        tmp_path,
        dataset={"targets": ["readmitted"]},
        codebook={"bins": 16},
        analyses={"correlation": False, "interaction": False},
    )
    rows = {row["feature"]: row for row in done.table("ranking").to_dicts()}
    assert round(rows["encounter_id"]["mi"], 5) == 0.00744
    assert round(rows["patient_nbr"]["mi"], 5) == 0.01348
    for name in ("encounter_id", "patient_nbr"):
        assert "id_like" in rows[name]["alerts"]
        assert rows[name]["corrected_mi"] > 0


# --- any order, any cut, either engine ------------------------------------------------------------------------------

ROWS = 6_000
SETTINGS = {
    "dataset": {"targets": ["target", "count"], "entity": ["user"], "shard_bytes": 1},
    "codebook": {"cells": 512},
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    table = mixed_table(ROWS)
    folder = tmp_path_factory.mktemp("reference")
    return run(write_parts(table, folder / "data", 1), folder / "out", **SETTINGS)


def arrangements():
    shuffled = np.random.default_rng(0).permutation(ROWS)
    by_x = np.argsort(mixed_table(ROWS)["x"].to_numpy())
    return {
        "7 shards": (None, 7, "serial"),
        "64 shards": (None, 64, "serial"),
        "shuffled": (shuffled, 7, "serial"),
        "sorted": (by_x, 1, "serial"),
        "ray": (None, 1, "ray"),
        "ray, 7 shards": (None, 7, "ray"),
        "ray, 64 shards, shuffled": (shuffled, 64, "ray"),
    }


@pytest.mark.parametrize("name", list(arrangements()))
def test_counts_and_information_do_not_depend_on_layout_by_a_bit(name, reference, tmp_path, local_ray):
    order, parts, kind = arrangements()[name]
    table = mixed_table(ROWS)
    table = table if order is None else table.take(pa.array(order))
    done = run(write_parts(table, tmp_path / "data", parts), tmp_path / "out", kind, **SETTINGS)
    assert done.manifest["shards"]["total"] == parts
    assert done.manifest["codebook"] == reference.manifest["codebook"]
    for table_name in ("ranking", "interaction"):
        assert done.arrow(table_name).equals(reference.arrow(table_name)), table_name
    ours, theirs = (r.table("correlation").sort("method", "feature_a", "feature_b") for r in (done, reference))
    exact = pl.col("method").is_in(list(COUNTED))
    assert ours.filter(exact).equals(theirs.filter(exact))
    np.testing.assert_allclose(
        ours["value"].fill_null(9.0).to_numpy(), theirs["value"].fill_null(9.0).to_numpy(), rtol=0, atol=FLOAT_TOLERANCE
    )
    ours, theirs = (r.table("profile") for r in (done, reference))
    close = {"mean", "std", "skewness", "kurtosis"}
    assert ours.drop(close).equals(theirs.drop(close))
    for column in close:
        np.testing.assert_allclose(
            ours[column].fill_null(0).to_numpy(), theirs[column].fill_null(0).to_numpy(), rtol=1e-7, atol=1e-9
        )


def test_two_runs_from_nothing_agree_bit_for_bit(engine_kind, tmp_path, mixed):
    source = write_parts(mixed, tmp_path / "data", 5)
    first, second = (run(source, tmp_path / name, engine_kind, **SETTINGS) for name in ("one", "two"))
    for name in first.manifest["tables"]:
        assert first.arrow(name).equals(second.arrow(name)), name


def test_small_blocks_give_what_large_ones_give(tmp_path, mixed, monkeypatch):
    source = write_parts(mixed, tmp_path / "data", 3)
    measured: list[object] = []

    def counting(spec, *rest):
        measured.append(spec)
        return pair_information(spec, *rest)

    monkeypatch.setattr("featflow.analyses.correlation.blocks.pair_information", counting)
    whole = run(source, tmp_path / "whole", **SETTINGS)
    assert len(measured) == 1
    monkeypatch.setattr("featflow.pipeline.column_pass.STATE_SHARE", 2_000)
    monkeypatch.setattr("featflow.execution.state_store.check_sizes", lambda *_: None)
    cut = run(source, tmp_path / "cut", **SETTINGS)
    assert len(measured) > 3
    for name in ("ranking", "interaction"):
        assert whole.arrow(name).equals(cut.arrow(name))
    ours, theirs = (r.table("correlation").sort("method", "feature_a", "feature_b") for r in (whole, cut))
    assert ours["p_value"].null_count() < len(ours) / 10
    assert ours.drop(REAL_VALUED).equals(theirs.drop(REAL_VALUED))
    for name in ("p_value", "q_value"):
        np.testing.assert_allclose(ours[name].fill_null(9.0), theirs[name].fill_null(9.0), rtol=1e-6, atol=1e-300)
    np.testing.assert_allclose(ours["value"].fill_null(9.0), theirs["value"].fill_null(9.0), atol=1e-12)


# --- reuse ----------------------------------------------------------------------------------------------------------


def test_the_second_run_computes_nothing_and_gives_the_same(engine_kind, tmp_path, mixed):
    source = write_parts(mixed, tmp_path / "data", 4)
    first = run(source, tmp_path / "out", engine_kind, **SETTINGS)
    second = run(source, tmp_path / "out", engine_kind, **measured_again(SETTINGS))
    assert first.manifest["shards"] == {"total": 4, "computed": 4, "reused": 0}
    assert second.manifest["shards"] == {"total": 4, "computed": 0, "reused": 4}
    digests = [{name: entry["sha256"] for name, entry in r.manifest["tables"].items()} for r in (first, second)]
    assert digests[0].pop("drift") != digests[1].pop("drift")  # it names the runs
    assert digests[0] == digests[1]
    assert featflow.Run.open(str(tmp_path / "out")).run_id == second.run_id
    assert [r.run_id for r in featflow.list_runs(str(tmp_path / "out"))] == sorted([first.run_id, second.run_id])


def test_a_changed_file_costs_its_own_shards_unless_codings_are_made_anew(tmp_path, mixed):
    source = write_parts(mixed, tmp_path / "data", 4)
    only_profile = SETTINGS | {"analyses": {"correlation": False, "interaction": False, "ranking": False}}
    run(source, tmp_path / "out", **SETTINGS)
    pq.write_table(mixed.slice(0, 100), tmp_path / "data" / "part-001.parquet")
    again = run(source, tmp_path / "out", **only_profile)
    assert again.manifest["shards"] == {"total": 4, "computed": 1, "reused": 3}
    assert again.manifest["rows"]["read"] == 4_500 + 100
    assert run(source, tmp_path / "out", **SETTINGS).manifest["shards"] == {"total": 4, "computed": 1, "reused": 3}
    anew = SETTINGS | {"codebook": SETTINGS.get("codebook", {}) | {"frozen": False}}
    assert run(source, tmp_path / "out", **anew).manifest["shards"] == {"total": 4, "computed": 4, "reused": 0}


# --- what is published ----------------------------------------------------------------------------------------------


def test_statistics_are_null_never_nan(reference):
    for name in reference.manifest["tables"]:
        table = reference.arrow(name)
        for column, field in zip(table.columns, table.schema, strict=True):
            assert field.type not in (pa.large_string(), pa.large_binary()), field.name
            if pa.types.is_floating(field.type):
                values = column.drop_null().to_numpy()
                assert np.isfinite(values).all(), f"{name}.{field.name}"


def test_profile_against_numpy(reference):
    table = mixed_table(ROWS).to_pandas()
    rows = {row["column"]: row for row in reference.table("profile").to_dicts()}
    y = table["y"]
    assert rows["y"]["missing"] == int(y.isna().sum())
    assert rows["y"]["mean"] == pytest.approx(y.mean(), rel=1e-12)
    assert rows["y"]["std"] == pytest.approx(y.std(), rel=1e-8)
    assert rows["x"]["skewness"] == pytest.approx(table["x"].skew(), abs=1e-3)
    assert (rows["x"]["min"], rows["x"]["max"]) == (table["x"].min(), table["x"].max())
    for probability, value in zip((0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99), rows["x"]["quantiles"], strict=True):
        share = (table["x"] <= value).mean()
        assert abs(share - probability) <= rows["x"]["quantile_rank_error"] + 1 / ROWS
    assert rows["city"]["distinct"] == 40
    assert rows["city"]["top_values"][0]["count"] == table["city"].value_counts().iloc[0]
    assert rows["big_id"]["distinct_low"] <= ROWS <= rows["big_id"]["distinct_high"]
    assert "id_like" in rows["big_id"]["alerts"]
    assert (rows["nested.a"]["kind"], rows["nested.b"]["kind"]) == ("number", "category")
    assert rows["flag"]["top_values"][0]["value"] == "false"
    counts = table["city"].value_counts(dropna=False).to_numpy() / ROWS
    assert rows["city"]["entropy"] == pytest.approx(-(counts * np.log(counts)).sum(), abs=1e-12)


def test_manifest_says_what_was_done(reference):
    manifest = json.loads(reference.store.read(f"runs/{reference.run_id}/manifest.json"))
    assert manifest == reference.manifest
    assert manifest["config"]["dataset"]["targets"] == ["target", "count"]
    assert sum(entry["rows"] for entry in manifest["inputs"]) == ROWS
    assert set(manifest["software"]) >= {"featflow", "ray", "pyarrow", "torch"}
    assert "_SUCCESS" in reference.store.names(f"runs/{reference.run_id}")


def test_units_are_said_in_the_metadata(reference):
    schema = reference.arrow("ranking").schema
    assert schema.field("corrected_mi").metadata[b"unit"] == b"nats"


def test_xor_of_fair_bits_in_a_run(tmp_path):
    grid = np.array([(a, b) for a in (0, 1) for b in (0, 1)] * 250)
    table = pa.table({"a": grid[:, 0], "b": grid[:, 1], "y": grid[:, 0] ^ grid[:, 1]})
    done = run(write_parts(table, tmp_path / "data", 2), tmp_path / "out", dataset={"targets": ["y"]})
    row = done.table("interaction").row(0, named=True)
    noise = row["expected_mi"]
    assert row["joint_mi"] == pytest.approx(math.log(2), abs=1e-12)
    assert row["synergy"] == pytest.approx(math.log(2), abs=2 * noise)
    assert max(done.table("ranking")["mi"]) < 1e-12


def test_levels_beyond_the_limit_are_hashed_and_stay_calibrated(tmp_path):
    random = np.random.default_rng(2)
    values = np.where(random.random(20_000) < 0.3, "heavy", random.integers(0, 15_000, 20_000).astype(str))
    table = pa.table({"id": values, "y": random.integers(0, 2, 20_000)})
    done = run(
        write_parts(table, tmp_path / "data", 3),
        tmp_path / "out",
        dataset={"targets": ["y"]},
        codebook={"levels": 1_000},
    )
    row = done.table("ranking").row(0, named=True)
    assert abs(row["corrected_mi"]) < 0.02 < row["mi"]
    profiled = {r["column"]: r for r in done.table("profile").to_dicts()}["id"]
    assert profiled["distinct_low"] <= len(set(values)) <= profiled["distinct_high"]
    top = profiled["top_values"][0]
    assert top["value"] == "heavy"
    assert 0.98 * (values == "heavy").sum() <= top["count"] <= (values == "heavy").sum()
