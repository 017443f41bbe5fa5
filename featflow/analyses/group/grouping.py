"""Features cut into groups by their similarities, and the feature that stands for each.

Average linkage (Sokal & Michener 1958) of 1 - similarity, cut where the mean similarity of two groups falls below the
least. Features stand in the order of their names, so ties, which scipy joins in the order of places, hang on names
alone; equal similarities tie exactly, as all are multiples of one step. Beyond `DENSE_UP_TO` features a matrix of all
pairs would not fit: groups are connected components of the pairs that reach the least, which is single linkage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from featflow.analyses.group.similarity import STEP, Similarities
from featflow.analyses.group.tables import GROUP

__all__ = ["DENSE_UP_TO", "Candidate", "effective_features", "group_rows", "grouped"]

DENSE_UP_TO = 10_000
"""Features up to which all similarities are held at once: 50 million pairs, 400 MB, and as much for linkage."""


@dataclass(frozen=True)
class Candidate:
    """What decides whether a feature stands for its group."""

    name: str
    missing: int
    """Rows in which it is missing."""
    rank: float = np.inf
    """Best rank over the targets, infinite without a ranking; features of equal relevance share a rank."""
    target: str | None = None
    """Target of that rank."""
    relevance: float | None = None
    """Corrected information about that target, in nats."""

    @property
    def order(self) -> tuple[float, int, str]:
        """Return what features are ordered by: rank, then rows missing, then name."""
        return self.rank, self.missing, self.name


def grouped(blocks: Sequence[Similarities], features: int, least: float) -> np.ndarray:
    """Return the group of every feature, shape (features,), numbered from 0 in no order.

    Parameters
    ----------
    features
        How many there are; their places are in the order of their names.
    least
        Mean similarity from which groups are one.

    Examples
    --------
    >>> pairs = (np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.9, 0.5, 0.5], np.float32))
    >>> grouped([Similarities(*pairs, squares=0)], 3, 0.8).tolist()
    [0, 0, 1]
    """
    if features < 2:
        return np.arange(features)
    if features > DENSE_UP_TO:
        a, b = (np.concatenate([getattr(block, side) for block in blocks]) for side in ("a", "b"))
        links = coo_array((np.ones(len(a), bool), (a, b)), shape=(features, features))
        return np.asarray(connected_components(links, directed=False)[1])
    distance = np.ones(features * (features - 1) // 2)
    for block in blocks:
        a, b = np.minimum(block.a, block.b).astype(np.int64), np.maximum(block.a, block.b)
        distance[a * features - a * (a + 1) // 2 + b - a - 1] = 1.0 - block.values
    clusters = fcluster(linkage(distance, "average"), 1.0 - least, "distance")
    return np.unique(clusters, return_inverse=True)[1]


def effective_features(blocks: Iterable[Similarities], features: int) -> float:
    """Return how many features that are nothing alike would be as spread: ``(sum l)^2 / sum l^2``, l eigenvalues.

    The participation ratio of the similarity matrix S; the sums are its trace and the sum of its squares, so it needs
    no eigenvalues: p of p features that are nothing alike, 1 of copies.

    Examples
    --------
    >>> copies = Similarities(np.array([0]), np.array([1]), np.array([1.0], np.float32), squares=2**32)
    >>> effective_features([copies], 2), effective_features([], 2)
    (1.0, 2.0)
    """
    squares = sum(block.squares for block in blocks) * STEP**2
    return features**2 / (features + 2 * squares) if features else 0.0


def group_rows(
    candidates: Sequence[Candidate], groups: np.ndarray, similarity_to: dict[tuple[str, str], float]
) -> pa.Table:
    """Return the table: groups in the order of their representatives, members the most similar to it first.

    Parameters
    ----------
    candidates
        All features.
    groups
        Group of each.
    similarity_to
        Similarity by representative and feature, of pairs within groups.
    """
    members: dict[int, list[Candidate]] = {}
    for candidate, group in zip(candidates, groups.tolist(), strict=True):
        members.setdefault(group, []).append(candidate)
    heads = {group: min(those, key=lambda each: each.order) for group, those in members.items()}
    rows = []
    for number, group in enumerate(sorted(heads, key=lambda group: heads[group].order), start=1):
        head, those = heads[group], members[group]
        similar = {each.name: similarity_to.get((head.name, each.name)) for each in those}
        similar[head.name] = 1.0
        order = {each.name: (each is not head, -(similar[each.name] or 0.0), each.order) for each in those}
        rows += [
            {
                "group": number,
                "representative": head.name,
                "feature": each.name,
                "is_representative": each is head,
                "similarity": similar[each.name],
                "size": len(those),
                "target": each.target,
                "relevance": each.relevance,
                "missing": each.missing,
            }
            for each in sorted(those, key=lambda each: order[each.name])
        ]
    return GROUP.build({name: [row[name] for row in rows] for name in GROUP.schema.names})
