"""The exact null of small tables: every table with the same margins, its probability and its score."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.special import gammaln

from featflow.measures.information import xlogx

__all__ = ["enumerated_null"]

MOST_TABLES = 20_000
"""Tables that are enumerated at most: time and memory grow with them. Of more, the null is drawn or a gamma."""


def enumerated_null(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the information of every table with these margins and its probability, None if there are too many.

    Parameters
    ----------
    rows, columns
        Margins above 0, shapes (levels,) and (classes,).

    Examples
    --------
    >>> information, probability = enumerated_null(np.array([1, 1]), np.array([1, 1]))
    >>> information.round(6).tolist(), probability.tolist()
    ([0.693147, 0.693147], [0.5, 0.5])
    """
    if min(len(rows), len(columns)) < 2:
        return None
    rows, columns = np.sort(rows)[::-1], np.sort(columns)[::-1]  # the largest of each follows from the others
    bounds = [float(_log_choose(x[1:] + len(y) - 1, len(y) - 1).sum()) for x, y in ((rows, columns), (columns, rows))]
    if min(bounds) > np.log(MOST_TABLES):
        return None
    if bounds[1] < bounds[0]:
        rows, columns = columns, rows
    remaining, log_p, score = columns[None, :], np.zeros(1), np.zeros(1)
    for margin in rows[1:].tolist():
        parts = _compositions(margin, len(columns))
        cells, log_parts = np.repeat(parts, len(remaining), axis=0), np.tile(log_p, len(parts))
        reduced = np.tile(remaining, (len(parts), 1)) - cells
        fits = (reduced >= 0).all(axis=1)
        remaining, cells = reduced[fits], cells[fits]
        log_p = log_parts[fits] - gammaln(cells + 1.0).sum(axis=1)
        score = np.tile(score, len(parts))[fits] + xlogx(cells).sum(axis=1)
    log_p = log_p - gammaln(remaining + 1.0).sum(axis=1)
    score = score + xlogx(remaining).sum(axis=1)
    total = float(rows.sum())
    information = (score - xlogx(rows).sum() - xlogx(columns).sum() + xlogx(total)) / total
    p = np.exp(log_p - log_p.max())
    return information, p / p.sum()


def _log_choose(n: np.ndarray, k: int) -> np.ndarray:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def _compositions(total: int, parts: int) -> np.ndarray:
    """Return all ways to write a total as a sum of so many parts, by stars and bars, shape (ways, parts)."""
    bars = np.array(list(combinations(range(total + parts - 1), parts - 1)), np.int64)
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), total + parts - 1)], axis=1)
    return np.diff(edges, axis=1) - 1
