"""The pods of rayjob.yaml hold what featflow plans to take on as many cores."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pytest
from deployment.manifests import DEPLOY, manifest

from featflow.config import load
from featflow.execution.state_store import WORKING_COPIES
from featflow.pipeline.column_pass import state_bytes
from featflow.pipeline.plan import PROCESS_BYTES, plan
from featflow.storage.store import Store

UNITS = {"Mi": 2**20, "Gi": 2**30}
OBJECT_STORE = 0.3
"""Share of a node's memory that Ray gives to its object store."""
RAY_HEAD = 2 * 2**30
"""What Ray's own processes on a head take, generously."""
COLUMNS = 2_000


def nbytes(quantity):
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def limits(name):
    cluster = manifest("rayjob.yaml")["spec"]["rayClusterSpec"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    template = (groups | {"head": cluster["headGroupSpec"]["template"]})[name]
    resources = template["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]  # Ray counts with limits, Kubernetes places by requests
    return int(resources["limits"]["cpu"]), nbytes(resources["limits"]["memory"])


@pytest.fixture(scope="module")
def config():
    return load(str(DEPLOY / "featflow.yaml"), ["dataset.window=null", "dataset.event_time=null"])


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A dataset of as many columns as README.md says that the workers hold."""
    folder = tmp_path_factory.mktemp("wide")
    values = np.random.default_rng(3).normal(size=(COLUMNS, 1_000)).astype(np.float32)
    Store(str(folder)).write_parquet("data/a.parquet", pa.table({f"x{i}": each for i, each in enumerate(values)}))
    return folder


@pytest.mark.parametrize("group", ["cpu", "gpu"])
def test_a_worker_holds_the_plan_of_a_wide_table(config, wide, group, monkeypatch):
    cores, memory = limits(group)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    dataset = config.dataset.model_copy(update={"source": [f"{wide}/data"], "targets": ["x0"]})
    planned = plan(config.model_copy(update={"dataset": dataset, "output": f"{wide}/out"}))
    assert sum(planned.columns.values()) == COLUMNS
    assert planned.memory_bytes <= memory * (1 - OBJECT_STORE)


@pytest.mark.parametrize("group", ["cpu", "gpu"])
def test_a_worker_holds_the_largest_states_that_the_budget_allows(config, group):
    cores, memory = limits(group)
    most = cores * (WORKING_COPIES * state_bytes(config) + PROCESS_BYTES)
    assert most <= memory * (1 - OBJECT_STORE)


def test_the_head_holds_the_budget_beside_ray(config):
    _, memory = limits("head")
    assert int(config.budget.memory) + PROCESS_BYTES + RAY_HEAD <= memory


def test_the_gpu_group_comes_only_when_asked_for(config):
    groups = manifest("rayjob.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    gpu = {group["groupName"]: group for group in groups}["gpu"]
    assert (gpu["minReplicas"], gpu["replicas"]) == (0, 0)
    assert config.engine.encoder_gpus is None
    text = (DEPLOY / "featflow.yaml").read_text(encoding="utf-8")
    assert "# encoder_gpus: 1 " in text  # a share that is asked for brings a node; "any there are" finds none
