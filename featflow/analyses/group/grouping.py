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

__all__ = [
    "DENSE_UP_TO",
    "Candidate",
    "effective_features",
    "group_rows",
    "grouped",
    "representatives",
    "similarity_to_heads",
]

DENSE_UP_TO = 10_000
"""Features up to which all similarities are held at once: 50 million pairs. The driver then
holds 1.5 GB at most, and linkage takes 4 s."""


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


def representatives(candidates: Sequence[Candidate], groups: np.ndarray) -> np.ndarray:
    """Return the place of the feature that stands for each feature's group, shape (features,).

    Examples
    --------
    >>> representatives([Candidate("a", 5), Candidate("b", 0), Candidate("c", 0)], np.array([7, 7, 1])).tolist()
    [1, 1, 2]
    """
    heads: dict[int, int] = {}
    for place in sorted(range(len(candidates)), key=lambda place: candidates[place].order):
        heads.setdefault(int(groups[place]), place)
    return np.array([heads[group] for group in groups.tolist()], np.int64)


def similarity_to_heads(blocks: Iterable[Similarities], heads: np.ndarray) -> np.ndarray:
    """Return the similarity of each feature to its representative, shape (features,), NaN where no pair holds it."""
    similarity = np.full(len(heads), np.nan)
    for block in blocks:
        for feature, other in ((block.a, block.b), (block.b, block.a)):
            inside = heads[feature] == other
            similarity[feature[inside]] = block.values[inside]
    similarity[np.unique(heads)] = 1.0
    return similarity


def group_rows(candidates: Sequence[Candidate], heads: np.ndarray, similarity: np.ndarray) -> pa.Table:
    """Return the table: groups in the order of their representatives, members the most similar to it first.

    Parameters
    ----------
    candidates
        All features.
    heads
        Place of the representative of each.
    similarity
        Similarity to it.
    """

    def place_in_table(place: int) -> tuple[object, ...]:
        head = int(heads[place])
        return candidates[head].order, place != head, -np.nan_to_num(similarity[place]), candidates[place].order

    rows = sorted(range(len(candidates)), key=place_in_table)
    members = [candidates[place] for place in rows]
    number = {int(head): index for index, head in enumerate(dict.fromkeys(heads[rows].tolist()), start=1)}
    sizes = np.bincount(heads, minlength=1)
    return GROUP.build(
        {
            "group": [number[int(heads[place])] for place in rows],
            "representative": [candidates[int(heads[place])].name for place in rows],
            "feature": [each.name for each in members],
            "is_representative": [bool(heads[place] == place) for place in rows],
            "similarity": similarity[rows],
            "size": [int(sizes[heads[place]]) for place in rows],
            "target": [each.target for each in members],
            "relevance": [each.relevance for each in members],
            "missing": [each.missing for each in members],
        }
    )
