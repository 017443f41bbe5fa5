"""The unit of event time that windows of the ranking are made of."""

from __future__ import annotations

import numpy as np

from featflow.columns.column import Role
from featflow.columns.jackknife_groups import time_unit
from featflow.columns.sort_keys import key_values
from featflow.dataset.dataset import Dataset
from featflow.measures.codebook import ColumnStates

__all__ = ["unit_of_windows"]

FEWEST_UNITS = 16
"""Units of event time that usual times span: two for each of the 8 windows by default, as a window of several units has
a variance between units, which widens its errors."""


def unit_of_windows(dataset: Dataset, states: ColumnStates) -> tuple[str, float] | None:
    """Return event time and its coarsest unit of which usual times span enough; None where all times are missing."""
    for column in dataset.with_role(Role.EVENT_TIME):
        histogram = states.histograms[states.numbers.index(column)]
        times = key_values(histogram.cells, column.type)
        finite = np.isfinite(times)
        if finite.any():
            usual = _usual_range(times[finite], histogram.counts[finite])
            return column.name, time_unit(column, *usual, FEWEST_UNITS)
    return None


def _usual_range(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest of ascending values that are not far out (Tukey 1977): a date may be made up."""
    share = np.cumsum(counts) / counts.sum()
    first, third = values[np.searchsorted(share, (0.25, 0.75))]
    reach = 3 * (third - first) or np.inf
    usual = values[(values >= first - reach) & (values <= third + reach)]
    return float(usual[0]), float(usual[-1])
