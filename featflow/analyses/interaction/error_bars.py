"""Error bars of interactions, from counts of the table's pairs by jackknife group."""

from __future__ import annotations

from functools import partial

import numpy as np

from featflow.analyses.interaction.jackknife import interaction_errors
from featflow.analyses.recount import Pairs, recount_pairs
from featflow.execution.context import Context
from featflow.summaries import PairCountsByGroup, PairCountsByGroupSummarizer

__all__ = ["interaction_bars"]


def interaction_bars(context: Context, pairs: Pairs, target: str) -> dict[str, np.ndarray]:
    """Return `interaction_errors` of pairs about a target, in the order of the pairs."""
    confidence = context.uncertainty.confidence
    units = context.jackknife.most_units > 0
    measure = partial(_interaction_errors, context.scale, confidence, units)
    blocks = list(recount_pairs(context, pairs, target, measure, f"error bars: {target}"))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _interaction_errors(
    scale: float, confidence: float, units: bool, spec: PairCountsByGroupSummarizer, state: PairCountsByGroup
) -> dict[str, np.ndarray]:
    return interaction_errors([table[..., 1:] for table in spec.tables(state)], scale, confidence, units=units)
