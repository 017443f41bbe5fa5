"""What a level adds to expected information, interpolated in its rows: for millions of tables of one total.

Beyond the logarithm of its mean, a cell's ``E[k log k]`` is a smooth function of the logarithm of its margins (see
`featflow.measures.information.expected_excess`). It is computed exactly at nodes, all whole numbers where they are
small and even in the logarithm beyond, and between them is the polynomial through the nearest `STENCIL`. Nodes depend
on the total alone, so a result depends on its own margin alone. Error: below 1e-8 a cell. Cost: one exact value a node
and class, then a look into a table for each margin.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from featflow.measures.information import expected_information_terms

__all__ = ["COARSE", "FINE", "ClassTerms", "class_terms", "margin_nodes", "node_weights"]

FINE = 64, 0.1
"""Margin up to which every whole number is a node, and the distance of nodes beyond, relative to the margin."""
COARSE = 16, 0.3
"""The same where a relative error of 1e-5 will do."""
GROWTH = 1.25
"""How fast distances grow to that from 1: a stencil of very unlike distances would magnify errors."""
END = 0.35
"""Distance of nodes near the total, relative to what is left."""
STENCIL = 8
"""Nodes of one polynomial."""
PLACES = 12
"""Binary digits of a margin that the table tells apart; those after them are interpolated linearly."""
DIRECT = 2**14
"""Margins below it have a table of their own."""


@lru_cache(maxsize=256)
def margin_nodes(total: int, spacing: tuple[int, float] = FINE) -> np.ndarray:
    """Return the margins at which functions of tables of ``total`` rows are computed, ascending from 0 to ``total``.

    Parameters
    ----------
    spacing
        `FINE` or `COARSE`.

    Examples
    --------
    >>> len(margin_nodes(10**8)), len(margin_nodes(10**8, COARSE)), margin_nodes(10**8, COARSE)[-4:].tolist()
    (224, 99, [96934020, 98434645, 99935270, 100000000])
    """
    exact, relative = spacing
    nodes, step = list(range(min(total, exact) + 1)), 1.0
    while nodes[-1] < total:
        last = max(END * (total - nodes[-1]), END**4 * total)  # beyond the end there are no nodes to lean on
        step = min(step * GROWTH, relative * nodes[-1], last)
        nodes.append(min(nodes[-1] + max(1, round(step)), total))
    return np.array(nodes, np.int64)


def node_weights(nodes: np.ndarray, margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which nodes a function at ``margins`` is a weighted sum of, and the weights, both (margins, stencil).

    At a node its own weight is 1 and all others are 0, exactly.
    """
    width = min(STENCIL, len(nodes))
    x, places = np.log1p(margins.astype(np.float64)), np.log1p(nodes.astype(np.float64))
    first = np.clip(np.searchsorted(nodes, margins, side="right") - width // 2, 0, len(nodes) - width)
    index = first[:, None] + np.arange(width)
    around = np.lib.stride_tricks.sliding_window_view(places, width)
    weights = np.empty(index.shape)
    for one in range(width):
        above, below = np.ones(len(x)), np.ones(len(around))
        for other in range(width):
            if other != one:
                above *= x - around[first, other]
                below *= around[:, one] - around[:, other]
        weights[:, one] = above / below[first]
    return index, weights


class ClassTerms:
    """`expected_information_terms` of fixed classes, for any number of margins.

    Examples
    --------
    >>> classes = np.array([60_000, 40_000])
    >>> margins = np.array([0, 3, 20_000, 79_997])
    >>> exact = expected_information_terms(margins, classes)
    >>> bool(abs(ClassTerms(classes)(margins) - exact).max() < 1e-8)
    True
    """

    def __init__(self, classes: np.ndarray) -> None:
        total = int(classes.sum())
        nodes = margin_nodes(total)
        at_nodes = expected_information_terms(nodes, classes)
        last = int(_place(np.array([float(total)]))[0])
        margins = _margin(np.arange(last + 2))
        whole = np.flatnonzero(margins == np.floor(margins))
        index, weights = node_weights(nodes, margins[whole])
        self._table = np.zeros(last + 2)
        """By the leading digits of the margin, as a floating-point number has them."""
        terms = np.zeros(len(whole))
        for one in range(weights.shape[1]):
            terms += weights[:, one] * at_nodes[index[:, one]]
        self._table[whole] = terms
        self._direct = self._between(np.arange(min(total + 1, DIRECT)))

    def __call__(self, margins: np.ndarray) -> np.ndarray:
        """Return the terms, in the shape of ``margins``: whole numbers of rows up to the total of the classes."""
        if margins.max(initial=0) < len(self._direct):
            return np.take(self._direct, margins.astype(np.int64, copy=False), mode="clip")
        return self._between(margins)

    def _between(self, margins: np.ndarray) -> np.ndarray:
        real = margins.astype(np.float64)
        place = _place(real)
        low = np.take(self._table, place, mode="clip")
        place += 1
        slope = np.take(self._table, place, mode="clip")
        slope -= low
        slope *= (real.view(np.int64) & (2 ** (52 - PLACES) - 1)) * 2.0 ** (PLACES - 52)
        slope += low
        return slope


def _place(margins: np.ndarray) -> np.ndarray:
    """Return the place in the table, 0 of 0: exponent and leading digits of a float64."""
    place = margins.view(np.int64) >> (52 - PLACES)
    place -= (1023 << PLACES) - 1
    return np.maximum(place, 0, out=place)


def _margin(places: np.ndarray) -> np.ndarray:
    """Return the least margin of each place."""
    bits = (places + ((1023 << PLACES) - 1)) << (52 - PLACES)
    return np.where(places > 0, bits.view(np.float64), 0.0)


@lru_cache(maxsize=66)  # those of all rows and of all but one of 64 groups
def class_terms(classes: tuple[int, ...]) -> ClassTerms:
    """Return the terms of these classes, kept for the next call."""
    return ClassTerms(np.array(classes, np.int64))
