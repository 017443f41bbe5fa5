"""The assumptions of nulls and error bars: which rows depend on each other, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterable

from featflow.columns.column import POSITION, Kind, Role
from featflow.columns.jackknife_groups import JackknifeGroups, time_unit, unit_groups
from featflow.dataset.dataset import Dataset
from featflow.measures.codebook import ColumnStates
from featflow.measures.options import UncertaintyOptions

FEWEST_UNITS = 8
"""Fewest units of event time; with fewer, finer units are taken. Below 8 groups of rows there are no error bars
(docs/methods.md)."""

__all__ = ["assumptions", "incomplete", "row_grouping"]


def row_grouping(
    options: UncertaintyOptions, clusters: str | None, dataset: Dataset, states: ColumnStates
) -> JackknifeGroups:
    """Return which rows the jackknife deletes together: clusters, else event time, else entity, else shards."""
    if clusters:
        columns = {column.name: column for column in (*dataset.entity, *dataset.columns)}
        return JackknifeGroups("value", (columns[clusters],), options.groups)
    times = dataset.with_role(Role.EVENT_TIME)
    group_by = options.group_by or ("event_time" if times else "entity" if dataset.entity else "shard")
    if group_by == "event_time":
        index = states.numbers.index(times[0])
        low, high = float(states.moments.low[index]), float(states.moments.high[index])
        return JackknifeGroups("unit", times, unit_groups(options.groups), time_unit(times[0], low, high, FEWEST_UNITS))
    if group_by == "entity":
        return JackknifeGroups("value", dataset.entity, options.groups)
    return JackknifeGroups("shard" if len(dataset.shards) >= 2 * options.groups else "run", (POSITION,), options.groups)


def incomplete(jackknife: JackknifeGroups, states: ColumnStates) -> list[str]:
    """Return a warning if event times that decide the jackknife's groups are missing."""
    if jackknife.kind != "unit":
        return []
    name = jackknife.columns[0].name
    missing = states.rows - int(states.moments.n[states.numbers.index(jackknife.columns[0])])
    warning = (
        f"dataset.event_time: '{name}' is missing in {missing:,} of {states.rows:,} rows; they share a group of rows"
    )
    return [f"{warning} in the jackknife"] if missing else []


def assumptions(of_analyses: Iterable[str], jackknife: JackknifeGroups) -> str:
    """Return the assumptions of a run's nulls and error bars, in sentences."""
    rules = {
        "value": f"equal {' and '.join(column.name for column in jackknife.columns)}",
        "unit": f"{jackknife.columns[0].name} in units of {_unit_text(jackknife)}",
        "run": "neighbouring rows of a shard",
        "shard": "shard",
    }
    error_bars = (
        f"Error bars: {jackknife.groups} groups of rows, by {rules[jackknife.kind]}, are independent and alike."
    )
    return " ".join(dict.fromkeys([*filter(None, of_analyses), error_bars]))


def _unit_text(jackknife: JackknifeGroups) -> str:
    """Return a unit of time in words."""
    if jackknife.columns[0].kind is not Kind.TIME:
        return f"{jackknife.unit:,.12g}"
    named = {86_400_000_000: "a day", 3_600_000_000: "an hour", 60_000_000: "a minute", 1_000_000: "a second"}
    return named.get(int(jackknife.unit), f"{jackknife.unit:,.0f} microseconds")
