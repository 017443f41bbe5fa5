"""Graphs of interactions."""

from __future__ import annotations

import numpy as np

from featflow.analyses.interaction.graphs import graphs
from featflow.analyses.reporting.limits import PageLimits


def test_graphs_hold_what_is_significant(hostile_run):
    (graph,) = graphs(hostile_run.table("interaction"), hostile_run.table("ranking"), 0.05, PageLimits(100))
    assert graph.significant >= 1
    assert {graph.edges[0]["feature_a"], graph.edges[0]["feature_b"]} == {"a", "b"}
    assert all(edge["q_value"] <= 0.05 and edge["ci_low"] > 0 for edge in graph.edges)
    assert np.abs(graph.places).max() <= 1 + 1e-9
    (graph,) = graphs(hostile_run.table("interaction"), None, 0.0, PageLimits(100))
    assert (graph.significant, len(graph.edges)) == (0, 6)
    assert set(graph.alone) == {None}
