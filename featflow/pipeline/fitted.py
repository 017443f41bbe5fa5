"""What relations between columns rest on that was made from data: made once, and kept for the runs that follow.

A night's rows change counts, not codes: while codings, groups of rows and compared columns stay as they are, states of
unchanged shards stay valid, and runs stay comparable. A column that is new, or read in another way, gets a coding of
its own; ``codebook.frozen: false`` makes all anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featflow.columns.codebook import CategoryCoding, Codebook, Coding, NumberCoding
from featflow.columns.column import POSITION, Column, Role
from featflow.columns.jackknife_groups import Grouping, time_unit
from featflow.columns.sort_keys import key_values
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.errors import ConfigurationError
from featflow.execution.state_store import codebook_path
from featflow.measures.codebook import ColumnStates, build_codebook, duplicate_candidates
from featflow.pipeline.assumptions import row_grouping
from featflow.storage.store import Store

__all__ = ["Basis", "earlier_basis", "make_basis", "stale"]

ROWS_ANYWHERE = {"run", "shard"}
"""Kinds of groups that depend on how many shards there are."""

FEWEST_UNITS = 16
"""Units of event time that usual times span: two a window by default."""

STALE_SHARE = 0.05

OUTER_BINS = "more of the values of '{}' lie in its outermost bins than when these were made"

NEW_LEVELS = "of the values of '{}' lie in none of the levels that were told apart"
"""Rows beyond what bins and levels were made for, as a share of those that hold a value, that ask for new ones."""


@dataclass(frozen=True)
class Basis:
    """Codings of columns, groups of rows, and which columns are compared."""

    codebook: Codebook
    """Codings of all columns that can be coded."""
    grouping: Grouping
    """Rows that the jackknife deletes together."""
    compared: tuple[tuple[Column, Column], ...]
    """Columns that may be duplicates."""
    kept: frozenset[str] = frozenset()
    """Columns whose codings are those of an earlier run."""
    time_unit: float | None = None
    """Width of the units of event time that windows are made of; None where no time is known."""

    def public(self) -> dict[str, Any]:
        """Return what a manifest keeps of it beside the codebook's digest, as JSON values."""
        grouping = {
            "kind": self.grouping.kind,
            "columns": [column.name for column in self.grouping.columns],
            "groups": self.grouping.groups,
            "unit": self.grouping.unit,
        }
        compared = [[left.name, right.name] for left, right in self.compared]
        return {"grouping": grouping, "compared": compared, "time_unit": self.time_unit}


def earlier_basis(store: Store, config: Config, dataset: Dataset) -> Basis | None:
    """Return the basis of the last run at an output, as far as it serves this dataset; None if there is none.

    Raises
    ------
    ConfigurationError
        ``codebook.version`` names a codebook that is not there.
    """
    options = config.codebook
    if not options.frozen:
        return None
    latest = _latest(store)
    public, digest = latest.get("basis") or {}, options.version or latest.get("codebook")
    if not digest or (not options.version and _made_by(latest["config"]) != _made_by(config.public())):
        return None
    try:
        codebook = Codebook.from_arrow(store.read_arrow(codebook_path(digest)))
    except FileNotFoundError:
        if options.version:
            raise ConfigurationError(
                f"codebook.version: no codebook {digest} at {store.root}; manifests name those that are there"
            ) from None
        return None
    by_name = {column.name: column for column in (*dataset.columns, *dataset.entity, POSITION)}
    known = [coding for coding in codebook.codings if _is_same(coding.column, by_name.get(coding.column.name))]
    codings = tuple(replace(coding, column=by_name[coding.column.name]) for coding in known)
    event_time = latest.get("config", {}).get("dataset", {}).get("event_time")
    compared = [pair for pair in public.get("compared", []) if all(name in by_name for name in pair)]
    return Basis(
        Codebook(codings),
        _grouping(public.get("grouping"), by_name),
        tuple((by_name[left], by_name[right]) for left, right in compared),
        frozenset(coding.column.name for coding in codings),
        public.get("time_unit") if event_time == config.dataset.event_time else None,
    )


def _made_by(config: dict[str, Any]) -> dict[str, Any]:
    """Return what decides codings that are made anew."""
    return {key: value for key, value in config["codebook"].items() if key not in {"frozen", "version"}}


def _latest(store: Store) -> dict[str, Any]:
    try:
        run_id = store.read("LATEST").decode().strip()
        manifest: dict[str, Any] = json.loads(store.read(f"runs/{run_id}/manifest.json"))
    except (FileNotFoundError, ValueError):
        return {}
    return manifest


def _is_same(column: Column, other: Column | None) -> bool:
    """Whether a column is read as another was; where what is made of images lies may change."""
    return other is not None and replace(column, made=None) == replace(
        other, made=None, role=column.role, source_type=column.source_type
    )


