"""Which features carry information about a target, over all rows and in windows of event time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import RenderableType

from featflow.analyses.change import Row
from featflow.analyses.protocol import Analysis
from featflow.analyses.ranking.evidence import Units
from featflow.analyses.ranking.options import RankingOptions
from featflow.analyses.ranking.ranks import ranked, with_alerts
from featflow.analyses.ranking.scores import RankingMeasure, measure_features
from featflow.analyses.ranking.tables import RANKING, RANKING_WINDOW
from featflow.analyses.ranking.time_unit import unit_of_windows
from featflow.analyses.ranking.windows import Skills, rank_in_windows, score_windows, with_skills
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.requests import CountsOfFeatures, CountsOverTime
from featflow.analyses.run_states import RunStates
from featflow.columns.column import Kind, Role
from featflow.execution.context import Context
from featflow.execution.requests import Measurement, Place, Request
from featflow.measures.unit_null import FEWEST_UNITS
from featflow.storage.run import Run
from featflow.summaries import TimeCounts, TimeCountsSummarizer

__all__ = ["Ranking"]


class Ranking(Analysis[RankingOptions]):
    """The ranking table, and that of its windows."""

    name = "ranking"
    tables = (RANKING, RANKING_WINDOW)

    @property
    def clusters(self) -> str | None:
        """Column of the clusters that evidence counts."""
        return self.options.clusters

    def fit(self, context: Context, frozen: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return event time and the unit that windows are made of: the finest unit of this run and those before it."""
        time_unit = unit_of_windows(context.dataset, context.columns)
        if time_unit is None:
            return {}
        name, unit = time_unit
        earlier = frozen.get("time_unit") if frozen and frozen.get("event_time") == name else None
        return {
            "event_time": name,
            "time_unit": min(unit, earlier or unit),
        }  # counts join units where there are too many

    def _window_request(self, context: Context) -> CountsOverTime | None:
        """Return the request for counts over time; None without windows, or with weights, as it counts rows."""
        unit = context.fitted[self.name].get("time_unit")
        if unit is None or self.options.windows < 2 or context.dataset.weight:
            return None
        return CountsOverTime(unit)

    def relate(self, context: Context) -> Iterable[Request]:
        """Return counts of features against targets, and those over time."""
        if context.codings_of(Role.TARGET):
            yield CountsOfFeatures(tuple(self.options.strata))
            if windows := self._window_request(context):
                yield windows

    def measure(self, context: Context) -> Iterable[Measurement]:
        """Return the scores of features, over all rows and in windows."""
        if context.codings_of(Role.TARGET):
            share, confidence = context.columns.effective_share, context.uncertainty.confidence
            groups = context.jackknife
            units = Units(groups.unit_name, groups.ordered) if groups.most_units else None
            work = RankingMeasure(share, confidence, units)
            yield Measurement(CountsOfFeatures(tuple(self.options.strata)), measure_features, work)
            if windows := self._window_request(context):
                yield Measurement(windows, measure_windows, self.options.windows)

    def write(self, context: Context) -> None:
        """Rank the features of every target; with event times, also in every window."""
        if not context.codings_of(Role.TARGET):
            return
        blocks = context.results(measure_features)
        context.warn(*(warning for block in blocks for warning in block.warnings))
        scored = pa.concat_tables([RANKING.empty(), *(block.table for block in blocks)])
        if context.jackknife.most_units:
            context.note(self.name, evidence=self._evidence(context))
            of_units = pa.array([column.name for column in context.jackknife.columns])
            scored = scored.filter(pc.invert(pc.is_in(scored["feature"], of_units)))  # a unit's name is no evidence
        scored = with_alerts(scored, context.table("profile"))
        if self._window_request(context):
            scored, windows = self._with_windows(context, scored)
            context.write(RANKING_WINDOW, [windows])
        elif context.dataset.weight and context.dataset.with_role(Role.EVENT_TIME) and self.options.windows > 1:
            context.warn("dataset.weight: windows of event time count rows, so nothing is ranked in them")
        context.write(RANKING, [ranked(scored, context.uncertainty)])

    def _with_windows(self, context: Context, scored: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the ranking with its columns about windows of event time, and the ranking in each window."""
        blocks = context.results(measure_windows)
        skills: Skills = {}
        for block in blocks:
            skills |= block.skills
            context.warn(*block.warnings)
        if blocks and blocks[-1].undated:
            context.warn(
                f"dataset.event_time: '{context.fitted[self.name]['event_time']}' is missing in "
                f"{blocks[-1].undated:,} rows; they are in no window of the ranking"
            )
        ranks = rank_in_windows(pa.concat_tables([RANKING_WINDOW.empty(), *(block.table for block in blocks)]))
        return with_skills(scored, ranks, skills), ranks

    def assumption(self, context: Context) -> str:
        """Return the null hypothesis of the ranking, and what its evidence counts, in sentences."""
        strata = f" within each joint level of {', '.join(self.options.strata)}" if self.options.strata else ""
        null = f"p-values of the ranking: under the null every permutation of the target{strata} is equally likely"
        if not context.jackknife.most_units:
            return f"{null}, rows are independent."
        return f"{null}, within units and of units. {self._evidence(context)}"

    def _evidence(self, context: Context) -> str:
        """Return which units evidence counts, how many there are, and what that assumes, as a sentence."""
        groups, blocks = context.jackknife, context.results(measure_features)
        units = max((block.units for block in blocks if block.units is not None), default=None)
        exact = units is not None and units <= groups.most_units and not self.options.strata
        many = "no" if units is None else f"{units:,}" if exact else f"about {units:,}"
        what, free = f"values of {groups.unit_name}", "units do not depend on one another"
        if units is None and blocks:
            return f"Evidence counts rows: there are about as many {what}, so rows are independent."
        if units == 1:
            name = "+".join(column.name for column in groups.columns)
            return f"Evidence counts rows: all lie in one unit of {name}, within which they are independent."
        if groups.ordered:
            wide = "" if groups.columns[0].kind is Kind.TIME else " wide"
            what = f"units of {groups.columns[0].name}, each {groups.unit_text}{wide}"
            free = "units may drift and are else independent"
        few = units is not None and units < FEWEST_UNITS
        assumed = f"{free}; of so few, only what is within them has a p-value" if few else free
        return f"Evidence counts {many} {what}, not rows: rows of one may depend on one another in any way, {assumed}."

    def drift(self, before: RunStates, now: RunStates) -> Iterator[Row]:
        """Yield changes of information and of ranks."""
        if before.has("ranking") and now.has("ranking"):
            from featflow.analyses.ranking.drift import ranking_drift  # noqa: PLC0415  polars

            old, new = before.run.table("ranking"), now.run.table("ranking")
            yield from ranking_drift(old, new, (before.degrees, now.degrees))

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the ranking of each target, drawn and listed."""
        from featflow.analyses.ranking import report  # noqa: PLC0415  Bokeh takes a second to import

        return report.section(run, limits)

    @classmethod
    def shown(cls, run: Run, width: int) -> RenderableType | None:
        """Return the first features of every target."""
        from featflow.analyses.ranking import terminal  # noqa: PLC0415  polars, for those who look

        return terminal.shown(run, width)


@dataclass(frozen=True)
class WindowScores:
    """Scores of a block of features in windows of event time."""

    table: pa.Table
    """Rows of ranking_window, unranked."""
    skills: Skills
    warnings: list[str]
    undated: int
    """Rows without a time, which are in no window."""


def measure_windows(
    windows: int,
    place: Place,  # noqa: ARG001
    spec: TimeCountsSummarizer,
    state: TimeCounts,
) -> WindowScores:
    """Return `score_windows` of a block of features, where its state lies."""
    return WindowScores(*score_windows(spec, state, windows), state.undated)
