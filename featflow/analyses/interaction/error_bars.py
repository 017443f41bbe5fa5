"""Error bars of interactions, from the counts of kept pairs by jackknife group."""

from __future__ import annotations

from functools import partial

import numpy as np

from featflow.analyses.interaction.jackknife import interaction_errors
from featflow.analyses.recount import Pairs, look_again
from featflow.execution.context import Context
from featflow.summaries import PairCountsByGroup, PairCountsByGroupSummarizer

__all__ = ["interaction_bars"]


def interaction_bars(context: Context, pairs: Pairs, target: str) -> dict[str, np.ndarray]:
    """Return what `interaction_errors` of the jackknife says of pairs about a target, in their order."""
    confidence = context.uncertainty.confidence
    measure = partial(_interaction_errors, context.scale, confidence)
    blocks = list(look_again(context, pairs, target, measure, f"error bars: {target}"))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _interaction_errors(
    scale: float, confidence: float, spec: PairCountsByGroupSummarizer, state: PairCountsByGroup
) -> dict[str, np.ndarray]:
    return interaction_errors([table[..., 1:] for table in spec.tables(state)], scale, confidence)
