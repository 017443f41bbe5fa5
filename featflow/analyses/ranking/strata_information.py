"""Information of tables within strata."""

from __future__ import annotations

import numpy as np

from featflow.measures.effective_rows import whole_rows
from featflow.measures.information import stacked_information

__all__ = ["strata_information"]


def strata_information(tables: list[np.ndarray], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return plug-in information, and its mean were rows independent, both means over strata, shape (tables,).

    Parameters
    ----------
    tables
        Counts or sums of weights of the same rows, each shape (levels, strata, classes).
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.

    Examples
    --------
    >>> same, other = np.array([[9, 0], [0, 9]]), np.array([[5, 4], [4, 5]])
    >>> mi, expected = strata_information([same[:, None], other[:, None]], 1.0)
    >>> mi.round(3).tolist(), expected.round(3).tolist()
    ([0.693, 0.006], [0.03, 0.03])
    """
    counts = np.concatenate(tables)
    starts = np.cumsum([0, *(len(table) for table in tables)])
    mi, expected = np.zeros(len(tables)), np.zeros(len(tables))
    held = counts[: starts[1]].sum(axis=0)
    rows = held.sum(axis=1)
    for stratum in np.flatnonzero(np.count_nonzero(held, axis=1) > 1):  # of one class all information is 0
        some = counts[:, stratum]
        classes = whole_rows(held[stratum], scale)
        parts = np.split(some.sum(axis=1), starts[1:-1])
        margins = np.concatenate([whole_rows(part, scale, int(classes.sum())) for part in parts])
        plug_in, mean = stacked_information(some, starts[:-1], margins, classes)
        share = rows[stratum] / rows.sum()
        mi, expected = mi + share * plug_in, expected + share * mean
    return mi, expected
