"""The pairs that say more together than apart, as a graph about each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx
import numpy as np
import polars as pl

from featflow.report.limits import Limits

__all__ = ["Graph", "graphs"]

MOST_EDGES = 24
"""Pairs drawn: of more, names lie over one another."""


@dataclass(frozen=True)
class Graph:
    """Features and their strongest synergies about a target."""

    target: str
    features: tuple[str, ...]
    alone: tuple[float | None, ...]
    """What each feature says alone, nats."""
    places: np.ndarray
    """Where it is drawn, in -1 to 1, shape (features, 2)."""
    edges: tuple[dict[str, Any], ...]
    """Rows of the interaction table, strongest first."""
    pairs: int
    """Pairs with a synergy above 0 in the table."""


def graphs(interaction: pl.DataFrame, ranking: pl.DataFrame | None, limits: Limits) -> tuple[Graph, ...]:
    """Return the graphs of the first targets that have a pair with a synergy above 0."""
    names = interaction["target"].unique(maintain_order=True).to_list()[: limits.targets]
    alone: dict[tuple[str, str], float] = {}
    if ranking is not None:
        columns = (ranking[name].to_list() for name in ("target", "feature", "corrected_mi"))
        alone = {(target, feature): value for target, feature, value in zip(*columns, strict=True)}
    found = []
    for target in names:
        together = interaction.filter((pl.col("target") == target) & (pl.col("synergy") > 0)).sort("rank")
        if together.height:
            edges = tuple(together.head(MOST_EDGES).to_dicts())
            found.append(_graph(target, edges, alone, together.height))
    return tuple(found)


def _graph(target: str, edges: tuple[dict[str, Any], ...], alone: dict[tuple[str, str], float], pairs: int) -> Graph:
    graph = networkx.Graph([(edge["feature_a"], edge["feature_b"]) for edge in edges])
    features = tuple(graph)
    drawn = _places(graph)
    places = np.array([drawn[feature] for feature in features]).reshape(-1, 2)
    return Graph(target, features, tuple(alone.get((target, each)) for each in features), places, edges, pairs)


def _places(graph: networkx.Graph) -> dict[str, np.ndarray]:
    """Return places that keep parts of the graph that hang together beside one another (Kamada & Kawai 1989)."""
    drawn: dict[str, np.ndarray] = {}
    parts = sorted(networkx.connected_components(graph), key=len, reverse=True)
    left = 0.0
    for part in parts:
        size = len(part) ** 0.5
        own = networkx.kamada_kawai_layout(graph.subgraph(sorted(part)), scale=size)
        drawn |= {name: place + [left + size, 0] for name, place in own.items()}
        left += 2 * size + 1
    points = np.array(list(drawn.values()))
    low, high = points.min(axis=0), points.max(axis=0)
    spread = np.where(high > low, high - low, 1)
    return {name: np.where(high > low, 2 * (place - low) / spread - 1, 0) for name, place in drawn.items()}