def _grouping(public: dict[str, Any] | None, by_name: dict[str, Column]) -> Grouping:
    if public is None or not all(name in by_name for name in public["columns"]):
        return Grouping("none", (), 0)
    columns = tuple(by_name[name] for name in public["columns"])
    return Grouping(public["kind"], columns, public["groups"], public["unit"])


def make_basis(dataset: Dataset, states: ColumnStates, config: Config, earlier: Basis | None) -> Basis:
    """Return the basis of a run: an earlier one where it serves, made of the data where it does not.

    Parameters
    ----------
    states
        Whole states of pass 1.
    """
    built = build_codebook(dataset.columns, states, config.codebook)
    grouping, compared = row_grouping(config, dataset, states), duplicate_candidates(states)
    unit = _time_unit(dataset, states)
    if earlier is None:
        return Basis(built, grouping, compared, time_unit=unit)
    old = {coding.column.name: coding for coding in earlier.codebook.codings}
    codebook = Codebook(tuple(old.get(coding.column.name, coding) for coding in built.codings))
    if set(compared) <= set(earlier.compared):
        compared = earlier.compared
    same = _kind(earlier.grouping) == _kind(grouping)
    finest = min((each for each in (earlier.time_unit, unit) if each), default=None)  # counts join units by themselves
    return Basis(codebook, earlier.grouping if same else grouping, compared, earlier.kept, finest)


def _time_unit(dataset: Dataset, states: ColumnStates) -> float | None:
    """Return the coarsest unit of event time of which the usual times span enough."""
    for column in dataset.with_role(Role.EVENT_TIME):
        histogram = states.histograms[states.numbers.index(column)]
        times = key_values(histogram.cells, column.type)
        finite = np.isfinite(times)
        if finite.any():
            return time_unit(column, *_usual_range(times[finite], histogram.counts[finite]), FEWEST_UNITS)
    return None


def _usual_range(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest of ascending values that are not far out (Tukey 1977): a date may be made up."""
    share = np.cumsum(counts) / counts.sum()
    first, third = values[np.searchsorted(share, (0.25, 0.75))]
    reach = 3 * (third - first) or np.inf
    usual = values[(values >= first - reach) & (values <= third + reach)]
    return float(usual[0]), float(usual[-1])


def _kind(grouping: Grouping) -> tuple[object, ...]:
    anywhere = grouping.kind in ROWS_ANYWHERE
    return "anywhere" if anywhere else grouping.kind, grouping.columns, grouping.groups


def stale(basis: Basis, states: ColumnStates) -> list[str]:
    """Return a warning for each kept coding that too many rows have outgrown."""
    found = []
    for name, share, how in _outgrown(basis, states):
        if share > STALE_SHARE:
            found.append(f"codebook: {share:.1%} {how.format(name)}; run with --rebin for new ones")
    return found


def _outgrown(basis: Basis, states: ColumnStates) -> Iterator[tuple[str, float, str]]:
    codings: dict[str, Coding] = {c.column.name: c for c in basis.codebook.codings if c.column.name in basis.kept}
    for column, histogram in zip(states.numbers, states.histograms, strict=True):
        coding = codings.get(column.name)
        if column.role is Role.EVENT_TIME:  # which every night adds to, and which nothing is counted by
            continue
        if isinstance(coding, NumberCoding) and len(histogram.counts) and len(coding.edges):
            yield column.name, _in_outer_bins(coding, histogram.cells, histogram.counts), OUTER_BINS
    for column, counted in zip(states.categories, states.levels, strict=True):
        coding = codings.get(column.name)
        if isinstance(coding, CategoryCoding) and coding.buckets == 1 and counted.levels is not None:
            known = set(coding.levels.to_pylist())
            new = np.array([level not in known for level in counted.levels.to_pylist()], bool)
            yield column.name, float(counted.counts[new].sum() / max(counted.counts.sum(), 1)), NEW_LEVELS


def _in_outer_bins(coding: NumberCoding, cells: np.ndarray, counts: np.ndarray) -> float:
    """Return by how much the share of rows in the first and last bin, together, has grown since the bins were made."""
    total = max(int(counts.sum()), 1)
    now = (counts[cells < coding.edges[0]].sum() + counts[cells >= coding.edges[-1]].sum()) / total
    # A mean rank is half of its cell's share beyond all before: neighbouring shares add up to twice a step of ranks.
    sign = 1.0 - 2.0 * (np.arange(len(coding.ranks)) % 2)
    share = sign * np.cumsum(sign * 2 * np.diff(coding.ranks, prepend=0.0))
    then = share[coding.cells < coding.edges[0]].sum() + share[coding.cells >= coding.edges[-1]].sum()
    return float(now - then)
