"""Profile of each column, with alerts for columns to check before use, and drift of distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from featflow.analyses.change import Row
from featflow.analyses.profile.drift import column_drift
from featflow.analyses.profile.options import ProfileOptions
from featflow.analyses.profile.sketches import SketchesOfNumbers, with_sketches
from featflow.analyses.profile.table import profile
from featflow.analyses.profile.tables import PROFILE
from featflow.analyses.protocol import Analysis
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.requests import EqualRowsOfPairs
from featflow.analyses.run_states import RunStates
from featflow.execution.context import Context
from featflow.execution.requests import Request
from featflow.measures.codebook import CANDIDATES, duplicate_candidates
from featflow.storage.run import Run

__all__ = ["Profile"]


class Profile(Analysis[ProfileOptions]):
    """The profile table."""

    name = "profile"
    tables = (PROFILE,)

    def profile(self, context: Context) -> Iterable[Request]:  # noqa: ARG002
        """Return the request for sketches of values, if they are asked for."""
        return (SketchesOfNumbers(),) if self.options.sketches else ()

    def fit(self, context: Context, frozen: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the pairs that may be duplicates: those of the run before where they contain all pairs of this run."""
        compared = [[left.name, right.name] for left, right in duplicate_candidates(context.columns)]
        names = {column.name for column in context.dataset.columns}
        earlier = [pair for pair in (frozen or {}).get("compared", []) if set(pair) <= names]
        known = {tuple(pair) for pair in earlier}
        return {"compared": earlier if all(tuple(pair) in known for pair in compared) else compared}

    def _compared(self, context: Context) -> EqualRowsOfPairs:
        by_name = {column.name: column for column in context.dataset.columns}
        pairs = context.fitted[self.name]["compared"]
        return EqualRowsOfPairs(tuple((by_name[left], by_name[right]) for left, right in pairs))

    def relate(self, context: Context) -> Iterable[Request]:
        """Return the request for rows in which columns that may be duplicates are equal."""
        request = self._compared(context)
        return (request,) if request.pairs else ()

    def write(self, context: Context) -> None:
        """Write a row a column."""
        request, duplicates = self._compared(context), dict[str, str]()
        if len(request.pairs) == CANDIDATES:
            context.warn(
                f"{CANDIDATES} pairs of columns or more have the same counts; duplicates beyond these are not "
                "looked for"
            )
        for spec, equal_rows in context.states(request):
            for (first, second), equal in zip(spec.pairs, equal_rows.equal, strict=True):
                if equal == equal_rows.rows:
                    duplicates.setdefault(second.name, first.name)
        table = profile(context.dataset.columns, context.columns, duplicates)
        context.write(PROFILE, [with_sketches(table, context) if self.options.sketches else table])

    def drift(self, before: RunStates, now: RunStates) -> Iterator[Row]:
        """Yield changes of distributions, on the older run's bins, of columns with one type and kind in both runs."""
        codings = {coding.column.name: coding for coding in before.codebook.codings}
        for name in now.columns:
            if before.is_like(now, name):
                yield from column_drift(before[name], now[name], codings.get(name))

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the columns."""
        from featflow.analyses.profile import report  # noqa: PLC0415  polars, for those who look

        return report.section(run, limits)
