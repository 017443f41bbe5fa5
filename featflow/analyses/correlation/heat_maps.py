"""Heat maps of correlations, with columns in the order of their dendrogram.

Columns are merged by average linkage (Sokal & Michener 1958) of 1 - |value|, information as a share of the largest;
leaves are turned so that neighbours are most alike (Bar-Joseph, Gifford & Jaakkola 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from featflow.analyses.reporting.limits import PageLimits
from featflow.errors import DatasetError
from featflow.storage.run import Run

__all__ = ["HeatMap", "heat_maps", "ordered"]

FEWEST = 3
"""Columns from which a heat map is drawn: of two there is one value."""


@dataclass(frozen=True)
class HeatMap:
    """One method's values between some columns."""

    method: str
    names: tuple[str, ...]
    """In the order of the dendrogram."""
    values: np.ndarray
    """NaN where there is none and on the diagonal, shape (columns, columns)."""
    branches: tuple[np.ndarray, np.ndarray]
    """Places and heights of the dendrogram's links, a leaf at its index, shape (columns - 1, 4) each."""
    columns: int
    """Columns of which the table holds values, shown or not."""

    @property
    def unknown(self) -> int:
        """Pairs shown that have no value: not kept, not of this method, or of a column that does not vary."""
        known = np.isfinite(self.values[np.triu_indices(len(self.names), 1)])
        return int((~known).sum())


def heat_maps(run: Run, pairs: pl.DataFrame, limits: PageLimits) -> tuple[HeatMap, ...]:
    """Return a heat map for each method that has values of enough columns, of the columns of its strongest pairs.

    Parameters
    ----------
    pairs
        Columns method, feature_a, feature_b and value of the correlation table.
    """
    maps = []
    for method in pairs["method"].unique(maintain_order=True).to_list():
        method_pairs = pairs.filter((pl.col("method") == method) & pl.col("value").is_not_null())
        strongest = method_pairs.sort(pl.col("value").abs(), descending=True, maintain_order=True)
        names = _strongest_columns(strongest, limits.heat)
        if len(names) >= FEWEST:
            columns = pl.concat([method_pairs["feature_a"], method_pairs["feature_b"]]).n_unique()
            maps.append(ordered(method, names, _values_between(run, method, names, method_pairs), columns))
    return tuple(maps)


def _strongest_columns(strongest: pl.DataFrame, most: int) -> list[str]:
    """Return the columns of the strongest pairs, at most so many."""
    names: dict[str, None] = {}
    for pair in strongest.select("feature_a", "feature_b").iter_rows():
        if len(names.keys() | set(pair)) > most:
            break
        names.update(dict.fromkeys(pair))
    return list(names)


def _values_between(run: Run, method: str, names: list[str], pairs: pl.DataFrame) -> np.ndarray:
    """Return the values between columns, from the run's matrix if it wrote one, else from the table."""
    if (run.manifest["config"]["analyses"].get("correlation") or {}).get("dense"):
        try:
            stored_names, values = run.matrix(method, names)
        except DatasetError:  # of methods without matrices
            pass
        else:
            order = [stored_names.index(name) for name in names]
            return values[np.ix_(order, order)]
    place = {name: index for index, name in enumerate(names)}
    inside = pairs.filter(pl.col("feature_a").is_in(names) & pl.col("feature_b").is_in(names))
    values = np.full((len(names), len(names)), np.nan)
    i, j = ([place[name] for name in inside[side]] for side in ("feature_a", "feature_b"))
    values[i, j] = values[j, i] = inside["value"].to_numpy()
    return values


def ordered(method: str, names: list[str], values: np.ndarray, columns: int) -> HeatMap:
    """Return a heat map in the order of its dendrogram; pairs without a value have distance 1.

    Examples
    --------
    >>> nan = np.nan
    >>> values = np.array([[nan, 0.1, 0.9], [0.1, nan, 0.2], [0.9, 0.2, nan]])
    >>> ordered("pearson", ["a", "b", "c"], values, 3).names
    ('b', 'c', 'a')
    """
    strength = np.abs(np.nan_to_num(values))
    largest = max(float(strength.max()), np.finfo(float).tiny) if method == "mutual_information" else 1.0
    distance = np.clip(1 - strength / largest, 0, 1)
    np.fill_diagonal(distance, 0)
    links = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    drawn = dendrogram(links, no_plot=True)
    order = drawn["leaves"]
    # scipy draws leaf i at 10 i + 5; here it is drawn at i, over its column.
    branches = (np.array(drawn["icoord"]) - 5) / 10, np.array(drawn["dcoord"])
    return HeatMap(method, tuple(names[i] for i in order), values[np.ix_(order, order)], branches, columns)
