"""Graphs of the pairs of strongest synergy about each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.significance import significant_pairs

__all__ = ["Graph", "graphs"]

MOST_EDGES, UNSURE_EDGES = 24, 6
"""Pairs drawn, and pairs drawn where none is significant: of more, names lie over one another."""
WIDE = 2.2
"""Width of a drawing over its height: about that of the plot, 460 pixels high, on a wide page."""


@dataclass(frozen=True)
class Graph:
    """Features and their strongest synergies about a target."""

    target: str
    features: tuple[str, ...]
    alone: tuple[float | None, ...]
    """Information of each feature alone, nats."""
    places: np.ndarray
    """Position of each feature in -1 to 1, shape (features, 2)."""
    edges: tuple[dict[str, Any], ...]
    """Rows of the interaction table, strongest first."""
    significant: int
    """Pairs of the table that are significant; if 0, the strongest are drawn nevertheless."""


def graphs(
    interaction: pl.DataFrame, ranking: pl.DataFrame | None, rate: float, limits: PageLimits
) -> tuple[Graph, ...]:
    """Return the graphs of the first targets that have a pair with a synergy above 0.

    Parameters
    ----------
    rate
        False-discovery rate up to which a pair is significant; the interval of its synergy lies above 0, too.
    """
    names = interaction["target"].unique(maintain_order=True).to_list()[: limits.targets]
    alone: dict[tuple[str, str], float] = {}
    if ranking is not None:
        columns = (ranking[name].to_list() for name in ("target", "feature", "corrected_mi"))
        alone = {(target, feature): value for target, feature, value in zip(*columns, strict=True)}
    drawn_graphs = []
    for target in names:
        together = interaction.filter((pl.col("target") == target) & (pl.col("synergy") > 0)).sort("rank")
        significant = significant_pairs(together, rate)
        if together.height:
            edges = significant.head(MOST_EDGES) if significant.height else together.head(UNSURE_EDGES)
            drawn_graphs.append(_graph(target, tuple(edges.to_dicts()), alone, significant.height))
    return tuple(drawn_graphs)


def _graph(target: str, edges: tuple[dict[str, Any], ...], alone: dict[tuple[str, str], float], count: int) -> Graph:
    graph = nx.Graph([(edge["feature_a"], edge["feature_b"]) for edge in edges])
    features = tuple(graph)
    positions = _layout(graph)
    places = np.array([positions[feature] for feature in features]).reshape(-1, 2)
    return Graph(target, features, tuple(alone.get((target, each)) for each in features), places, edges, count)


def _layout(graph: nx.Graph) -> dict[str, np.ndarray]:
    """Return positions of features: connected parts by Kamada & Kawai (1989), in rows, largest first."""
    positions: dict[str, np.ndarray] = {}
    parts = sorted(nx.connected_components(graph), key=lambda part: (-len(part), min(part)))
    widths = [2 * len(part) ** 0.5 + 1 for part in parts]
    most = max(widths[0], (WIDE * sum(width**2 for width in widths)) ** 0.5)
    left = top = 0.0
    tallest = widths[0]
    for part, width in zip(parts, widths, strict=True):
        if left and left + width > most:
            left, top, tallest = 0.0, top - tallest, width
        ordered = nx.Graph()  # a subgraph's nodes come in the order of a set of strings, which no two processes share
        ordered.add_nodes_from(sorted(part))
        ordered.add_edges_from(graph.subgraph(part).edges)
        own = nx.kamada_kawai_layout(ordered, scale=(width - 1) / 2)
        # Of two, one stands above the other: their names need the width.
        own = {name: place[::-1] for name, place in own.items()} if len(own) == 2 else own
        middle = np.array([left + width / 2, top - width / 2])
        positions |= {name: place + middle for name, place in own.items()}
        left += width
    points = np.array(list(positions.values()))
    low, high = points.min(axis=0), points.max(axis=0)
    spread = np.where(high - low > 1e-9, high - low, 1)
    return {name: np.where(high - low > 1e-9, 2 * (place - low) / spread - 1, 0) for name, place in positions.items()}
