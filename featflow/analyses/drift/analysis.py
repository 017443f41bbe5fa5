"""What changed since earlier runs, from stored states and tables alone.

Every analysis says how its own figures moved (`Analysis.drift`); here these rows meet thresholds and become alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featflow.analyses.change import Row
from featflow.analyses.drift.options import DriftOptions
from featflow.analyses.drift.table import Limits, drift, streaks
from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.protocol import Analysis
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.run_states import RunStates
from featflow.errors import ConfigurationError, DamagedError, DatasetError
from featflow.execution.context import Context
from featflow.execution.requests import Request
from featflow.storage.run import Run

__all__ = ["Drift", "Earlier", "compare", "left_out"]

SHOWN = 5
"""Columns that a warning names."""

PREVIOUS = "previous"


@dataclass(frozen=True)
class Earlier:
    """Runs that a new one is compared with."""

    previous: Run | None
    """The run before it."""
    pinned: Run | None
    """The run that ``analyses.drift.reference`` names."""

    def public(self) -> dict[str, str | None]:
        """Return their ids, as JSON values."""
        runs = {"previous": self.previous, "pinned": self.pinned}
        return {name: run.run_id if run else None for name, run in runs.items()}


class Drift(Analysis[DriftOptions]):
    """The drift table."""

    name = "drift"
    tables = (DRIFT,)

    def profile(self, context: Context) -> Iterable[Request]:
        """Find the runs to compare with, before anything is read; ask for nothing.

        Raises
        ------
        ConfigurationError
            ``analyses.drift.reference`` names no finished run there.
        """
        previous, reference, pinned = context.writer.before.run, self.options.reference, None
        if reference != PREVIOUS:
            store = context.workspace.store
            try:
                pinned = Run.open(store.root, reference, store.options)
            except DatasetError as error:
                raise ConfigurationError(f"analyses.drift.reference: {error}") from None
            except DamagedError as error:
                context.warn(f"drift: not compared with run {reference}: {error}")
        self.earlier = Earlier(previous, pinned)
        return ()

    def write(self, context: Context) -> None:
        """Write how the run differs from each earlier one."""
        earlier, tables = self.earlier, list[pa.Table]()
        context.note(self.name, **earlier.public())
        context.compared_with += [run.run_id for run in (earlier.pinned,) if run]
        references = {run.run_id: run for run in (earlier.pinned, earlier.previous) if run}
        for run_id, reference in references.items():
            is_pinned = earlier.pinned is not None and run_id == earlier.pinned.run_id
            try:
                before = _streaks(earlier.previous, run_id if is_pinned else None)
            except DatasetError as error:
                before = {}
                context.warn(f"drift: how long changes have lasted is counted anew: {error}")
            try:
                runs = RunStates(reference), RunStates(context.run_so_far())
                tables.append(compare(*runs, self.options, context.analyses, before))
                context.warn(*left_out(*runs))
            except (DatasetError, DamagedError) as error:
                context.warn(f"drift: not compared with run {run_id}: {error}")
        context.write(DRIFT, tables)

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section:
        """Return what changed."""
        from featflow.analyses.drift import report  # noqa: PLC0415  polars, for those who look

        return report.section(run, limits)


def compare(
    reference: RunStates,
    current: RunStates,
    options: DriftOptions,
    analyses: Iterable[Analysis[Any]],
    before: Mapping[tuple[Any, ...], int] | None = None,
) -> pa.Table:
    """Return the drift table of two runs, from what they have stored.

    Parameters
    ----------
    analyses
        Those whose figures are compared.
    before
        Runs in a row in which a row's like was beyond its threshold before this one.

    Raises
    ------
    DatasetError
        A state or a codebook of a run is not there any more.
    """
    limits = Limits(options.thresholds.model_dump(), options.false_discovery_rate, options.persist)
    rows: list[Row] = [row for analysis in analyses for row in analysis.drift(reference, current)]
    return drift(rows, (reference.run.run_id, current.run.run_id), limits, before or {})


def left_out(reference: RunStates, current: RunStates) -> list[str]:
    """Return a warning that names the columns that cannot be compared, none if there are none."""
    every = {**reference.columns, **current.columns}
    names = [name for name in every if not reference.is_like(current, name)]
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    said = f"drift: not in both runs, or of other types there, and not compared with run {reference.run.run_id}"
    return [f"{said}: {', '.join(names[:SHOWN])}{more}"]


def _streaks(previous: Run | None, pinned: str | None) -> dict[tuple[Any, ...], int]:
    """Return for how many runs rows have been beyond their thresholds, as the run before says.

    Parameters
    ----------
    pinned
        Run that is compared with; None where each run is compared with the one before it.
    """
    if previous is None or "drift" not in previous.manifest["tables"]:
        return {}
    reference = pinned or previous.manifest.get("analyses", {}).get("drift", {}).get("previous")
    return streaks(previous.arrow("drift"), reference) if reference else {}
