"""Which features to use: a path of features, each with what it adds to those before it, and where noise begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import RenderableType

from featflow.analyses.protocol import Analysis
from featflow.analyses.recount import GROUP_BY_HINT
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.requests import CodesOfColumns
from featflow.analyses.selection.candidates import Candidates, Row, Shortlist, candidates_of, pairs_of
from featflow.analyses.selection.options import SelectionOptions
from featflow.analyses.selection.pair_figures import cross_name
from featflow.analyses.selection.path import Step, path, probabilities
from featflow.analyses.selection.tables import SELECTION
from featflow.columns.column import Role
from featflow.execution.context import Context
from featflow.execution.requests import Request
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.storage.run import Run

__all__ = ["Selection"]

ROUNDING = 1e-12
"""Difference of information, in nats, that sums in another order leave."""


class Selection(Analysis[SelectionOptions]):
    """The selection table."""

    name = "selection"
    tables = (SELECTION,)

    def relate(self, context: Context) -> Iterable[Request]:
        """Return codes: pairs of the shortlist are counted from them."""
        return (CodesOfColumns(),) if context.codings_of(Role.TARGET) else ()

    def write(self, context: Context) -> None:
        """Write a path of features for every target and method."""
        ranking, interaction = context.table("ranking"), context.table("interaction")
        if not context.codings_of(Role.TARGET):
            return
        if ranking is None:
            context.warn("analyses.selection: it chooses from the ranking, which is off; set analyses.ranking")
            return
        if ranking["marginal_mi"].null_count < len(ranking):
            context.warn(
                "analyses.selection: it does not look within strata; leave analyses.ranking.strata out to select"
            )
            return
        rows: list[Row] = []
        for target in (coding.column.name for coding in context.codings_of(Role.TARGET)):
            rows += self._target_rows(context, _of_target(ranking, target), _of_target(interaction, target))
        columns = {field.name: [row.get(field.name) for row in rows] for field in SELECTION.schema}
        context.write(SELECTION, [SELECTION.build(columns) if rows else SELECTION.empty()])

    def assumption(self, context: Context) -> str:
        """Return what noise_p is of."""
        what = "groups of units" if context.jackknife.most_units else "rows"
        return (
            f"noise_p of the selection: no feature left says more than any one chosen before; {what} are independent."
        )

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the path of each target, drawn and listed."""
        from featflow.analyses.selection import report  # noqa: PLC0415  Bokeh takes a second to import

        return report.section(run, limits)

    @classmethod
    def shown(cls, run: Run, width: int) -> RenderableType | None:
        """Return which features to keep and which to drop, and why."""
        from featflow.analyses.selection import terminal  # noqa: PLC0415  polars, for those who look

        return terminal.shown(run, width)

    def _target_rows(self, context: Context, ranking: list[Row], interaction: list[Row]) -> Iterator[Row]:
        """Yield the rows of all methods about the target of these rows of both tables."""
        if not ranking:
            return
        target, shortlist = ranking[0]["target"], candidates_of(ranking, interaction, self.options)
        if shortlist.left_out:
            context.warn(
                f"selection with target '{target}': {shortlist.left_out} significant features lie beyond the first "
                f"{self.options.shortlist} and are not looked at; raise analyses.selection.shortlist"
            )
        if shortlist.names:
            candidates = pairs_of(context, shortlist, self.options.stability)
            if len(candidates.parts.rows) < FEWEST_GROUPS:
                context.warn(
                    f"selection with target '{target}': its rows fall into {len(candidates.parts.rows)} group(s) and "
                    f"error bars need {FEWEST_GROUPS}; errors and probabilities are null; {GROUP_BY_HINT}"
                )
            for method in self.options.methods:
                steps = path(method, candidates, self.options.most, context.uncertainty.confidence)
                shares = probabilities(method, candidates, steps) if steps else {}
                for number, step in enumerate(steps, 1):
                    yield {
                        "target": target,
                        "method": method,
                        "step": number,
                        "rows_used": ranking[0]["n"],
                        "selection_probability": shares.get(step.feature, np.nan),
                        **_step_columns(method, candidates, step, [each.feature for each in steps if each.kept]),
                    }
        for method in self.options.methods:
            for name, alert in sorted(shortlist.kept_out.items()):
                relevance = shortlist.ranking[name]["corrected_mi"]
                known = {"feature": name, "features": [name], "kept": False, "reason": alert, "relevance": relevance}
                yield {"target": target, "method": method} | known


def _of_target(table: pa.Table | None, target: str) -> list[Row]:
    """Return the rows about a target, by rank."""
    if table is None:
        return []
    rows: list[Row] = table.filter(pc.equal(table["target"], target)).sort_by("rank").to_pylist()
    return rows


def _step_columns(method: str, candidates: Candidates, step: Step, kept: list[int]) -> dict[str, Any]:
    """Return a step's columns of the table but for target, method and number."""
    names, figures, place = candidates.names, candidates.figures, step.feature
    parts = _parts(candidates.shortlist, names[place])
    alone = float(figures.relevance[place, 0])
    relevance = candidates.shortlist.ranking[parts[0]]["corrected_mi"] if len(parts) == 1 else alone
    reason = None if step.kept else "unknown" if np.isnan(step.noise_p) else "noise"
    if reason == "noise" and method in {"mrmr", "three_mr"}:
        reason = "redundancy"  # these take off what is shared, of which a column that hardly varies has nothing
    columns: dict[str, Any] = {
        "feature": names[place],
        "features": parts,
        "kept": step.kept,
        "reason": reason,
        "gain": step.gain,
        "standard_error": step.standard_error,
        "noise_p": step.noise_p,
        "relevance": relevance,
        "pair_loss": relevance - alone if abs(relevance - alone) > ROUNDING else 0.0,
        "conditioned_on": None if step.conditioned_on is None else names[step.conditioned_on],
        "runner_up": None if step.runner_up is None else names[step.runner_up],
        "runner_up_gain": step.runner_up_gain,
        "margin_p": step.margin_p,
    }
    shared = {other: figures.shared[place, other, 0] for other in step.before}
    synergy = {other: figures.conditional[place, other, 0] - alone for other in kept if other != place}
    for column, partner, figure in (
        ("redundancy", "redundant_with", shared),
        ("complementarity", "complementary_with", synergy),
    ):
        finite = {other: value for other, value in figure.items() if np.isfinite(value)}
        if finite:
            most = max(finite, key=finite.__getitem__)
            columns |= {column: finite[most], partner: names[most]}
    return columns


def _parts(shortlist: Shortlist, name: str) -> list[str]:
    """Return the columns of a candidate."""
    return next(([a, b] for a, b in shortlist.crosses if cross_name(a, b) == name), [name])
