"""The assumptions of nulls and error bars: which rows depend on each other, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from featflow.columns.column import POSITION, Role
from featflow.columns.jackknife_groups import JackknifeGroups, time_unit, unit_groups
from featflow.dataset.dataset import Dataset
from featflow.measures.codebook import ColumnStates
from featflow.measures.options import UncertaintyOptions

FEWEST_UNITS = 8
"""Fewest units of event time; with fewer, finer units are taken. Below 8 groups of rows there are no error bars
(docs/methods.md)."""

MOST_UNITS = 1024
"""Units whose margins are kept, of those without an order: groups of more say as much (docs/methods.md)."""
FEWEST_ROOM, MOST_ORDERED = 64, 16_384
"""Units of event time for which there is room: twice as many as there are, so that nights can come, up to 45 years of
days."""

__all__ = ["assumptions", "incomplete", "row_grouping"]


def row_grouping(
    options: UncertaintyOptions, clusters: str | None, dataset: Dataset, states: ColumnStates
) -> JackknifeGroups:
    """Return which rows the jackknife deletes together, and which units evidence counts.

    Both are clusters, else what the options name, else event time, else entity; else shards, and rows.
    """
    times, columns = dataset.with_role(Role.EVENT_TIME), {c.name: c for c in (*dataset.entity, *dataset.columns)}
    by = clusters or options.group_by or options.units
    counts_units = options.units != "rows"
    if by is None or by == "rows":
        by = "event_time" if times else "entity" if dataset.entity else "shard"
    if by == "shard":
        kind = "shard" if len(dataset.shards) >= 2 * options.groups else "run"
        return JackknifeGroups(kind, (POSITION,), options.groups)
    if by == "event_time":
        index = states.numbers.index(times[0])
        low, high = float(states.moments.low[index]), float(states.moments.high[index])
        unit = time_unit(times[0], low, high, FEWEST_UNITS)
        room = 2 ** int(np.ceil(np.log2(max(2 * (high - low) / unit, FEWEST_ROOM)))) if high > low else FEWEST_ROOM
        most = min(room, MOST_ORDERED) if counts_units else 0
        return JackknifeGroups("unit", times, unit_groups(options.groups), unit, most)
    of_units = dataset.entity if by == "entity" else (columns[by],)
    return JackknifeGroups("value", of_units, options.groups, most_units=MOST_UNITS if counts_units else 0)


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
        "unit": f"{jackknife.columns[0].name} in units of {jackknife.unit_text}",
        "run": "neighbouring rows of a shard",
        "shard": "shard",
    }
    error_bars = (
        f"Error bars: {jackknife.groups} groups of rows, by {rules[jackknife.kind]}, are independent and alike."
    )
    return " ".join(dict.fromkeys([*filter(None, of_analyses), error_bars]))
