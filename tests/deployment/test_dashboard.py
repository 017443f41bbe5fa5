"""The dashboard asks for the metrics that featflow exports: every one of them, by labels that they have."""

from __future__ import annotations

import importlib
import json
import re

import promql_parser
import pytest
from deployment.manifests import DEPLOY, manifest
from promql_parser import VectorSelector

EXPORTED = {
    "ray_featflow_shards_total": {"stage"},
    "ray_featflow_rows_total": {"stage"},
    "ray_featflow_bytes_total": {"stage"},
    "ray_featflow_stage_seconds_total": {"stage"},
    "ray_featflow_retries_total": {"kind"},
    "ray_featflow_quarantined_rows": set(),
    "ray_featflow_in_flight": set(),
    "ray_featflow_peak_memory_bytes": {"process"},
}
"""Names as Prometheus sees them, with their labels."""
SOURCE = "featflow.execution.engines.ray_metrics"


@pytest.fixture(scope="module")
def dashboard():
    return json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))


def expressions(dashboard):
    return [target["expr"].replace("$cluster", ".*") for panel in dashboard["panels"] for target in panel["targets"]]


def selectors(node):
    """Yield the selectors of a parsed expression."""
    if isinstance(node, VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vs", "vector_selector"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or []:
        yield from selectors(inner)


def test_it_asks_for_every_metric_by_labels_that_it_has(dashboard):
    asked = set()
    for text in expressions(dashboard):
        (selector,) = selectors(promql_parser.parse(text))
        asked.add(selector.name)
        by = re.search(r"\bby \((\w+)\)", text)
        assert ({by.group(1)} if by else set()) == EXPORTED[selector.name]
        assert [matcher.name for matcher in selector.matchers.matchers] == ["ray_io_cluster"]
    assert asked == set(EXPORTED)


def test_names_are_those_of_the_code():
    from ray.util.metrics import Counter, Metric

    found = {}
    for value in vars(importlib.import_module(SOURCE).RayMetrics()).values():
        for metric in value.values() if isinstance(value, dict) else [value]:
            if isinstance(metric, Metric):
                name = f"ray_{metric.info['name']}" + "_total" * isinstance(metric, Counter)
                found[name] = set(metric.info["tag_keys"])
    assert found == EXPORTED


def test_the_label_of_its_variable_is_set_by_the_monitor(dashboard):
    (endpoint,) = manifest("podmonitor.yaml")["spec"]["podMetricsEndpoints"]
    labels = [each["targetLabel"] for each in endpoint["relabelings"]]
    (cluster,) = [each for each in dashboard["templating"]["list"] if each["name"] == "cluster"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", cluster["query"]).groups()
    assert metric in EXPORTED
    assert label in labels


def test_panels_lie_side_by_side(dashboard):
    cells = [(p["gridPos"]["x"] + x, p["gridPos"]["y"]) for p in dashboard["panels"] for x in range(p["gridPos"]["w"])]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["description"] for panel in dashboard["panels"])
