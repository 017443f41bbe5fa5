"""Graphs of interactions: what is significant, in the same place whichever process draws it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from featflow.analyses.interaction.graphs import graphs
from featflow.analyses.reporting.limits import PageLimits

DRAWN = """
import polars as pl
from featflow.analyses.interaction.graphs import graphs
from featflow.analyses.reporting.limits import PageLimits
edges = [("hub", "a"), ("hub", "b"), ("hub", "c"), ("d", "e")]
rows = [{"feature_a": a, "feature_b": b, "rank": i, "synergy": 1.0 / (i + 1)} for i, (a, b) in enumerate(edges)]
table = pl.DataFrame(rows).with_columns(target=pl.lit("t"), q_value=pl.lit(0.0), ci_low=pl.lit(0.01))
print(graphs(table, None, 0.05, PageLimits(100))[0].places.tobytes().hex())
"""


def test_graphs_hold_what_is_significant(hostile_run):
    (graph,) = graphs(hostile_run.table("interaction"), hostile_run.table("ranking"), 0.05, PageLimits(100))
    assert graph.significant >= 1
    assert {graph.edges[0]["feature_a"], graph.edges[0]["feature_b"]} == {"a", "b"}
    assert all(edge["q_value"] <= 0.05 and edge["ci_low"] > 0 for edge in graph.edges)
    assert np.abs(graph.places).max() <= 1 + 1e-9
    (graph,) = graphs(hostile_run.table("interaction"), None, 0.0, PageLimits(100))
    assert (graph.significant, len(graph.edges)) == (0, 6)
    assert set(graph.alone) == {None}


def test_every_process_draws_the_same_graph():
    """Sets of names are in another order in each."""
    environments = [{**os.environ, "PYTHONHASHSEED": str(seed)} for seed in (1, 2, 3)]
    drawn = [
        subprocess.run([sys.executable, "-c", DRAWN], capture_output=True, text=True, check=True, env=each).stdout
        for each in environments
    ]
    assert len(set(drawn)) == 1
