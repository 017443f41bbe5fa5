"""Which pairs of features say more about a target together than apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.interaction.error_bars import interaction_bars
from featflow.analyses.interaction.jackknife import with_interaction_errors
from featflow.analyses.interaction.options import InteractionOptions
from featflow.analyses.interaction.scores import interactions, top
from featflow.analyses.interaction.search import search
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.protocol import Analysis
from featflow.analyses.recount import GROUP_BY_HINT, Pairs
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.requests import CodesOfColumns, CountsOfPairs
from featflow.columns.column import Role
from featflow.execution.context import Context
from featflow.execution.requests import Measurement, Place, Request
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.storage.run import Run
from featflow.summaries import PairCounts, PairCountsSummarizer

__all__ = ["Interaction"]


class Interaction(Analysis[InteractionOptions]):
    """The interaction table."""

    name = "interaction"
    tables = (INTERACTION,)

    def samples(self, context: Context) -> bool:
        """Return whether pairs are searched for on samples of the rows; else every pair is counted on all rows."""
        return self.options.search == "sample" or (self.options.search is None and not context.exhaustive)

    def relate(self, context: Context) -> Iterable[Request]:
        """Return codes, and counts of all pairs by class unless samples do."""
        if context.codings_of(Role.TARGET):
            yield CodesOfColumns()
            if not self.samples(context):
                yield CountsOfPairs(by_class=True)

    def measure(self, context: Context) -> Iterable[Measurement]:
        """Return the measurement of every block's best pairs; none where samples are searched."""
        if context.codings_of(Role.TARGET) and not self.samples(context):
            yield Measurement(CountsOfPairs(by_class=True), best_of_block, self.options.keep)

    def write(self, context: Context) -> None:
        """Write the best pairs of every target, with their error bars."""
        if not context.codings_of(Role.TARGET):
            return
        if self.samples(context):
            searched = search(context, self.options.keep)
            best = searched.table
            context.note(self.name, search=searched.targets)
        else:
            best = top(pa.concat_tables([INTERACTION.empty(), *context.results(best_of_block)]), self.options.keep)
        context.write(INTERACTION, [_with_errors(context, best)])

    def estimate(self, context: Context) -> Mapping[str, Any]:
        """Return by which search interactions are found: all (every pair on all rows) or sample."""
        method = "sample" if self.samples(context) else "all"
        return {"interactions": method if context.dataset.with_role(Role.TARGET) else None}

    def assumption(self, context: Context) -> str:
        """Return the assumption of p-values of interactions, as a sentence."""
        if context.jackknife.most_units:
            return "p-values of interactions: a group of units says nothing of another."
        return "p-values of correlations and interactions: one row says nothing of another."

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the graph of each target's synergies and the pairs."""
        from featflow.analyses.interaction import report  # noqa: PLC0415  Bokeh takes a second to import

        return report.section(run, limits)


def best_of_block(keep: int, place: Place, spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:  # noqa: ARG001
    """Return a block's best pairs of every target."""
    return top(interactions(spec, state, keep), keep)


def _with_errors(context: Context, best: pa.Table) -> pa.Table:
    by_target: dict[str, Pairs] = defaultdict(list)
    for target, *pair in zip(*(best.column(k).to_pylist() for k in ("target", "feature_a", "feature_b")), strict=True):
        by_target[target].append((pair[0], pair[1]))
    if not by_target:
        return best
    bars: dict[str, dict[str, Any]] = {
        target: interaction_bars(context, pairs, target) for target, pairs in by_target.items()
    }
    for target, errors in bars.items():
        if errors["groups"][0] < FEWEST_GROUPS:
            context.warn(
                f"interactions with target '{target}': their rows fall into {errors['groups'][0]:.0f} group(s) and the "
                f"jackknife needs {FEWEST_GROUPS}; intervals are null; {GROUP_BY_HINT}"
            )
    arrays = {name: np.concatenate([errors[name] for errors in bars.values()]) for name in next(iter(bars.values()))}
    features = len(context.codings_of(Role.FEATURE))
    pairs_tested = dict.fromkeys(by_target, features * (features - 1) // 2)
    return with_interaction_errors(best, arrays, context.uncertainty, pairs_tested)
