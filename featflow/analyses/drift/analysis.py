"""Drift between two runs, from their stored states and tables alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featflow.analyses.correlation.drift import correlation_drift
from featflow.analyses.drift.options import DriftOptions
from featflow.analyses.drift.table import Limits, drift, streaks
from featflow.analyses.profile.drift import column_drift
from featflow.analyses.ranking.drift import ranking_drift
from featflow.analyses.run_states import RunStates
from featflow.columns.codebook import Codebook
from featflow.errors import ConfigurationError, DamagedError, DatasetError
from featflow.execution.state_store import codebook_path
from featflow.measures.frechet import frechet
from featflow.storage.run import Run, open_run
from featflow.storage.store import Store

__all__ = ["Earlier", "compare", "differences", "drift_tables", "earlier_runs"]

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


def earlier_runs(store: Store, options: DriftOptions) -> Earlier:
    """Return the runs at an output that a new one will be compared with.

    Raises
    ------
    ConfigurationError
        ``analyses.drift.reference`` names no finished run there.
    """
    try:
        previous = Run.open(store.root, None, store.options)
    except DatasetError:
        previous = None
    if options.reference == PREVIOUS:
        return Earlier(previous, None)
    try:
        return Earlier(previous, Run.open(store.root, options.reference, store.options))
    except DatasetError as error:
        raise ConfigurationError(f"analyses.drift.reference: {error}") from None


def differences(reference: str, current: str) -> dict[str, Any]:
    """Return the drift between two runs, given by their URIs, as JSON values: ids, warnings and the table's rows.

    Thresholds are those that the current run was configured with; two runs are no streak, so every row beyond its own
    is an alert.

    Raises
    ------
    DatasetError
        There is no such run, or what it rests on is not there any more.
    """
    before, now = open_run(reference), open_run(current)
    wanted = now.manifest["config"]["analyses"].get("drift")
    options = DriftOptions.model_validate({**(wanted or {}), "persist": 1})
    rows = compare(before, now, options).to_pylist()
    runs = {"reference_run": before.run_id, "current_run": now.run_id}
    return runs | {"warnings": _left_out(before, now), "rows": rows}


def drift_tables(current: Run, earlier: Earlier, options: DriftOptions) -> tuple[list[pa.Table], list[str]]:
    """Return the drift of a run against each earlier one, and what readers should know.

    Parameters
    ----------
    current
        Need not be committed: its tables and states are written.
    """
    found, warnings = [], list[str]()
    references = {run.run_id: run for run in (earlier.pinned, earlier.previous) if run}
    for run_id, reference in references.items():
        is_pinned = earlier.pinned is not None and run_id == earlier.pinned.run_id
        try:
            found.append(
                compare(reference, current, options, _streaks(earlier.previous, run_id if is_pinned else None))
            )
        except DatasetError as error:
            warnings.append(f"drift: not compared with run {run_id}: {error}")
            continue
        warnings += _left_out(reference, current)
    return found, warnings


def _left_out(reference: Run, current: Run) -> list[str]:
    """Return a warning that names the columns that cannot be compared, none if there are none."""
    old, new = RunStates(reference), RunStates(current)
    names = [name for name in {**old.columns, **new.columns} if name not in new.columns or not _is_like(old, new, name)]
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    said = f"drift: not in both runs, or of other types there, and not compared with run {reference.run_id}"
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
    reference = pinned or (previous.manifest.get("drift") or {}).get("previous")
    return streaks(previous.arrow("drift"), reference) if reference else {}


def compare(
    reference: Run, current: Run, options: DriftOptions, before: Mapping[tuple[Any, ...], int] | None = None
) -> pa.Table:
    """Return the drift table of two runs, from what they have stored.

    Columns are compared that both hold in one type and kind, on the bins of the reference's codebook.

    Parameters
    ----------
    before
        Runs in a row in which a row's like was beyond its threshold before this one.

    Raises
    ------
    DatasetError
        A state or a codebook of a run is not there any more.
    """
    limits = Limits(options.thresholds.model_dump(), options.false_discovery_rate, options.persist)
    rows = [*_columns(reference, current), *_relations(reference, current)]
    return drift(rows, (reference.run_id, current.run_id), limits, before or {})


def _columns(reference: Run, current: Run) -> Iterator[dict[str, Any]]:
    old, new = RunStates(reference), RunStates(current)
    codings = {coding.column.name: coding for coding in _codebook(reference).codings}
    for name, column in new.columns.items():
        if _is_like(old, new, name):
            yield from column_drift(old[name], new[name], codings.get(column.name))
    before, now = old.vectors(), new.vectors()
    for key in now:
        if key in before and len(before[key].mean) == len(now[key].mean):
            value, p_value = frechet(before[key], now[key])
            yield {"feature": key[0], "method": key[1], "metric": "frechet", "value": value, "p_value": p_value}


def _is_like(old: RunStates, new: RunStates, name: str) -> bool:
    there = old.columns.get(name)
    return there is not None and (there.type, there.kind) == (new.columns[name].type, new.columns[name].kind)


def _codebook(run: Run) -> Codebook:
    path = codebook_path(run.manifest["codebook"])
    try:
        return Codebook.from_arrow(run.store.read_arrow(path))
    except FileNotFoundError:
        raise DatasetError(f"{run.store.uri(path)}: the run's codebook is not there any more; run it again") from None
    except DamagedError as error:
        raise DatasetError(f"run {run.run_id}: {error}") from None


def _relations(reference: Run, current: Run) -> Iterator[dict[str, Any]]:
    degrees, runs = (_degrees(reference), _degrees(current)), (reference, current)
    if all("ranking" in run.manifest["tables"] for run in runs):
        yield from ranking_drift(reference.table("ranking"), current.table("ranking"), degrees)
    if all("correlation" in run.manifest["tables"] for run in runs):
        columns = RunStates(current).columns.values()
        numbers = sum(column.is_numeric for column in columns)
        before, now = reference.table("correlation"), current.table("correlation")
        yield from correlation_drift(before, now, degrees, (numbers, len(columns) - numbers))


def _degrees(run: Run) -> int:
    """Return the degrees of freedom of a run's jackknife errors."""
    return max(int(run.manifest["basis"]["grouping"]["groups"]) - 1, 1)
