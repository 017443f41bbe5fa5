"""One process or Ray: by what is asked, else by the size of the work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from datasets import mixed_table, write_parts

import featflow
from featflow import config as configuration
from featflow.dataset.dataset import open_dataset
from featflow.pipeline.engine_choice import SERIAL_SECONDS, choose_engine, serial_seconds
from featflow.pipeline.plan import plan


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choice")
    source = write_parts(mixed_table(2_000), folder / "data", 2)
    return {"dataset": {"source": source, "targets": ["target"]}, "output": str(folder / "out")}


def chosen(base, rows=1, engine=None, images=(), **analyses):
    """What is chosen for so many times the rows there are."""
    values = {**base, "engine": engine or {}, "analyses": analyses}
    options = configuration.parse(values | {"dataset": {**base["dataset"], "images": list(images)}})
    dataset = open_dataset(options.dataset)
    return choose_engine(options, replace(dataset, shards=dataset.shards * rows))


def test_small_data_takes_one_process_and_large_data_ray(base):
    small, large = chosen(base), chosen(base, 20_000)
    assert (small.kind, large.kind) == ("serial", "ray")
    assert small.seconds < SERIAL_SECONDS < large.seconds
    assert f"{large.seconds:,.0f} s" in large.reason


@pytest.mark.parametrize(("engine", "kind"), [({"kind": "ray"}, "ray"), ({"address": "auto"}, "ray")])
def test_what_is_asked_for_is_done(base, engine, kind):
    assert chosen(base, engine=engine).kind == kind
    assert chosen(base, 20_000, {"kind": "serial"}).kind == "serial"


def test_pictures_and_pairs_take_time(base):
    plain, described = chosen(base, 30), chosen(base, 30, images=["user"])
    encoded = chosen(base, 30, images=[{"column": "user", "encoder": "transformers:/a/model"}])
    assert plain.seconds < described.seconds < encoded.seconds
    assert (plain.kind, encoded.kind) == ("serial", "ray")
    assert chosen(base, correlation=False, interaction=False).seconds < chosen(base, correlation=False).seconds


def test_the_estimate_of_a_measured_run(base):
    """1,000,000 rows x 80 columns took 29 s, start and all; two thousand columns are mostly pairs."""
    options = configuration.parse(base)
    dataset = open_dataset(options.dataset)
    wide = replace(dataset, columns=dataset.columns[:1] * 80, shards=dataset.shards * 500)
    assert wide.rows == 1_000_000
    assert 20 < serial_seconds(options, wide) < 40


def test_a_run_and_its_plan_say_which_engine_and_why(base):
    run = featflow.run(base)
    planned = plan(configuration.parse(base))
    assert run.manifest["config"]["engine"]["kind"] == "auto"
    assert (run.manifest["engine"], run.manifest["engine_reason"]) == (planned.engine, planned.engine_reason)
    assert planned.engine == "serial"
    assert "in one process" in planned.engine_reason
