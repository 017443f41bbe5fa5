"""Interpolates what a level adds to expected information, in its rows: for millions of tables of one total.

Beyond the logarithm of its mean, a cell's ``E[k log k]`` is a smooth function of the logarithm of its margins (see
`featflow.measures.information.expected_excess`). It is computed exactly at nodes, all whole numbers where they are
small and even in the logarithm beyond, and between them is the polynomial through the nearest `STENCIL`. Nodes depend
on the total alone, so a result depends on its own margin alone. Error: below 1e-8 a cell. Cost: one exact value a node
and class, then a look into a table for each margin.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np

from featflow.measures.information import expected_excess_terms

__all__ = ["COARSE", "FINE", "ClassTerms", "class_terms", "margin_nodes", "node_weights"]

FINE = 64, 0.1
"""Margin up to which every whole number is a node, and the distance of nodes beyond, relative to the margin."""
COARSE = 16, 0.3
"""The same where a relative error of 1e-5 will do."""
GROWTH = 1.25
"""How fast distances grow to that from 1: a stencil of very unlike distances would magnify errors."""
END = 0.35
"""Distance of nodes near the total, relative to what is left: nodes get denser towards the total as towards 0."""
STENCIL = 8
"""Nodes of one polynomial: with the spacing of `FINE` its error is below 1e-8 a cell."""
PLACES = 8
"""Binary digits of a margin that choose its parabola: 256 of them from each power of two to the next."""
SHIFT = 52 - PLACES
"""Digits of a float64 after these."""
FIRST = (1023 << PLACES) - 1
"""Exponent and leading digits of the number 1, less 1."""
DIRECT = 2**16
"""Margins below it are looked up in a table of 512 KiB."""


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
    """`expected_excess_terms` of fixed classes, for any number of margins.

    Examples
    --------
    >>> classes = np.array([60_000, 40_000])
    >>> margins = np.array([0, 3, 20_000, 79_997])
    >>> exact = expected_excess_terms(margins, classes)
    >>> bool(abs(ClassTerms(classes)(margins) - exact).max() < 1e-8)
    True
    """

    def __init__(self, classes: np.ndarray) -> None:
        total = int(classes.sum())
        nodes = margin_nodes(total)
        at_nodes = expected_excess_terms(nodes, classes)

        def terms(margins: np.ndarray) -> np.ndarray:
            index, weights = node_weights(nodes, margins)
            return np.asarray((weights * at_nodes[index]).sum(axis=1))

        bits = np.arange(int(np.float64(max(total, 1)).view(np.int64) >> SHIFT) - FIRST + 2) + FIRST << SHIFT
        margins = bits.view(np.float64)
        margins[0] = 0.0
        self._constant, self._slope, self._curve = np.zeros((3, len(bits)))
        integers = np.flatnonzero(margins == np.floor(margins))
        self._constant[integers] = terms(margins[integers])
        segments = np.flatnonzero(margins[:-1] >= 2**PLACES)  # below, margins are the first of their parabola
        middles = terms((margins[segments] + margins[segments + 1]) / 2)
        low, high = self._constant[segments], self._constant[segments + 1]
        self._slope[segments] = 4 * middles - 3 * low - high
        self._curve[segments] = 2 * (low + high) - 4 * middles
        self._total = total

    @cached_property
    def _direct(self) -> np.ndarray:
        """Terms of the margins below `DIRECT`."""
        return self._interpolated(np.arange(min(self._total + 1, DIRECT)))

    def __call__(self, margins: np.ndarray) -> np.ndarray:
        """Return the terms, in the shape of ``margins``: whole numbers of rows up to the total of the classes."""
        if margins.max(initial=0) < DIRECT:
            return np.take(self._direct, margins.astype(np.int64, copy=False), mode="clip")
        return self._interpolated(margins)

    def _interpolated(self, margins: np.ndarray) -> np.ndarray:
        floats = margins.astype(np.float64)
        bits = floats.view(np.int64)
        segment = bits >> SHIFT
        segment -= FIRST  # of 0 below 0, which is clipped
        bits &= 2**SHIFT - 1
        fraction = bits * 2.0**-SHIFT
        result = np.take(self._curve, segment, mode="clip")
        result *= fraction
        result += np.take(self._slope, segment, mode="clip")
        result *= fraction
        result += np.take(self._constant, segment, mode="clip")
        return result


@lru_cache(maxsize=66)  # those of all rows and of all but one of 64 groups
def class_terms(classes: tuple[int, ...]) -> ClassTerms:
    """Return the terms of these classes, kept for the next call."""
    return ClassTerms(np.array(classes, np.int64))
